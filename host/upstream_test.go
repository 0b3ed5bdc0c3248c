package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/policies"
)

// front is a gateway before a homeserver of the same name. All that reaches the
// homeserver is kept.
type front struct {
	*world
	*wiretap
	// homeserver is a resident server behind the wiretap; nil where the test
	// answers itself.
	homeserver *world
}

// wiretap is a listener that keeps the requests that come to it.
type wiretap struct {
	url string

	mu      sync.Mutex
	handler http.HandlerFunc // guarded by mu
	stream  http.HandlerFunc // guarded by mu; if not nil, answers instead, and nothing is kept
	seen    []tapped         // guarded by mu
}

// tapped is a request as it was on the wire.
type tapped struct {
	method, target, host string
	header               http.Header
	body                 []byte
}

// newWiretap starts a wiretap, on plain HTTP, whose requests handler answers.
func newWiretap(t testing.TB, handler http.Handler) *wiretap {
	t.Helper()
	c := &wiretap{}
	if handler != nil {
		c.handler = handler.ServeHTTP
	}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *wiretap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	stream := c.stream
	c.mu.Unlock()
	if stream != nil {
		stream(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender left
	}
	c.mu.Lock()
	c.seen = append(c.seen, tapped{r.Method, r.RequestURI, r.Host, r.Header.Clone(), body})
	handler := c.handler
	c.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	handler(w, r)
}

// answers has requests answered by another from now on, and returns what did before.
func (c *wiretap) answers(handler http.HandlerFunc) (before http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, c.handler = c.handler, handler
	return before
}

// streams has them answered unread, and not kept; with nil it ends that.
func (c *wiretap) streams(stream http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream = stream
}

// take returns the requests since it was last called.
func (c *wiretap) take() []tapped {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	return seen
}

// newFront starts a gateway before handler. rest is the rest of its
// configuration, after [upstream] without its URL.
func newFront(t testing.TB, handler http.Handler, rest string) *front {
	t.Helper()
	f := &front{wiretap: newWiretap(t, handler)}
	f.world = startFront(t, listen(t), f.url, rest)
	return f
}

// newFrontOfRooms starts a gateway before a resident server, which checks all
// that comes to it again.
func newFrontOfRooms(t testing.TB, rest string) *front {
	t.Helper()
	ln := listen(t)
	homeserver := newHomeserver(t, ln.Addr().String())
	f := &front{homeserver: homeserver, wiretap: newWiretap(t, homeserver.server.Handler)}
	f.world = startFront(t, ln, f.url, rest)
	return f
}

// newHomeserver starts a resident server with the name of another one's address.
func newHomeserver(t testing.TB, name string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: &logBuffer{}}
	w.start(func(address string) string {
		return fmt.Sprintf("server_name = %q\n[listen]\nfederation = %q\n", name, address) + testFederation + allowAll
	})
	w.name = matrix.ServerName(name)
	return w
}

func startFront(t testing.TB, ln net.Listener, upstream, rest string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: &logBuffer{}}
	dir := filepath.Join(w.dir, "policies")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server_rules", "reason_rules"} {
		module, err := policies.FS.ReadFile(name + "/" + name + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".wasm"), module, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.startOn(ln, func(address string) string {
		return fmt.Sprintf("server_name = %q\n[listen]\nfederation = %q\n", address, address) + testFederation +
			fmt.Sprintf("[upstream]\nurl = %q\n", upstream) + rest
	})
	return w
}

// sign returns a knock made from a template that the gateway did not see.
func (f *front) sign(p *peer.Peer, room matrix.RoomID, localpart, reason string) ([]byte, matrix.EventID) {
	f.t.Helper()
	k := f.knock(p, localpart, room)
	k.Reason = reason
	r, err := f.homeserver.rooms.Room(context.Background(), room)
	if err != nil {
		f.t.Fatal(err)
	}
	body, err := f.homeserver.rooms.Template(context.Background(), r, k.User)
	if err != nil {
		f.t.Fatal(err)
	}
	event, id, err := p.SignKnock(parseTemplate(f.t, body), r.Version, k)
	if err != nil {
		f.t.Fatal(err)
	}
	return event, id
}

// The chains of the gateways in these tests.
const (
	incompatibleChain = `
[policies]
default = "allow"
[[policy]]
name = "servers"
module = "server_rules.wasm"
[policy.settings]
rules = [ { incompatible = ["*"], message = "Please upgrade" } ]
`
	reasonChain = `
[policies]
default = "allow"
[[policy]]
name = "reasons"
module = "reason_rules.wasm"
phases = ["send_knock"]
[policy.settings]
required = true
`
)

