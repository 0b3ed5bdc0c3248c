package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// Texts that no log may have.
const (
	secretToken   = "syt_planted_administrators_token"
	secretBearer  = "planted_bearer_token"
	secretQuery   = "planted_query_token"
	secretCookie  = "planted_cookie"
	secretReason  = "planted reason of the knock"
	secretName    = "planted display name"
	secretForeign = "planted field of the event"
	secretHeader  = "planted_parameter_of_a_header"
)

// signatureOf is the signature in an Authorization header.
var signatureOf = regexp.MustCompile(`sig="([^"]+)"`)

// TestNoSecretsInTheLog: a gateway and a resident server, at level debug, through
// knocks that are allowed, denied, malformed, unauthenticated and unanswered, log
// no token, no key, no signature, and nothing of what the knocker wrote.
func TestNoSecretsInTheLog(t *testing.T) {
	ln := listen(t)
	homeserver := newHomeserver(t, ln.Addr().String())
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(secretToken), 0o600); err != nil {
		t.Fatal(err)
	}
	tap := newWiretap(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/_synapse/") {
			// As bad as it gets: it says back what it was asked with.
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errcode":"M_UNKNOWN_TOKEN","error":"`+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+`"}`)
			return
		}
		homeserver.server.Handler.ServeHTTP(w, r)
	}))
	f := &front{homeserver: homeserver, wiretap: tap}
	f.world = startFront(t, ln, tap.url, "[upstream.admin]\ntoken_file = "+fmt.Sprintf("%q", tokenFile)+reasonChain+`
forbidden = ["forbidden"]
[[policy]]
name = "watched"
module = "reason_rules.wasm"
mode = "monitor"
[policy.settings]
required = true
min = 100
`)
	p := f.peer()
	room := homeserver.room("11", "knock")
	secrets := []string{secretToken, secretBearer, secretQuery, secretCookie, secretReason, secretName, secretForeign, secretHeader}
	note := func(x *peer.Exchange) {
		if m := signatureOf.FindStringSubmatch(x.Authorization); m != nil {
			secrets = append(secrets, m[1])
		}
	}
	f.plantKnocks(t, p, room, note)
	f.plantEvents(t, p, room, note)
	f.plantPassedThrough(t)
	secrets = append(secrets, signingSeed(t, homeserver.cfg.StateDir), base64.RawStdEncoding.EncodeToString([]byte(secretToken)))
	if _, err := os.Stat(filepath.Join(f.cfg.StateDir, "signing.key")); err == nil {
		t.Error("the gateway has a signing key")
	}
	// A reload reads token files and keys again.
	f.reload(context.Background(), "test")
	homeserver.reload(context.Background(), "test")

	waitFor(t, "the policy in monitor mode", func() bool { return len(f.log.lines("msg=monitor", "verdict=deny")) > 0 })
	for _, want := range [][]string{
		{"msg=decision", "verdict=allow"}, {"msg=decision", "verdict=deny"}, {"refused by the protocol", "M_BAD_JSON"},
		{"refused by the protocol", "M_NOT_JSON"}, {"refused by the protocol", "M_UNAUTHORIZED"}, {"nothing is learnt of a room", "401"}, {"upstream failed"},
	} {
		if len(f.log.lines(want...)) == 0 {
			t.Errorf("no line with %q: this test does not do what it says", want)
		}
	}
	if len(secrets) < 15 {
		t.Errorf("%d secrets; this test would say little", len(secrets))
	}
	for name, log := range map[string]*logBuffer{"gateway": f.log, "resident": homeserver.log} {
		text := log.String()
		for _, s := range secrets {
			if at := strings.Index(text, s); at >= 0 {
				t.Errorf("the log of the %s has %q: ...%q", name, s, text[max(0, at-200):min(len(text), at+100)])
			}
		}
		for _, word := range []string{"Authorization", "X-Matrix origin", "Bearer ", "sig=", "access_token"} {
			for _, line := range log.lines(word) {
				// The sentences that a peer gets name the header, and nothing of it.
				if !strings.Contains(line, "Authorization header") {
					t.Errorf("the log of the %s has %q: %s", name, word, line)
				}
			}
		}
	}
}

