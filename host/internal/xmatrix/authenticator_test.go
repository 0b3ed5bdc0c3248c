package xmatrix

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// keyring is the keys that servers can use now.
type keyring map[matrix.ServerName]map[matrix.KeyID]matrix.PublicKey

func (k keyring) RequestKey(_ context.Context, server matrix.ServerName, id matrix.KeyID) (matrix.PublicKey, error) {
	key, ok := k[server][id]
	if !ok {
		return key, errors.New("no such key")
	}
	return key, nil
}

func verify(key matrix.PublicKey, message, sig []byte) bool {
	return ed25519.Verify(key[:], message, sig)
}

// testSigner is the key of the specification's examples.
type testSigner struct {
	id      matrix.KeyID
	private ed25519.PrivateKey
}

func newSigner(t testing.TB, id matrix.KeyID, seed string) testSigner {
	t.Helper()
	b, err := base64.RawStdEncoding.DecodeString(seed)
	if err != nil {
		t.Fatal(err)
	}
	return testSigner{id, ed25519.NewKeyFromSeed(b)}
}

func (s testSigner) KeyID() matrix.KeyID        { return s.id }
func (s testSigner) Sign(message []byte) []byte { return ed25519.Sign(s.private, message) }
func (s testSigner) public() matrix.PublicKey {
	return matrix.PublicKey(s.private.Public().(ed25519.PublicKey))
}

const specSeed = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"

func wantUnauthorized(t *testing.T, what string, err error) {
	t.Helper()
	var e *matrix.Error
	if !errors.As(err, &e) || e.Status != http.StatusUnauthorized || e.Code != "M_UNAUTHORIZED" || e.Message == "" {
		t.Errorf("%s: got error %v, want 401 M_UNAUTHORIZED", what, err)
	} else if !slices.Contains(Failures, e.Kind) {
		t.Errorf("%s: the kind %q, want one of %v", what, e.Kind, Failures)
	}
}

// authenticate runs both halves.
func authenticate(t *testing.T, a *Authenticator, headers []string, method, target string, content []byte) (matrix.ServerName, error) {
	t.Helper()
	c, err := a.Parse(http.Header{"Authorization": headers})
	if err != nil {
		if c.Origin != "" || c.Signatures != nil {
			t.Errorf("Parse(%q) = %+v with error %v", headers, c, err)
		}
		return "", err
	}
	return a.Check(t.Context(), c, method, target, content)
}