// TestFrontEveryRoomVersion: a knock through the gateway lands in the room of the
// homeserver, which checks the same signatures again; a leave takes it back. The
// gateway has no key and no rooms of its own.
func TestFrontEveryRoomVersion(t *testing.T) {
	f := newFrontOfRooms(t, reasonChain)
	p := f.peer()
	for _, version := range matrix.RoomVersionIDs() {
		t.Run(version, func(t *testing.T) {
			room := f.homeserver.room(version, "knock")
			k := f.knock(p, "ada", room)
			f.take()
			r := f.mustKnock(p, k, peer.Allowed)
			if got := f.homeserver.membership(room, k.User); got != "knock" {
				t.Errorf("membership = %q, want knock", got)
			}
			seen := f.take()
			if len(seen) != 2 {
				t.Fatalf("%d requests reached the homeserver, want 2", len(seen))
			}
			for i, x := range []*peer.Exchange{r.Make, r.Send} {
				got := seen[i]
				if got.method != x.Method || got.target != x.Target || !bytes.Equal(got.body, x.Sent) || got.header.Get("Authorization") != x.Authorization || got.host != string(f.name) {
					t.Errorf("the homeserver was sent %s %s (host %s, %s)\n%s\nwant %s %s\n%s", got.method, got.target, got.host, got.header, got.body, x.Method, x.Target, x.Sent)
				}
			}
			k.Retract = true
			f.mustKnock(p, k, peer.Allowed)
			if got := f.homeserver.membership(room, k.User); got != "leave" {
				t.Errorf("membership = %q, want leave", got)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(f.cfg.StateDir, "signing.key")); err == nil {
		t.Error("the gateway made a signing key")
	}
	if lines := f.log.lines("msg=decision", "phase=send_knock", "verdict=allow", "status=200"); len(lines) != len(matrix.RoomVersionIDs()) {
		t.Errorf("%d allowed send_knock in the log, want %d", len(lines), len(matrix.RoomVersionIDs()))
	}
}

// TestFrontDenies: what a policy denies never reaches the homeserver, and the
// knocker is told in the policy's words. An event whose room's version nobody has
// said is checked as well.
func TestFrontDenies(t *testing.T) {
	f := newFrontOfRooms(t, reasonChain)
	p := f.peer()
	for _, version := range matrix.RoomVersionIDs() {
		t.Run(version, func(t *testing.T) {
			room := f.homeserver.room(version, "knock")
			event, id := f.sign(p, room, "ada", "")
			f.take()
			x := f.do(t, p, http.MethodPut, peer.SendTarget(room, id), event)
			code, message := x.Errcode()
			if x.Status != http.StatusForbidden || code != "M_FORBIDDEN" || !strings.Contains(message, "write a reason") {
				t.Errorf("%d %s, want 403 M_FORBIDDEN with the policy's words", x.Status, x.Body)
			}
			if seen := f.take(); len(seen) > 0 {
				t.Errorf("%d requests reached the homeserver: %+v", len(seen), seen)
			}
		})
	}
}

// TestFrontChecksEvents: what is wrong with an event by itself is refused before
// any policy and before the homeserver.
func TestFrontChecksEvents(t *testing.T) {
	f := newFrontOfRooms(t, allowAll)
	p, other := f.peer(), f.peer()
	for _, known := range []bool{false, true} {
		room := f.homeserver.room("11", "knock")
		if known {
			f.mustKnock(p, f.knock(p, "first", room), peer.Allowed)
		}
		good, id := f.sign(p, room, "ada", "")
		tests := []struct {
			name   string
			target string
			body   []byte
			status int
			code   string
		}{
			{"another event's ID", peer.SendTarget(room, "$"+matrix.EventID(strings.Repeat("A", 43))), good, 400, "M_INVALID_PARAM"},
			{"another room", peer.SendTarget(matrix.RoomID("!x:"+string(f.name)), id), good, 400, "M_INVALID_PARAM"},
			{"duplicate keys", peer.SendTarget(room, id), append([]byte(`{"type":"m.room.member",`), good[1:]...), 400, "M_BAD_JSON"},
		}
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, version known %v", tt.name, known), func(t *testing.T) {
				f.take()
				var x *peer.Exchange
				if tt.code == "M_BAD_JSON" {
					x = f.send(t, p, http.MethodPut, tt.target, tt.body, "X-Matrix origin=\""+string(p.Name())+"\",key=\"ed25519:x\",sig=\""+strings.Repeat("A", 86)+"\"")
				} else {
					x = f.do(t, p, http.MethodPut, tt.target, tt.body)
				}
				if code, _ := x.Errcode(); x.Status != tt.status || code != tt.code {
					t.Errorf("%d %s, want %d %s", x.Status, x.Body, tt.status, tt.code)
				}
				if seen := f.take(); (len(seen) > 0) != (tt.status == 200) {
					t.Errorf("%d requests reached the homeserver", len(seen))
				}
			})
		}
		t.Run(fmt.Sprintf("signed by another server, version known %v", known), func(t *testing.T) {
			f.take()
			event, id := f.sign(p, room, "bob", "")
			x := f.do(t, other, http.MethodPut, peer.SendTarget(room, id), event)
			if code, _ := x.Errcode(); x.Status != 400 || code != "M_INVALID_PARAM" || len(f.take()) > 0 {
				t.Errorf("%d %s, want 400 M_INVALID_PARAM and nothing at the homeserver", x.Status, x.Body)
			}
		})
	}
}

