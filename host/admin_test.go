package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/certificate"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/upstream"
)

const adminAnywhere = "[admin]\nlisten = \"127.0.0.1:0\"\n"

// readyz asks the admin listener, and returns the checks that are wrong.
func (w *world) readyz() (status int, wrong map[string]string) {
	w.t.Helper()
	response, err := http.Get("http://" + w.adminListener.Addr().String() + "/readyz")
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	var report struct {
		Ready  bool
		Checks []struct {
			Name string
			OK   bool
			Text string
		}
	}
	body, err := io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(body, &report)
	}
	if err != nil || len(report.Checks) < 2 || report.Ready != (response.StatusCode == 200) {
		w.t.Fatalf("%d %s: %v", response.StatusCode, body, err)
	}
	wrong = map[string]string{}
	for _, c := range report.Checks {
		if !c.OK {
			wrong[c.Name] = c.Text
		}
	}
	return response.StatusCode, wrong
}

// TestReady: each check is wrong for its own reason, and what is not ready answers
// knocks as ever.
func TestReady(t *testing.T) {
	t.Run("resident", func(t *testing.T) {
		w := newWorld(t, adminAnywhere+allowAll, nil)
		if status, wrong := w.readyz(); status != 200 {
			t.Errorf("%d %v", status, wrong)
		}
		response, err := http.Get("http://" + w.adminListener.Addr().String() + "/health")
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("/health: %v, %+v", err, response)
		}
		response.Body.Close()
		var said strings.Builder
		w.describe(&said, "knockgate")
		if want := "http://" + w.adminListener.Addr().String(); !strings.Contains(said.String(), want) {
			t.Errorf("serve does not print %s:\n%s", want, &said)
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.checkStore(t.Context()); err == nil {
			t.Error("a store that is closed takes writes")
		}
	})
	t.Run("no policies", func(t *testing.T) {
		w := newWorld(t, adminAnywhere+"[policies]\non_bad_start = \"default\"\n[[policy]]\nname = \"a\"\nmodule = \"none.wasm\"\n", nil)
		if status, wrong := w.readyz(); status != 503 || len(wrong) != 1 || !strings.Contains(wrong["policies"], "deny") {
			t.Errorf("%d %v, want 503 for the policies", status, wrong)
		}
		p := w.peer()
		w.mustKnock(p, w.knock(p, "ada", w.room("11", "knock")), peer.Denied)
	})
	t.Run("homeserver", func(t *testing.T) {
		f := newFront(t, http.NotFoundHandler(), adminAnywhere+"[policies]\ndefault = \"deny\"\n")
		if status, wrong := f.readyz(); status != 503 || len(wrong) != 1 || !strings.Contains(wrong["upstream"], "404") {
			t.Errorf("%d %v, want 503 for the homeserver", status, wrong)
		}
		p := f.peer()
		f.mustKnock(p, f.knock(p, "ada", "!r:a.example"), peer.Denied)
		g := newFrontOfRooms(t, adminAnywhere+allowAll)
		if status, wrong := g.readyz(); status != 200 {
			t.Errorf("with a homeserver: %d %v", status, wrong)
		}
	})
}

// TestPlainListener: a resident server on plain HTTP behind a proxy that speaks TLS
// with peers. It makes no certificate.
func TestPlainListener(t *testing.T) {
	proxy := listen(t)
	w := &world{t: t, dir: t.TempDir(), log: &logBuffer{}}
	w.start(func(address string) string {
		return fmt.Sprintf("server_name = %q\n[listen]\nfederation = %q\ntls = false\n", proxy.Addr(), address) + testFederation + allowAll
	})
	w.name = matrix.ServerName(proxy.Addr().String())
	if got := w.scheme(); got != "http" {
		t.Errorf("scheme %q, want http", got)
	}
	if _, err := os.Stat(filepath.Join(w.cfg.StateDir, certificate.CertificateFile)); err == nil {
		t.Error("a certificate was made that nobody uses")
	}
	to := upstream.New(upstream.Options{URL: &url.URL{Scheme: "http", Host: string(w.address())}, ConnectTimeout: 5 * time.Second})
	defer to.Close()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		to.Stream(rw, r, r.RequestURI, func(e *matrix.Error) { http.Error(rw, e.Message, e.Status) })
	}))
	server.Listener.Close()
	server.Listener = proxy
	server.TLS = &tls.Config{Certificates: selfSignedTLS(t, "127.0.0.1").Certificates}
	server.StartTLS()
	defer server.Close()

	p := w.peer()
	room := w.room("11", "knock")
	k := w.knock(p, "ada", room)
	w.mustKnock(p, k, peer.Allowed)
	if got := w.membership(room, k.User); got != "knock" {
		t.Errorf("membership %q, want knock", got)
	}
	if conn, err := tls.Dial("tcp", string(w.address()), &tls.Config{InsecureSkipVerify: true}); err == nil {
		conn.Close()
		t.Error("the listener speaks TLS too")
	}
}
