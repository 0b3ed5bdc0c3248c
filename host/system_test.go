package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/certificate"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/discovery"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/resident"
)

// world is a resident server and the means to make peers for it: the real
// wiring of "serve", on a free loopback port, in a temporary folder.
type world struct {
	*system
	t      testing.TB
	dir    string
	name   matrix.ServerName
	log    *logBuffer
	client *discovery.Client
	clock  clock
}

// clock is the real time, moved ahead by what a test says.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance moves the clock ahead.
func (c *clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// newWorld starts a resident server. extra is appended to its configuration,
// modules maps file names in its policies folder to modules.
func newWorld(t testing.TB, extra string, modules map[string][]byte) *world {
	t.Helper()
	return startWorld(t, testFederation+extra, modules)
}

// newWorldWith starts a resident server whose configuration, after its name
// and address, is rest.
func newWorldWith(t testing.TB, rest string) *world {
	t.Helper()
	return startWorld(t, rest, nil)
}

func startWorld(t testing.TB, rest string, modules map[string][]byte) *world {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "policies"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, module := range modules {
		if err := os.WriteFile(filepath.Join(dir, "policies", name), module, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, dir: dir, log: &logBuffer{}}
	w.start(func(address string) string {
		return fmt.Sprintf("server_name = %q\n[listen]\nfederation = %q\n", address, address) + rest
	})
	return w
}

const testFederation = `
[log]
level = "debug"
[federation]
requests_per_second = 1000000
burst = 1000000
allow_private_addresses = ["127.0.0.0/8", "::1/128"]
loopback_self_signed = true
`

// allowAll is the rest of a configuration without policies that lets all in.
const allowAll = "[policies]\ndefault = \"allow\"\n"

func (w *world) start(text func(address string) string) {
	w.t.Helper()
	w.startOn(listen(w.t), text)
}

// listen listens on a free loopback port.
func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func (w *world) startOn(ln net.Listener, text func(address string) string) {
	w.t.Helper()
	w.name = matrix.ServerName(ln.Addr().String())
	path := filepath.Join(w.dir, "config.toml")
	if err := os.WriteFile(path, []byte(text(ln.Addr().String())), 0o600); err != nil {
		w.t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		w.t.Fatal(err)
	}
	borrowCode(w.t, cfg.StateDir)
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.system, err = openSystem(context.Background(), cfg, ln, w.clock.Now, log)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.client = loopbackClient()
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("the end of the server's log:\n%s", w.log.tail(16<<10))
		}
		w.client.Close()
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
		if err := w.Close(); err != nil {
			w.t.Errorf("Close: %v", err)
		}
	})
}

func loopbackClient() *discovery.Client {
	return discovery.NewClient(discovery.Options{
		LoopbackSelfSigned: true,
		AllowPrivate:       []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	})
}

// peer starts a homeserver on loopback.
func (w *world) peer() *peer.Peer {
	w.t.Helper()
	p, err := peer.Start(peer.Options{Listen: "127.0.0.1:0", Client: w.client})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { p.Close() })
	return p
}

// room creates a room and returns its ID.
func (w *world) room(version, joinRule string) matrix.RoomID {
	w.t.Helper()
	v, ok := matrix.LookupRoomVersion(version)
	if !ok {
		w.t.Fatalf("no room version %q", version)
	}
	id, err := w.rooms.CreateRoom(context.Background(), resident.RoomSpec{Version: v, Creator: "admin", Name: "A room", JoinRule: joinRule})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// state sends a state event as the rooms' creator.
func (w *world) state(room matrix.RoomID, eventType, stateKey, content string) {
	w.t.Helper()
	admin := matrix.UserID("@admin:" + string(w.name))
	if _, err := w.rooms.SendState(context.Background(), room, admin, eventType, stateKey, []byte(content)); err != nil {
		w.t.Fatalf("%s %q: %v", eventType, stateKey, err)
	}
}

// knock returns a knock on room by a user of p.
func (w *world) knock(p *peer.Peer, localpart string, room matrix.RoomID) peer.Knock {
	return peer.Knock{Server: w.name, Room: room, User: p.User(localpart), Reason: "hello there"}
}

// mustKnock knocks and fails the test unless it gets want.
func (w *world) mustKnock(p *peer.Peer, k peer.Knock, want peer.Outcome) *peer.Result {
	w.t.Helper()
	r, err := p.Knock(context.Background(), k)
	if err != nil {
		w.t.Fatalf("knock of %s: %v", k.User, err)
	}
	if got := r.Outcome(); got != want {
		w.t.Fatalf("knock of %s: %s (%s), want %s", k.User, got, lastWords(r), want)
	}
	return r
}

// membership returns the current membership of a user, "" for none.
func (w *world) membership(room matrix.RoomID, user matrix.UserID) string {
	w.t.Helper()
	r, err := w.rooms.Room(context.Background(), room)
	if err != nil {
		w.t.Fatal(err)
	}
	if ev := r.Member(user); ev != nil {
		return ev.Membership()
	}
	return ""
}

// logBuffer is a log that a test can read while it is written.
type logBuffer struct {
	mu      sync.Mutex
	buf     bytes.Buffer // guarded by mu
	dropped bool         // guarded by mu; what is written is not kept
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dropped {
		return len(p), nil
	}
	return b.buf.Write(p)
}

// drop has nothing kept from now on, which would grow with a measurement.
func (b *logBuffer) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped = true
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// tail returns the last n bytes.
func (b *logBuffer) tail(n int) string {
	s := b.String()
	return s[max(0, len(s)-n):]
}

// lines returns the lines that hold all of the words.
func (b *logBuffer) lines(words ...string) (found []string) {
	for line := range strings.Lines(b.String()) {
		ok := true
		for _, w := range words {
			ok = ok && strings.Contains(line, w)
		}
		if ok {
			found = append(found, line)
		}
	}
	return found
}

// selfSignedTLS returns the TLS configuration of a listener that a loopback
// exception takes.
func selfSignedTLS(t testing.TB, host string) *tls.Config {
	t.Helper()
	certPEM, keyPEM, err := certificate.SelfSigned(host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// parseTemplate returns the event of a make_knock's answer.
func parseTemplate(t testing.TB, body []byte) canonicaljson.Value {
	t.Helper()
	doc, err := canonicaljson.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	return doc.Root().Get("event")
}

// freeAddress returns a loopback address that nothing listened on a moment ago.
func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