// TestVectors: signatures made by another implementation.
func TestVectors(t *testing.T) {
	data, err := os.ReadFile("../../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors map[string]json.RawMessage
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	signer := newSigner(t, "ed25519:1", specSeed)
	a := &Authenticator{Server: "resident", Verify: verify, Keys: keyring{"domain": {"ed25519:1": signer.public()}}}
	found := 0
	for name, raw := range vectors {
		if !strings.HasPrefix(name, "xm_") {
			continue
		}
		found++
		var v struct {
			Obj struct {
				Method, URI         string
				Origin, Destination matrix.ServerName
				Content             json.RawMessage
			}
			Sig string
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		var content []byte
		if v.Obj.Content != nil {
			doc, err := canonicaljson.Parse(v.Obj.Content)
			if err != nil {
				t.Fatal(err)
			}
			content = doc.Bytes()
		}
		header := `X-Matrix origin="domain",key="ed25519:1",sig="` + v.Sig + `"`
		if v.Obj.Destination == "" {
			// Signed without any destination: no such senders exist, and the
			// signature is not for us.
			_, err := authenticate(t, a, []string{header}, v.Obj.Method, v.Obj.URI, content)
			wantUnauthorized(t, name, err)
			continue
		}
		want := header + `,destination="resident"`
		if got := Header(signer, "domain", "resident", v.Obj.Method, v.Obj.URI, content); got != want {
			t.Errorf("%s: Header = %s, want %s", name, got, want)
		}
		for _, h := range []string{header, want} {
			if got, err := authenticate(t, a, []string{h}, v.Obj.Method, v.Obj.URI, content); got != "domain" || err != nil {
				t.Errorf("%s: %q, %v, want domain", name, got, err)
			}
		}
	}
	if found < 4 {
		t.Errorf("%d vectors, want at least 4", found)
	}
}

// TestCaptures: every captured request of a server whose key is published
// authenticates, and none does after a change.
func TestCaptures(t *testing.T) {
	data, err := os.ReadFile("../../testdata/synapse-1.160.json")
	if err != nil {
		t.Fatal(err)
	}
	var captures struct {
		VerifyKeys map[matrix.ServerName]map[matrix.KeyID]string `json:"verify_keys"`
		Cases      []struct {
			Case      string
			Exchanges []struct {
				Line    string   `json:"request_line"`
				Headers []string `json:"request_headers_raw"`
				Body    string   `json:"request_body_raw"`
			}
		}
	}
	if err := json.Unmarshal(data, &captures); err != nil {
		t.Fatal(err)
	}
	keys := keyring{}
	for server, list := range captures.VerifyKeys {
		keys[server] = map[matrix.KeyID]matrix.PublicKey{}
		for id, text := range list {
			b, err := base64.RawStdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			keys[server][id] = matrix.PublicKey(b)
		}
	}
	found := map[matrix.ServerName]int{}
	for _, c := range captures.Cases {
		for _, e := range c.Exchanges {
			var headers []string
			for _, h := range e.Headers {
				if name, value, _ := strings.Cut(h, ": "); strings.EqualFold(name, "Authorization") {
					headers = append(headers, value)
				}
			}
			if headers == nil {
				continue
			}
			f, err := parseField(headers[0])
			if keys[f.origin] == nil {
				// The hand-written peer, some of whose headers are broken on purpose.
				if !strings.Contains(headers[0], `origin="load.test:38648"`) {
					t.Errorf("%s: header %q: %v", c.Case, headers[0], err)
				}
				continue
			}
			if got := string(f.append(nil)); got != headers[0] {
				t.Errorf("%s: rendered %s, want %s", c.Case, got, headers[0])
			}
			found[f.origin]++
			words := strings.Split(e.Line, " ")
			method, target := words[0], words[1]
			var content []byte
			if e.Body != "" {
				doc, err := canonicaljson.Parse([]byte(e.Body))
				if err != nil {
					t.Fatal(err)
				}
				content = doc.Bytes()
			}
			a := &Authenticator{Server: f.destination, Keys: keys, Verify: verify}
			if got, err := authenticate(t, a, headers, method, target, content); got != f.origin || err != nil {
				t.Errorf("%s: %q, %v, want %q", c.Case, got, err, f.origin)
			}
			changed := [...]struct {
				what, method, target string
				content              []byte
			}{
				{"method", "POST", target, content},
				{"path", method, "/" + target, content},
				{"trailing '&'", method, target + "&", content},
				{"content", method, target, append([]byte(`{"x":1}`), content...)},
			}
			for _, ch := range changed {
				_, err := authenticate(t, a, headers, ch.method, ch.target, ch.content)
				wantUnauthorized(t, c.Case+", other "+ch.what, err)
			}
		}
	}
	if found["b.test:28648"] < 13 {
		t.Errorf("%v requests, want at least 13 of b.test:28648", found)
	}
}

func TestAuthenticate(t *testing.T) {
	const method, target = "GET", "/_matrix/federation/v1/make_knock/!r:here.test/@u:peer.test?ver=10"
	good := newSigner(t, "ed25519:good", specSeed)
	other := newSigner(t, "ed25519:other", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	expired := newSigner(t, "ed25519:expired", specSeed) // not in the ring
	keys := keyring{
		"peer.test": {"ed25519:good": good.public(), "ed25519:other": other.public()},
		"here.test": {"ed25519:good": good.public()},
	}
	a := &Authenticator{Server: "here.test", Keys: keys, Verify: verify}
	sign := func(s testSigner) string { return Header(s, "peer.test", "here.test", method, target, nil) }
	wrong := Header(other, "peer.test", "here.test", method, "/other", nil)
	noDest := strings.TrimSuffix(sign(good), `,destination="here.test"`)
	tests := []struct {
		name    string
		headers []string
		ok      bool
	}{
		{"one", []string{sign(good)}, true},
		{"two", []string{sign(good), sign(other)}, true},
		{"with other schemes", []string{"Bearer x", sign(good), "Basic y"}, true},
		{"without destination", []string{noDest}, true},
		{"one unusable", []string{sign(expired), sign(good)}, true},
		{"same one twice", []string{sign(good), sign(good)}, true},

		{"none", nil, false},
		{"empty", []string{""}, false},
		{"other schemes only", []string{"Bearer x"}, false},
		{"wrong", []string{wrong}, false},
		{"good and wrong", []string{sign(good), wrong}, false},
		{"wrong and good", []string{wrong, sign(good)}, false},
		{"unusable only", []string{sign(expired)}, false},
		{"under the ID of another key", []string{strings.Replace(sign(good), "ed25519:good", "ed25519:other", 1)}, false},
		{"good and malformed", []string{sign(good), "X-Matrix origin"}, false},
		{"other destination", []string{Header(good, "peer.test", "there.test", method, target, nil)}, false},
		{"other case of destination", []string{Header(good, "peer.test", "Here.test", method, target, nil)}, false},
		{"destination with port", []string{Header(good, "peer.test", "here.test:8448", method, target, nil)}, false},
		{"two origins", []string{sign(good), Header(good, "peer2.test", "here.test", method, target, nil)}, false},
		{"two destinations", []string{sign(good), noDest}, false},
		{"ourselves", []string{Header(good, "here.test", "here.test", method, target, nil)}, false},
		{"too many signatures", []string{sign(good), sign(good), sign(good), sign(good), sign(good)}, false},
		{"too many headers", append(strings.Split(strings.Repeat("Bearer x,", MaxHeaders-1)+"Bearer x", ","), sign(good)), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := authenticate(t, a, tt.headers, method, target, nil)
			if tt.ok && (got != "peer.test" || err != nil) {
				t.Errorf("got %q, %v, want peer.test", got, err)
			}
			if !tt.ok {
				wantUnauthorized(t, "", err)
				if got != "" {
					t.Errorf("got %q with error %v", got, err)
				}
			}
		})
	}
}

// TestRequestTargets: a signature is good for the bytes it was made for, and for
// them alone.
func TestRequestTargets(t *testing.T) {
	s := newSigner(t, "ed25519:1", specSeed)
	a := &Authenticator{Server: "here.test", Keys: keyring{"peer.test": {"ed25519:1": s.public()}}, Verify: verify}
	tests := []struct {
		signed, sent string
		ok           bool
	}{
		{"/x/%21r%3Ah", "/x/%21r%3Ah", true},
		{"/x/!r:h", "/x/!r:h", true},
		{"/x/%21r%3Ah", "/x/!r:h", false},
		{"/x/%21r%3ah", "/x/%21r%3Ah", false},
		{"/x?a=1&b=2", "/x?b=2&a=1", false},
		{"/x?", "/x?", true},
		{"/x", "/x?", false},
		{"//x/../%2e%2e/y", "//x/../%2e%2e/y", true},
		{"//x", "/x", false},
		{"/x", "https://here.test/x", true},
		{"/x#y", "/x#y", false},
		{"/é", "/é", false},
	}
	for _, tt := range tests {
		h := Header(s, "peer.test", "here.test", "GET", tt.signed, nil)
		_, err := authenticate(t, a, []string{h}, "GET", tt.sent, nil)
		if tt.ok && err != nil {
			t.Errorf("signed %q, sent %q: %v", tt.signed, tt.sent, err)
		}
		if !tt.ok {
			wantUnauthorized(t, "signed "+tt.signed+", sent "+tt.sent, err)
		}
	}
}

// TestCheckOnItsOwn: Check does not rely on where its credentials are from.
func TestCheckOnItsOwn(t *testing.T) {
	s := newSigner(t, "ed25519:1", specSeed)
	a := &Authenticator{Server: "here.test", Keys: keyring{"peer.test": {"ed25519:1": s.public()}}, Verify: verify}
	for _, c := range []Credentials{{}, {Origin: "peer.test"}, {Origin: "here.test"}, {Origin: "peer.test", Destination: "there.test"}} {
		_, err := a.Check(t.Context(), c, "GET", "/x", nil)
		wantUnauthorized(t, "", err)
	}
}
