package discovery

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// TestResolve walks the steps of the specification. The host well.test serves
// each case's well-known file; bare.test has none.
func TestResolve(t *testing.T) {
	const fed, old = "_matrix-fed._tcp.", "_matrix._tcp."
	record := func(target string, port uint16) []*net.SRV { return []*net.SRV{{Target: target, Port: port}} }
	tests := []struct {
		name      string
		server    matrix.ServerName
		wellKnown string // of well.test; "" for 404
		srv       map[string][]*net.SRV
		dnsErr    map[string]error
		want      []Target
		wantErr   error // errors.Is; errAny for some error
	}{
		{name: "IPv4", server: "1.2.3.4", want: []Target{{"1.2.3.4:8448", "1.2.3.4", "1.2.3.4"}}},
		{name: "IPv4 and port", server: "1.2.3.4:80", want: []Target{{"1.2.3.4:80", "1.2.3.4:80", "1.2.3.4"}}},
		{name: "IPv6", server: "[2a00::1]", want: []Target{{"[2a00::1]:8448", "[2a00::1]", "2a00::1"}}},
		{name: "IPv6 and port", server: "[2a00::1]:80", want: []Target{{"[2a00::1]:80", "[2a00::1]:80", "2a00::1"}}},
		{name: "port", server: "well.test:99", wellKnown: `{"m.server":"other.test"}`,
			want: []Target{{"well.test:99", "well.test:99", "well.test"}}},
		{name: "port 0", server: "well.test:0", wantErr: errAny},
		{name: "port too high", server: "well.test:65536", wantErr: errAny},
		{name: "delegated to IP", server: "well.test", wellKnown: `{"m.server":"1.2.3.4"}`,
			want: []Target{{"1.2.3.4:8448", "1.2.3.4", "1.2.3.4"}}},
		{name: "delegated to IPv6 and port", server: "well.test", wellKnown: `{"m.server":"[2a00::1]:80"}`,
			want: []Target{{"[2a00::1]:80", "[2a00::1]:80", "2a00::1"}}},
		{name: "delegated with port", server: "well.test", wellKnown: `{"m.server":"d.test:443"}`,
			want: []Target{{"d.test:443", "d.test:443", "d.test"}}},
		{name: "delegated, SRV", server: "well.test", wellKnown: `{"m.server":"d.test"}`,
			srv:  map[string][]*net.SRV{fed + "d.test": record("s.test.", 7), old + "d.test": record("o.test.", 8)},
			want: []Target{{"s.test:7", "d.test", "d.test"}}},
		{name: "delegated, old SRV", server: "well.test", wellKnown: `{"m.server":"d.test"}`,
			srv:  map[string][]*net.SRV{old + "d.test": record("o.test.", 8)},
			want: []Target{{"o.test:8", "d.test", "d.test"}}},
		{name: "delegated, no SRV", server: "well.test", wellKnown: `{"m.server":"d.test"}`,
			want: []Target{{"d.test:8448", "d.test", "d.test"}}},
		{name: "no delegation of the delegated", server: "well.test", wellKnown: `{"m.server":"well.test"}`,
			want: []Target{{"well.test:8448", "well.test", "well.test"}}},
		{name: "invalid well-known falls to SRV", server: "well.test", wellKnown: `{"m.server":"not a name"}`,
			srv:  map[string][]*net.SRV{fed + "well.test": record("s.test.", 7)},
			want: []Target{{"s.test:7", "well.test", "well.test"}}},
		{name: "no well-known, SRV", server: "bare.test",
			srv:  map[string][]*net.SRV{fed + "bare.test": {{Target: "a.test.", Port: 1}, {Target: "b.test.", Port: 2}}},
			want: []Target{{"a.test:1", "bare.test", "bare.test"}, {"b.test:2", "bare.test", "bare.test"}}},
		{name: "no well-known, old SRV", server: "bare.test",
			srv:  map[string][]*net.SRV{old + "bare.test": record("o.test.", 8)},
			want: []Target{{"o.test:8", "bare.test", "bare.test"}}},
		{name: "nothing", server: "bare.test", want: []Target{{"bare.test:8448", "bare.test", "bare.test"}}},
		{name: "case and final dot", server: "Bare.Test.", want: []Target{{"Bare.Test:8448", "Bare.Test.", "Bare.Test"}}},
		{name: "SRV of no service", server: "bare.test",
			srv: map[string][]*net.SRV{fed + "bare.test": record(".", 0)}, wantErr: ErrNoService},
		{name: "old SRV of no service", server: "bare.test",
			srv: map[string][]*net.SRV{old + "bare.test": record(".", 0)}, wantErr: ErrNoService},
		{name: "SRV of port 0", server: "bare.test",
			srv:  map[string][]*net.SRV{fed + "bare.test": record("s.test.", 0)},
			want: []Target{{"bare.test:8448", "bare.test", "bare.test"}}},
		{name: "SERVFAIL is no answer", server: "bare.test",
			dnsErr: map[string]error{fed + "bare.test": servfail("x")}, wantErr: errAny},
		{name: "SERVFAIL of the old SRV", server: "bare.test",
			dnsErr: map[string]error{old + "bare.test": servfail("x")}, wantErr: errAny},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			port := w.serve("127.0.0.1", w.certificate(false, "well.test"), func(rw http.ResponseWriter, r *http.Request) {
				if tt.wellKnown == "" || r.URL.Path != "/.well-known/matrix/server" {
					http.NotFound(rw, r)
					return
				}
				fmt.Fprint(rw, tt.wellKnown)
			})
			w.hosts["well.test"] = []string{"127.0.0.1"}
			if tt.srv != nil {
				w.srv = tt.srv
			}
			if tt.dnsErr != nil {
				w.dnsErr = tt.dnsErr
			}
			c := w.client(nil)
			c.wellKnownPort = port
			got, err := c.Resolve(t.Context(), tt.server)
			if tt.wantErr != nil {
				if err == nil || tt.wantErr != errAny && !errors.Is(err, tt.wantErr) {
					t.Fatalf("Resolve(%q) = %v, %v, want error %v", tt.server, got, err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatalf("Resolve(%q): %v", tt.server, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Resolve(%q) (-want +got):\n%s", tt.server, diff)
			}
		})
	}
}

var errAny = errors.New("any error")

// TestResolveManySRV: a zone of many records costs a few attempts at most.
func TestResolveManySRV(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.srv["_matrix-fed._tcp.bare.test"] = append(w.srv["_matrix-fed._tcp.bare.test"], &net.SRV{Target: "s.test.", Port: uint16(i + 1)})
	}
	got, err := w.client(nil).Resolve(t.Context(), "bare.test")
	if err != nil || len(got) != maxTargets {
		t.Fatalf("Resolve = %d targets, %v, want %d", len(got), err, maxTargets)
	}
}
