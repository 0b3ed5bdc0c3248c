package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/config"
)

// TestHealthy asks servers of both modes, and what is none.
func TestHealthy(t *testing.T) {
	at := func(l net.Listener) config.Listen {
		return config.Listen{Federation: netip.MustParseAddrPort(l.Addr().String())}
	}
	quiet := func(t *testing.T, log *logBuffer, listen config.Listen) {
		t.Helper()
		if err := healthy(context.Background(), listen); err != nil {
			t.Error(err)
		}
		if lines := append(log.lines("knock"), log.lines("refused")...); len(lines) > 0 {
			t.Errorf("it is logged: %q", lines)
		}
	}
	t.Run("resident", func(t *testing.T) {
		w := newWorld(t, doorPolicy, map[string][]byte{"door.wasm": doorShut})
		quiet(t, w.log, at(w.listener))
	})
	t.Run("gateway", func(t *testing.T) {
		asked := make(chan string, 1)
		upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
		defer upstream.Close()
		w := startFront(t, listen(t), upstream.URL, allowAll)
		quiet(t, w.log, at(w.listener))
		select {
		case path := <-asked:
			t.Errorf("the homeserver is asked for %s", path)
		default:
		}
	})
	t.Run("something else", func(t *testing.T) {
		other := httptest.NewTLSServer(http.NotFoundHandler())
		defer other.Close()
		err := healthy(context.Background(), at(other.Listener))
		if err == nil || !strings.Contains(err.Error(), "something else listens there") {
			t.Errorf("got %v, want it said that something else listens there", err)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listen := at(l)
		l.Close()
		if err := healthy(context.Background(), listen); err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("got %v, want it said that nobody answers", err)
		}
	})
	t.Run("without TLS", func(t *testing.T) {
		w := &world{t: t, dir: t.TempDir(), log: &logBuffer{}}
		w.start(func(address string) string {
			return fmt.Sprintf("server_name = %q\n[listen]\nfederation = %q\ntls = false\n", address, address) + testFederation + allowAll
		})
		listen := at(w.listener)
		if err := healthy(context.Background(), listen); err == nil {
			t.Error("asked with TLS, a server without answers")
		}
		listen.Plain = true
		quiet(t, w.log, listen)
	})
	t.Run("the command", func(t *testing.T) {
		w := newWorld(t, doorPolicy, map[string][]byte{"door.wasm": doorShut})
		s := newStarter(t, "")
		s.text = strings.Replace(s.text, "127.0.0.1:0", w.listener.Addr().String(), 1)
		s.write("config.toml", []byte("nobody = \"knows\"\n"+s.text)) // the server runs all the same
		if out, code := s.command("healthy"); code != exitOK || out != "" {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
}
