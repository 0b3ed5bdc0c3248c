package interop

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"testing"

	"github.com/knockgate/knockgate/host/internal/discovery"
	"github.com/knockgate/knockgate/host/internal/matrix"
	ours "github.com/knockgate/knockgate/host/internal/peer"
)

// homes runs a test with the Synapse behind the gateway and with the other.
func (g *gated) homes(t *testing.T, test func(t *testing.T, home *synapse)) {
	t.Run("behind the gateway", func(t *testing.T) { test(t, g.behind) })
	t.Run("without it", func(t *testing.T) { test(t, g.direct) })
}

// testRefused: what the home itself refuses reaches the client of B in the same
// words, gateway or not.
func (g *gated) testRefused(t *testing.T) {
	tests := []struct {
		name    string
		room    func(t *testing.T, home *synapse) string
		status  int
		code    string
		message string
	}{
		{"invite only", func(t *testing.T, home *synapse) string {
			return home.createRoom(t, "11", "invite")
		}, 403, "M_FORBIDDEN", "You don't have permission to knock"},
		{"banned", func(t *testing.T, home *synapse) string {
			room := home.createRoom(t, "11", "knock")
			home.act(t, room, "ban", g.b.user)
			return room
		}, 403, "M_FORBIDDEN", "You are banned from this room"},
		{"a server ACL", func(t *testing.T, home *synapse) string {
			room := home.createRoom(t, "11", "knock")
			home.setState(t, room, "m.room.server_acl", map[string]any{"allow": []string{"*"}, "deny": []string{"127.0.0.2"}, "allow_ip_literals": true})
			return room
		}, 403, "M_FORBIDDEN", "Server is banned from room"},
		// Of a 404, B tells its client only that no server could help.
		{"unknown room", func(t *testing.T, home *synapse) string {
			return "!unknown:" + home.name
		}, 502, "M_UNKNOWN", "Failed to make_knock via any server"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g.homes(t, func(t *testing.T, home *synapse) {
				room := tt.room(t, home)
				status, answer := g.b.knock(t, room, home.name, "hello")
				if status != tt.status || answer["errcode"] != tt.code || answer["error"] != tt.message {
					t.Errorf("%d %v, want %d %s %q", status, answer, tt.status, tt.code, tt.message)
				}
				if got := home.membership(t, room, g.b.user); got == "knock" {
					t.Error("the refused knock is in the room")
				}
			})
		})
	}
}

// testEnds: whatever becomes of a knock, B's client is answered the same and the
// room is the same, gateway or not.
//
// Synapse 1.160 takes a knock back on its own side alone and sends no make_leave
// ("TODO: We don't yet support rescinding knocks over federation", in its
// RoomMemberWorkerHandler.remote_rescind_knock), so the room still has the knock;
// testRetracted shows a leave that is sent.
func (g *gated) testEnds(t *testing.T) {
	tests := []struct {
		name  string
		steps []string
		end   string // the membership
	}{
		{"retracted", []string{"knock", "leave", "knock"}, "knock"},
		{"declined", []string{"knock", "kick", "knock"}, "knock"},
		{"accepted", []string{"knock", "invite", "join"}, "join"},
		{"banned", []string{"knock", "ban", "knock"}, "ban"},
		{"banned for a while", []string{"knock", "ban", "unban", "knock"}, "knock"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stories [][]string
			g.homes(t, func(t *testing.T, home *synapse) {
				room := home.createRoom(t, "11", "knock")
				var story []string
				for _, step := range tt.steps {
					story = append(story, g.step(t, home, room, step))
				}
				stories = append(stories, story)
				if got := home.membership(t, room, g.b.user); got != tt.end {
					t.Errorf("the membership is %q in the end, want %q; %q", got, tt.end, story)
				}
			})
			if t.Failed() {
				return
			}
			if !slices.Equal(stories[0], stories[1]) {
				t.Errorf("behind the gateway\n%q, without it\n%q", stories[0], stories[1])
			}
			t.Logf("%q", stories[0])
		})
	}
}

// step has B's user or the home's take one step, and returns what the client and
// the room say then.
func (g *gated) step(t *testing.T, home *synapse, room, step string) string {
	t.Helper()
	var status int
	var answer map[string]any
	var err error
	switch via := "?server_name=" + url.QueryEscape(home.name) + "&via=" + url.QueryEscape(home.name); step {
	case "knock":
		status, answer = g.b.knock(t, room, home.name, "hello")
	case "join":
		status, answer, err = g.b.call(http.MethodPost, "/_matrix/client/v3/join/"+url.PathEscape(room)+via, map[string]any{})
	case "leave":
		status, answer, err = g.b.call(http.MethodPost, "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/leave", map[string]any{})
	default:
		home.act(t, room, step, g.b.user)
		status = http.StatusOK
	}
	if err != nil {
		t.Fatalf("%s: %v", step, err)
	}
	if status == http.StatusOK {
		answer = nil // it names the room
	} else if status != http.StatusForbidden {
		t.Errorf("%s: %d %v", step, status, answer)
	}
	return fmt.Sprintf("%s: %d %v; membership: %s", step, status, answer, home.membership(t, room, g.b.user))
}

// testRetracted: our own peer knocks and takes it back over federation, and both
// land in the room.
func (g *gated) testRetracted(t *testing.T) {
	p := startOurs(t, "127.0.0.1")
	for _, version := range versions {
		t.Run("version "+string(version), func(t *testing.T) {
			g.homes(t, func(t *testing.T, home *synapse) {
				room := home.createRoom(t, string(version), "knock")
				k := ours.Knock{Server: matrix.ServerName(home.name), Room: matrix.RoomID(room), User: p.User("eve"), Reason: "hello"}
				for _, want := range []string{"knock", "leave", "knock"} {
					k.Retract = want == "leave"
					r, err := p.Knock(t.Context(), k)
					if err != nil {
						t.Fatalf("%s: %v", want, err)
					}
					if r.Outcome() != ours.Allowed {
						t.Fatalf("%s: %s, want it allowed: %+v, %+v", want, r.Outcome(), r.Make, r.Send)
					}
					if got := home.membership(t, room, string(k.User)); got != want {
						t.Errorf("the membership in the room is %q, want %q", got, want)
					}
				}
			})
		})
	}
}

// loopbackClient returns a client of servers on loopback, whose certificates are
// self-signed.
func loopbackClient(t *testing.T) *discovery.Client {
	c := discovery.NewClient(discovery.Options{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, LoopbackSelfSigned: true})
	t.Cleanup(c.Close)
	return c
}

// act has the user do something to another's membership.
func (s *synapse) act(t *testing.T, room, action, user string) {
	t.Helper()
	if status, answer, err := s.call(http.MethodPost, "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/"+action, map[string]any{"user_id": user}); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %v %v", action, status, answer, err)
	}
}

// setState sends a state event with an empty state key.
func (s *synapse) setState(t *testing.T, room, eventType string, content map[string]any) {
	t.Helper()
	status, answer, err := s.call(http.MethodPut, "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/state/"+eventType+"/", content)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %v %v", eventType, status, answer, err)
	}
}
