package differential

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// request is a request of the peer to the resident server.
type request struct {
	method, target string
	// content is the body, JSON; empty for none.
	content string
}

// received returns a request as a server reads it from the wire.
func received(r request, authorization string) (*http.Request, error) {
	wire := r.method + " " + r.target + " HTTP/1.1\r\nHost: " + string(resident) + "\r\nAuthorization: " + authorization + "\r\n"
	if r.content != "" {
		wire += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(r.content))
	}
	return http.ReadRequest(bufio.NewReader(strings.NewReader(wire + "\r\n" + r.content)))
}

// bodyOf returns the body of a request, and leaves it to be read again.
func bodyOf(r *http.Request) []byte {
	if r.Body == nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// drawRequest draws a request that all can send: one whose target net/url
// writes as it reads it.
func drawRequest(t *rapid.T) request {
	segment := rapid.SampledFrom([]string{"!r:resident.example", "@ada=/.+_-:peer.example:8448", "@ü 本:peer.example:8448", "$" + hashOfA, "a%2Fb%", "~x'"})
	target := "/_matrix/federation/v1/x/" + url.PathEscape(segment.Draw(t, "first")) + "/" + url.PathEscape(segment.Draw(t, "second"))
	if rapid.Bool().Draw(t, "query") {
		target += "?" + url.Values{"ver": {"10", "11"}, "é": {segment.Draw(t, "value")}}.Encode()
	}
	r := request{method: rapid.SampledFrom([]string{"GET", "PUT", "POST"}).Draw(t, "method"), target: target}
	if r.method != "GET" {
		r.content = drawObject(t, append(drawMembers(t, 2, ""), `"x":{}`))
	}
	return r
}

// TestRequest: whoever signs a request, all find out who did, and none does
// after it was changed on the way.
func TestRequest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := drawRequest(rt)
		change := rapid.IntRange(0, 9).Draw(rt, "change")
		for _, signer := range append([]implementation{ours}, others...) {
			if signer.blind != nil && blindTo(rt, signer, r.content) {
				continue
			}
			signed, err := signer.request(r)
			if err != nil {
				rt.Errorf("%s signs %+v: %v", signer.name, r, err)
				continue
			}
			want := string(peer)
			sent := request{signed.Method, signed.RequestURI, string(bodyOf(signed))}
			authorization := signed.Header.Get("Authorization")
			if changed(&sent, &authorization, change) {
				want = refused
			}
			for _, verifier := range append([]implementation{ours}, others...) {
				if verifier.blind != nil && blindTo(rt, verifier, r.content) {
					continue
				}
				arrived, err := received(sent, authorization)
				if err != nil {
					rt.Fatalf("%+v: %v", sent, err)
				}
				if got := verifier.authenticate(arrived); got != want {
					rt.Errorf("%s signs, %s says %s, want %s\n%s %s\nAuthorization: %s\n%s", signer.name, verifier.name, got, want, sent.method, sent.target, authorization, sent.content)
				}
			}
		}
	})
}

// changed changes a request on its way, and reports whether it did.
func changed(r *request, authorization *string, change int) bool {
	swap := func(old, new string) bool {
		before := *authorization
		*authorization = strings.Replace(before, old, new, 1)
		return *authorization != before
	}
	switch change {
	case 0:
		r.target += "x"
	case 1:
		if r.method == "GET" {
			return false
		}
		r.method = map[string]string{"PUT": "POST", "POST": "PUT"}[r.method]
	case 2:
		if r.content == "" {
			return false
		}
		r.content = `{"another":"body"}`
	case 3:
		return swap(`origin="`+string(peer), `origin="other.example`)
	case 4:
		return swap(`destination="`+string(resident), `destination="other.example`)
	case 5:
		return swap(string(current), "ed25519:unknown")
	case 6:
		return swap(`sig="`, `sig="AAAA`)
	case 7:
		// An old key signs events only.
		return swap(string(current), string(former))
	default:
		return false
	}
	return true
}

// TestGlob: a server name matches a glob of an ACL for all or for none.
func TestGlob(t *testing.T) {
	piece := rapid.SampledFrom([]string{"*", "?", "a", "b", "A", "ab", ".", "example", "EXAMPLE", "-", "1"})
	text := rapid.SampledFrom([]string{"a", "b", "B", "ab", ".", "example", "Example", "-", "1"})
	rapid.Check(t, func(rt *rapid.T) {
		pattern := strings.Join(rapid.SliceOfN(piece, 0, 7).Draw(rt, "pattern"), "")
		s := strings.Join(rapid.SliceOfN(text, 0, 7).Draw(rt, "name"), "")
		compareGlob(rt, pattern, s)
	})
}

func compareGlob(t *rapid.T, pattern, s string) {
	compare(t, fmt.Sprintf("glob %q, name %q", pattern, s), func(i implementation) (string, bool) {
		if i.glob == nil {
			return "", false
		}
		return i.glob(pattern, s), true
	})
}
