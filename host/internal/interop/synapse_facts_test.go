package interop

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/upstream"
)

// TestSynapseFacts has each source tell of the same rooms of a real Synapse: the
// admin API and a bot that has joined say the same, to the last field, about each
// of the users; a bot that has not, or no longer, says what the summary has of it.
func TestSynapseFacts(t *testing.T) {
	root := synapseRoot(t)
	alice := startSynapse(t, root, home{})
	alice.registerAdmin(t, "alice")
	user := func(name string) *synapse {
		u := *alice
		u.token = ""
		u.register(t, name)
		return &u
	}
	bot, waits, declined, banned, joined := user("bot"), user("waits"), user("declined"), user("banned"), user("joined")

	ask := func(t *testing.T, s *synapse, method, path string, body any) {
		t.Helper()
		if status, answer, err := s.call(method, "/_matrix/client/v3/"+path, body); err != nil || status != http.StatusOK {
			t.Fatalf("%s %s: %d %v %v", method, path, status, answer, err)
		}
	}
	makeRoom := func(t *testing.T, version, rule string) string {
		t.Helper()
		room := alice.createRoom(t, version, rule)
		id := url.PathEscape(room)
		alias := fmt.Sprintf("#%s-%s:%s", rule, version, alice.name)
		ask(t, alice, http.MethodPut, "directory/room/"+url.PathEscape(alias), map[string]any{"room_id": room})
		for _, s := range []struct {
			typ     string
			content map[string]any
		}{
			{"m.room.canonical_alias", map[string]any{"alias": alias}},
			{"m.room.topic", map[string]any{"topic": "A topic \u2028 \U0001F6AA"}},
			{"m.room.encryption", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}},
			{"m.room.server_acl", map[string]any{"deny": []string{"*.evil.example"}, "allow": []string{"*"}, "allow_ip_literals": true}},
		} {
			ask(t, alice, http.MethodPut, "rooms/"+id+"/state/"+s.typ, s.content)
		}
		for _, u := range []*synapse{waits, declined} {
			ask(t, u, http.MethodPost, "knock/"+id, map[string]any{"reason": "hello"})
		}
		ask(t, alice, http.MethodPost, "rooms/"+id+"/kick", map[string]any{"user_id": declined.user})
		ask(t, alice, http.MethodPost, "rooms/"+id+"/ban", map[string]any{"user_id": banned.user})
		for _, u := range []*synapse{joined, bot} {
			ask(t, alice, http.MethodPost, "rooms/"+id+"/invite", map[string]any{"user_id": u.user})
			ask(t, u, http.MethodPost, "rooms/"+id+"/join", map[string]any{})
		}
		return room
	}

	api := func(s *synapse) upstream.API {
		u, err := url.Parse(s.client)
		if err != nil {
			t.Fatal(err)
		}
		up := upstream.New(upstream.Options{URL: u, ConnectTimeout: startTime})
		t.Cleanup(up.Close)
		return upstream.API{URL: u, Upstream: up, Token: func() (string, error) { return s.token, nil }}
	}
	rooms := func(sources ...upstream.Source) *upstream.Rooms {
		return upstream.NewRooms(upstream.RoomsOptions{Sources: sources, MaxAge: time.Hour, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	}
	admin, bots := rooms(upstream.NewAdmin(api(alice))), rooms(upstream.NewBot(api(bot)))
	told := func(r *upstream.Rooms, room, user string) knock.Outline {
		o := *r.Outline(context.Background(), matrix.RoomID(room), matrix.UserID(user))
		o.At = time.Time{}
		return o
	}
	// Synapse brings its summaries up to date a moment after the events.
	eventually := func(t *testing.T, r *upstream.Rooms, room, user string, want knock.Outline) {
		t.Helper()
		for end := time.Now().Add(startTime); ; {
			diff := cmp.Diff(want, told(r, room, user))
			if diff == "" {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s (-want +got):\n%s", user, diff)
			}
			time.Sleep(20 * time.Millisecond) // until its summary is of now
			r.Forget(matrix.RoomID(room))
		}
	}

	for _, c := range []struct{ version, rule string }{{"7", "knock"}, {"10", "knock_restricted"}, {"11", "knock"}, {"12", "knock"}} {
		t.Run(c.version+" "+c.rule, func(t *testing.T) {
			room := makeRoom(t, c.version, c.rule)
			server := matrix.UserID(alice.user).Server()
			all := knock.Outline{
				ID: matrix.RoomID(room), VersionID: c.version, Known: true, JoinRule: c.rule, Name: "Room of version " + c.version,
				Alias: fmt.Sprintf("#%s-%s:%s", c.rule, c.version, alice.name), Topic: "A topic \u2028 \U0001F6AA", Encrypted: true,
				ACLTold: true, ACL: `{"allow":["*"],"allow_ip_literals":true,"deny":["*.evil.example"]}`,
				MembersRead: true, Counts: knock.Counts{Joined: 3, Pending: 1, Banned: 1},
			}
			since := map[string]int64{}
			for _, u := range []struct {
				user, membership, by string
			}{
				{alice.user, "join", alice.user}, {waits.user, "knock", waits.user}, {declined.user, "leave", alice.user},
				{banned.user, "ban", alice.user}, {joined.user, "join", joined.user}, {"@nobody:" + string(server), "", ""}, {"@nobody:other.example", "", ""},
			} {
				want := all
				want.Membership, want.By = u.membership, matrix.UserID(u.by)
				if matrix.UserID(u.user).Server() == server {
					want.OfServer = all.Counts
				}
				if u.by != "" {
					now := time.Now().UnixMilli()
					want.SinceMS = told(bots, room, u.user).SinceMS
					if since[u.user] = want.SinceMS; want.SinceMS > now || want.SinceMS < now-time.Hour.Milliseconds() {
						t.Errorf("%s is a member since %d, now is %d", u.user, want.SinceMS, now)
					}
				}
				eventually(t, bots, room, u.user, want)
				eventually(t, admin, room, u.user, want)
			}
			if since[declined.user] <= since[waits.user] {
				t.Errorf("the decline is of %d, not after the knock at %d", since[declined.user], since[waits.user])
			}

			// Without its membership the bot has the summary.
			seen := all
			seen.ACLTold, seen.ACL, seen.MembersRead, seen.Counts = false, "", false, knock.Counts{Joined: 2}
			ask(t, bot, http.MethodPost, "rooms/"+url.PathEscape(room)+"/leave", map[string]any{})
			ask(t, alice, http.MethodPut, "rooms/"+url.PathEscape(room)+"/state/m.room.name", map[string]any{"name": "Other"})
			if got := told(bots, room, waits.user); got.Name != all.Name {
				t.Errorf("what is remembered was asked for again: %+v", got)
			}
			seen.Name = "Other"
			eventually(t, bots, room, waits.user, seen)
		})
	}
	t.Run("no ACL", func(t *testing.T) {
		room := alice.createRoom(t, "11", "knock")
		id := url.PathEscape(room)
		ask(t, alice, http.MethodPost, "rooms/"+id+"/invite", map[string]any{"user_id": bot.user})
		ask(t, bot, http.MethodPost, "rooms/"+id+"/join", map[string]any{})
		for _, r := range []*upstream.Rooms{admin, bots} {
			if got := told(r, room, waits.user); !got.Known || !got.ACLTold || got.ACL != "" || got.Encrypted || got.Alias != "" || got.Topic != "" {
				t.Errorf("told %+v", got)
			}
		}
	})
	t.Run("not known", func(t *testing.T) {
		secret := alice.createRoom(t, "11", "invite")
		unknown := "!unknown:" + alice.name
		noAdmin := rooms(upstream.NewAdmin(api(bot)))
		for _, c := range []struct {
			name string
			r    *upstream.Rooms
			room string
		}{
			{"an unknown room, admin", admin, unknown}, {"an unknown room, bot", bots, unknown},
			{"another server's, bot", bots, "!room:other.example"}, {"one by its hash, bot", bots, "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"},
			{"a room that cannot be knocked on, bot", bots, secret}, {"no administrator", noAdmin, secret},
		} {
			if got := told(c.r, c.room, waits.user); got != (knock.Outline{ID: matrix.RoomID(c.room)}) {
				t.Errorf("%s: told %+v", c.name, got)
			}
		}
		// The next one does.
		if got := told(rooms(upstream.NewAdmin(api(bot)), upstream.NewAdmin(api(alice))), secret, waits.user); !got.Known || got.JoinRule != "invite" {
			t.Errorf("told %+v by the second source", got)
		}
	})
}