// TestFrontIncompatible: the answer names the room's own version, as the
// homeserver's answer to the same make_knock says it; what the homeserver refuses
// stays its refusal; and without any word of it the knock is forbidden.
func TestFrontIncompatible(t *testing.T) {
	f := newFrontOfRooms(t, incompatibleChain)
	p := f.peer()
	room := f.homeserver.room("9", "knock")
	event, id := f.sign(p, room, "ada", "")
	unknown := f.do(t, p, http.MethodPut, peer.SendTarget(room, id), event)
	if code, message := unknown.Errcode(); unknown.Status != 403 || code != "M_FORBIDDEN" || message != "Please upgrade" {
		t.Errorf("send_knock on a room of no known version: %d %s, want 403 M_FORBIDDEN", unknown.Status, unknown.Body)
	}
	for _, versions := range [][]string{nil, {"11"}} { // the second is not served by a template
		x := f.do(t, p, http.MethodGet, peer.MakeTarget(room, p.User("ada"), versions), nil)
		if want := `{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","error":"Please upgrade","room_version":"9"}`; x.Status != 400 || string(x.Body) != want {
			t.Errorf("make_knock: %d %s, want 400 %s", x.Status, x.Body, want)
		}
	}
	f.take()
	x := f.do(t, p, http.MethodPut, peer.SendTarget(room, id), event)
	if code, _ := x.Errcode(); x.Status != 400 || code != "M_INCOMPATIBLE_ROOM_VERSION" || !strings.Contains(string(x.Body), `"room_version":"9"`) || len(f.take()) > 0 {
		t.Errorf("send_knock: %d %s, want 400 with version 9 and nothing at the homeserver", x.Status, x.Body)
	}
	x = f.do(t, p, http.MethodGet, peer.MakeTarget("!nobody:"+matrix.RoomID(f.name), p.User("ada"), nil), nil)
	if code, _ := x.Errcode(); x.Status != 404 || code != "M_NOT_FOUND" {
		t.Errorf("unknown room: %d %s, want the homeserver's 404", x.Status, x.Body)
	}
}

// TestFrontRelaysRefusals: what the homeserver refuses comes through as it is.
func TestFrontRelaysRefusals(t *testing.T) {
	f := newFrontOfRooms(t, allowAll)
	p := f.peer()
	banned := f.homeserver.room("11", "knock")
	f.homeserver.state(banned, "m.room.member", string(p.User("ada")), `{"membership":"ban"}`)
	tests := []struct {
		name, target string
		status       int
		code         string
	}{
		{"invite only", peer.MakeTarget(f.homeserver.room("11", "invite"), p.User("ada"), nil), 403, "M_FORBIDDEN"},
		{"banned", peer.MakeTarget(banned, p.User("ada"), nil), 403, "M_FORBIDDEN"},
		{"unknown", peer.MakeTarget("!u:"+matrix.RoomID(f.name), p.User("ada"), nil), 404, "M_NOT_FOUND"},
		{"version", peer.MakeTarget(f.homeserver.room("10", "knock"), p.User("ada"), []string{"11"}), 400, "M_INCOMPATIBLE_ROOM_VERSION"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := f.do(t, p, http.MethodGet, tt.target, nil)
			if code, _ := got.Errcode(); got.Status != tt.status || code != tt.code {
				t.Errorf("%d %s, want %d %s", got.Status, got.Body, tt.status, tt.code)
			}
			if lines := f.log.lines("msg=decision", "verdict=allow", fmt.Sprintf("status=%d", tt.status), "errcode="+tt.code); len(lines) == 0 {
				t.Error("no decision with the homeserver's answer in the log")
			}
		})
	}
}

// TestFrontReloads: the policies are swapped in gateway mode as they are without.
func TestFrontReloads(t *testing.T) {
	f := newFrontOfRooms(t, allowAll+"watch = false\n")
	config := filepath.Join(f.dir, "config.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, bytes.Replace(text, []byte(`default = "allow"`), []byte(`default = "deny"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, _ := f.reload(context.Background(), "test"); cfg == nil {
		t.Fatal("the reload failed")
	}
	p := f.peer()
	f.mustKnock(p, f.knock(p, "ada", f.homeserver.room("11", "knock")), peer.Denied)
	if seen := f.take(); len(seen) > 0 {
		t.Errorf("%d requests reached the homeserver", len(seen))
	}
}

// TestFrontOwnCommands: commands on rooms and keys say whose those are.
func TestFrontOwnCommands(t *testing.T) {
	f := newFront(t, http.NotFoundHandler(), allowAll)
	config := filepath.Join(f.dir, "config.toml")
	for _, args := range [][]string{{"room", "list"}, {"room", "create", "--name", "x"}, {"key", "show"}, {"key", "rotate"}} {
		var out, stderr strings.Builder
		code := runContext(context.Background(), append(args, "--config", config), &out, &stderr)
		if code != 1 || !strings.Contains(stderr.String(), "[upstream]") || !strings.Contains(stderr.String(), f.url) {
			t.Errorf("%v: exit code %d, %q; want 1 and where the homeserver is", args, code, stderr.String())
		}
	}
}