// signingSeed is the third word of a signing key.
func signingSeed(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "signing.key"))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(text))
	if len(words) != 3 {
		t.Fatalf("signing.key has %d words, want 3", len(words))
	}
	return words[2]
}

// plantKnocks knocks with planted words: allowed, denied, retracted.
func (f *front) plantKnocks(t *testing.T, p *peer.Peer, room matrix.RoomID, note func(*peer.Exchange)) {
	t.Helper()
	for _, c := range []struct {
		user, reason string
		want         peer.Outcome
	}{
		{"ada", secretReason, peer.Allowed},
		{"bob", secretReason + " is forbidden", peer.Denied},
		{"eve", "", peer.Denied},
	} {
		k := f.knock(p, c.user, room)
		k.Reason, k.Displayname = c.reason, secretName
		r := f.mustKnock(p, k, c.want)
		note(r.Make)
		note(r.Send)
	}
}

// plantEvents sends events that the protocol refuses, each with planted words, and
// requests whose signature or header is wrong.
func (f *front) plantEvents(t *testing.T, p *peer.Peer, room matrix.RoomID, note func(*peer.Exchange)) {
	t.Helper()
	event, id := f.sign(p, room, "mallory", secretReason)
	target := "/_matrix/federation/v1/send_knock/" + string(room) + "/" + string(id)
	ctx := context.Background()
	for name, body := range map[string]string{
		"a hash that is none": strings.Replace(string(event), `"sha256":"`, `"sha256":"`+secretForeign, 1),
		"a word too much":     strings.Replace(string(event), secretReason, secretReason+secretForeign, 1),
		"a number of words":   strings.Replace(string(event), `"membership":"knock"`, `"membership":["`+secretForeign+`"]`, 1),
		"another type":        strings.Replace(string(event), `"type":"m.room.member"`, `"type":"`+secretForeign+`"`, 1),
		"a float":             strings.Replace(string(event), `"content":{`, `"content":{"`+secretForeign+`":1.5,`, 1),
		"a field twice":       strings.Replace(string(event), `"reason":`, `"reason":"`+secretForeign+`","reason":`, 1),
	} {
		if body == string(event) {
			t.Errorf("%s: the event is what it was", name)
			continue
		}
		x, err := p.Do(ctx, f.name, http.MethodPut, target, []byte(body))
		if err != nil {
			// Not to be signed as JSON: sent with the signature of the event.
			signed, err := p.Do(ctx, f.name, http.MethodPut, target, event)
			if err != nil {
				t.Fatal(err)
			}
			note(signed)
			if x, err = p.Send(ctx, f.name, http.MethodPut, target, []byte(body), signed.Authorization); err != nil {
				t.Fatal(err)
			}
		}
		note(x)
	}
	for _, broken := range []struct{ body, authorization string }{
		{string(event)[:len(event)/2], `X-Matrix origin="` + string(p.Name()) + `",key="ed25519:1",sig="` + strings.Repeat("A", 86) + `"`},
		{string(event), `X-Matrix origin="` + string(p.Name()) + `",key="ed25519:1",sig="` + secretForeign + `"`},
		{string(event), `X-Matrix origin="` + string(p.Name()) + `",key="ed25519:1",sig="` + strings.Repeat("B", 86) + `"`},
		{string(event), "Bearer " + secretBearer},
		{string(event), "X-Matrix " + secretHeader},
	} {
		if _, err := p.Send(ctx, f.name, http.MethodPut, target, []byte(broken.body), broken.authorization); err != nil {
			t.Fatal(err)
		}
	}
}

// plantPassedThrough passes requests with tokens through, to a homeserver that
// answers and to one that breaks off.
func (f *front) plantPassedThrough(t *testing.T) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	ask := func() {
		r, err := http.NewRequest(http.MethodPost, "https://"+string(f.name)+"/_matrix/client/v3/sync?access_token="+secretQuery, strings.NewReader(secretForeign))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+secretBearer)
		r.Header.Set("Cookie", "session="+secretCookie)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	ask()
	f.streams(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	ask()
	f.streams(nil)
}
