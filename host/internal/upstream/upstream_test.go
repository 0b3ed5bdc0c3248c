package upstream

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// TestTLS: an https upstream's certificate is checked, against the authorities in
// the file if there is one.
func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "x-hop")
		w.Header().Set("X-Hop", "1")
		_, _ = io.WriteString(w, `{}`)
	}))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if _, err := LoadRoots(file); err == nil {
		t.Error("LoadRoots of no file: no error")
	}
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadRoots(file); err == nil {
		t.Error("LoadRoots of a file without certificates: no error")
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	roots, err := LoadRoots(file)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	o := Options{URL: u, ConnectTimeout: time.Minute, AnswerTimeout: time.Minute}
	unknown := New(o)
	defer unknown.Close()
	var wire *matrix.Error
	if a, err := unknown.Exchange(context.Background(), r, "/x", nil); !errors.As(err, &wire) || wire.Status != http.StatusBadGateway {
		t.Errorf("a certificate nobody vouches for: %+v, %v, want 502", a, err)
	}
	o.Roots = roots
	known := New(o)
	defer known.Close()
	a, err := known.Exchange(context.Background(), r, "/x", nil)
	if err != nil || a.Status != http.StatusOK || string(a.Body) != "{}" {
		t.Fatalf("%+v, %v, want 200 {}", a, err)
	}
	if a.Header.Get("X-Hop") != "" || a.Header.Get("Connection") != "" {
		t.Errorf("headers of one connection are in the answer: %v", a.Header)
	}
}
