package interop

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/fclient"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

// TestKeyDocument fetches the keys of serve and applies the library's checks:
// name, validity, an Ed25519 key of the right length that signed the document.
func TestKeyDocument(t *testing.T) {
	p := newPeer(t)
	keys, err := p.client.GetServerKeys(t.Context(), resident.name)
	if err != nil {
		t.Fatalf("keys of serve: %v", err)
	}
	checkDocument(t, resident.name, keys)
	if got, limit := keys.ValidUntilTS.Time(), time.Now().Add(7*24*time.Hour); got.After(limit) {
		t.Errorf("valid_until_ts is %v; peers take no more than 7 days, %v", got, limit)
	}
}

// TestPeerIsSound holds the peer of these tests to the library's own server
// side, so that a refusal by serve is not the peer's fault: its key document
// passes the checks, and a request of its client is verified.
func TestPeerIsSound(t *testing.T) {
	p := newPeer(t)
	keys, err := p.client.GetServerKeys(t.Context(), p.name)
	if err != nil {
		t.Fatalf("keys of the peer: %v", err)
	}
	checkDocument(t, p.name, keys)

	var name spec.ServerName
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, refusal := fclient.VerifyHTTPRequest(r, time.Now(), name, nil, p.keyRing())
		if request == nil {
			http.Error(w, "not authenticated", refusal.Code)
			return
		}
		_, _ = w.Write(request.Content())
	}))
	t.Cleanup(server.Close)
	name = spec.ServerName(server.Listener.Addr().String())
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		var got map[string]string
		target := "/_matrix/federation/v1/send_knock/%21room:a.example/$event"
		if err := p.do(t.Context(), method, name, target, map[string]string{"é": "<&>"}, &got); err != nil {
			t.Errorf("%s %s: %v, want it verified", method, target, err)
		}
		if got["é"] != "<&>" {
			t.Errorf("%s: body %v", method, got)
		}
	}
	impostor := *p
	impostor.key = newKey(t)
	if got, _ := refused(impostor.do(t.Context(), http.MethodGet, name, "/", nil, nil)); got.status != http.StatusUnauthorized {
		t.Errorf("a request signed with another key: %+v, want 401", got)
	}
}

func checkDocument(t *testing.T, name spec.ServerName, keys gomatrixserverlib.ServerKeys) {
	t.Helper()
	checks, verified := gomatrixserverlib.CheckKeys(name, time.Now(), keys)
	if !checks.AllChecksOK || len(verified) == 0 {
		t.Errorf("key document %s\nchecks %+v, want all of them passed", keys.Raw, checks)
	}
}
