package main

import (
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// What Complement, the test suite of Matrix homeservers, asserts about knocking,
// asked over federation: this server has no client API, so Complement itself
// cannot drive it. The names are Complement's own; the tests are ours.
//
// TestKnocking plays its subtests once with a user of the resident server and
// once with one of another server. Here it is always the other server.

// complementRooms are the rooms that Complement's two knocking tests use.
var complementRooms = []struct{ test, version, joinRule string }{
	{"TestKnocking", "7", "knock"},
	{"TestKnockingInMSC3787Room", "10", "knock_restricted"},
}

// complementElsewhere are the assertions that are not here, and why. Those that
// need a homeserver with a client API are the gateway's test's, with a Synapse
// behind it.
var complementElsewhere = map[string]string{
	"TestKnocking/with a user of the resident server":                                                   "the user's own server knocks for them by its client API; through the gateway",
	"TestKnocking/Attempting to join a room with join rule 'knock' without an invite should fail":       "make_join and send_join are not endpoints of a resident Knockgate; through the gateway",
	"TestKnocking/Users in the room see a user's membership update when they knock/over federation":     "rooms here have no other servers to tell; through the gateway",
	"TestKnocking/A user that has knocked on a local room can rescind their knock and then knock again": "the original asks for it of local users only, by the client API; TestRetractEveryRoomVersion asks it over federation",
	"TestKnockRoomsInPublicRoomsDirectory":                                                              "the room directory is the client API's; through the gateway",
	"TestKnockRoomsInPublicRoomsDirectoryInMSC3787Room":                                                 "the room directory is the client API's; through the gateway",
	"Rejects make_knock during partial join":                                                            "no room here is ever joined from another server, so none is in part; through the gateway",
	"Rejects send_knock during partial join":                                                            "no room here is ever joined from another server, so none is in part; through the gateway",
}

// TestComplementKnocking is TestKnocking and TestKnockingInMSC3787Room: one user
// and one room through all subtests, in their order.
func TestComplementKnocking(t *testing.T) {
	for _, c := range complementRooms {
		t.Run(c.test, func(t *testing.T) {
			w := newWorld(t, allowAll, nil)
			p := w.peer()
			room, charlie := w.room(c.version, "invite"), p.User("charlie")
			knock := func(t *testing.T, reason string, status int) {
				t.Helper()
				k := peer.Knock{Server: w.name, Room: room, User: charlie, Reason: reason}
				r, err := p.Knock(t.Context(), k)
				if err != nil {
					t.Fatal(err)
				}
				last := r.Make
				if r.Send != nil {
					last = r.Send
				}
				if last.Status != status {
					t.Errorf("%d %s, want %d", last.Status, last.Body, status)
				}
				if status == 200 {
					seen(t, w, room, charlie, reason)
				}
			}
			member := func(t *testing.T, membership string) {
				t.Helper()
				w.state(room, "m.room.member", string(charlie), `{"membership":"`+membership+`"}`)
				if got := w.membership(room, charlie); got != membership {
					t.Errorf("membership = %q, want %q", got, membership)
				}
			}
			run := func(name string, do func(t *testing.T)) {
				if !t.Run(name, do) {
					t.FailNow() // what follows builds on it
				}
			}
			run("Knocking on a room with a join rule other than 'knock' should fail", func(t *testing.T) {
				knock(t, "Can I knock anyways?", 403)
			})
			run("Change the join rule of a room from 'invite' to 'knock'", func(t *testing.T) {
				w.state(room, "m.room.join_rules", "", `{"join_rule":"`+c.joinRule+`"}`)
			})
			run("Knocking on a room with join rule 'knock' should succeed", func(t *testing.T) {
				knock(t, "Let me in... LET ME IN!!!", 200)
			})
			// What the original waits for in the member's client is what
			// the room's state has: knock looks at it each time.
			run("A user that has already knocked is allowed to knock again on the same room", func(t *testing.T) {
				knock(t, "I really like knock knock jokes", 200)
			})
			run("Users in the room see a user's membership update when they knock", func(t *testing.T) {
				seen(t, w, room, charlie, "I really like knock knock jokes")
			})
			run("A user in the room can reject a knock", func(t *testing.T) {
				member(t, "leave")
				knock(t, "Pleeease let me in?", 200)
			})
			run("A user can knock on a room without a reason", func(t *testing.T) {
				member(t, "leave")
				knock(t, "", 200)
			})
			run("A user in the room can accept a knock", func(t *testing.T) { member(t, "invite") })
			// As in the original, the user is invited by now and has not joined.
			run("A user cannot knock on a room they are already in", func(t *testing.T) {
				knock(t, "I'm sticking my hand out the window and knocking again!", 403)
			})
			run("A user that is banned from a room cannot knock on it", func(t *testing.T) {
				member(t, "ban")
				knock(t, "I didn't mean it!", 403)
			})
			if got := w.membership(room, charlie); got != "ban" {
				t.Errorf("membership = %q in the end, want ban", got)
			}
		})
	}
}

// seen fails unless the room's state has a user's knock with this reason.
func seen(t *testing.T, w *world, room matrix.RoomID, user matrix.UserID, reason string) {
	t.Helper()
	r, err := w.rooms.Room(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	event := r.Member(user)
	if event == nil || event.Membership() != "knock" || event.Sender() != user {
		t.Fatalf("the member event of %s is %v, want a knock", user, event)
	}
	if got, _ := event.Content().Get("reason").Text(); got != reason {
		t.Errorf("reason = %q, want %q", got, reason)
	}
}

// TestComplementJoinedCannotKnock is what the name of Complement's "A user
// cannot knock on a room they are already in" says; its user is only invited.
func TestComplementJoinedCannotKnock(t *testing.T) {
	for _, c := range complementRooms {
		s := newScene(t)
		room, user := s.w.room(c.version, c.joinRule), s.p.User("charlie")
		s.join(t, s.p, room, user)
		if x := s.w.do(t, s.p, http.MethodGet, peer.MakeTarget(room, user, nil), nil); x.Status != 403 {
			t.Errorf("%s: %d, want 403", c.test, x.Status)
		}
	}
}

// TestComplementNonKnockViaSendKnock is TestCannotSendNonKnockViaSendKnock and
// TestCannotSendKnockViaSendKnockInMSC3787Room. The sender is joined, so that a
// server that looked at the rules before the event's shape would say 403.
func TestComplementNonKnockViaSendKnock(t *testing.T) {
	for test, version := range map[string]string{
		"TestCannotSendNonKnockViaSendKnock":           "7",
		"TestCannotSendKnockViaSendKnockInMSC3787Room": "10",
	} {
		t.Run(test, func(t *testing.T) {
			s := newScene(t)
			room := s.w.room(version, "public")
			charlie := s.p.User("charlie")
			s.join(t, s.p, room, charlie)
			v, _ := matrix.LookupRoomVersion(version)
			type fields = map[string]any
			tests := []struct {
				name string
				edit func(e fields)
			}{
				{"regular event", func(e fields) {
					e["type"], e["content"] = "m.room.message", fields{"body": "bzz"}
					delete(e, "state_key")
				}},
				{"non-state membership event", func(e fields) {
					e["content"] = fields{"body": "bzz"}
					delete(e, "state_key")
				}},
				{"join event", func(e fields) { content(e)["membership"] = "join" }},
				{"leave event", func(e fields) { content(e)["membership"] = "leave" }},
				{"invite event", func(e fields) { content(e)["membership"] = "invite" }},
				{"event with mismatched state key", func(e fields) { e["state_key"] = s.p.User("doris") }},
			}
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					event, id := s.w.signRaw(t, s.p, edited(t, s.template(t, room, charlie), tt.edit), v)
					before := readLedger(t, s.w)
					x := s.put(room, id, event).do(t)
					if code, _ := x.Errcode(); x.Status != 400 || code != "M_INVALID_PARAM" {
						t.Errorf("%d %s, want 400 M_INVALID_PARAM", x.Status, code)
					}
					before.check(t, readLedger(t, s.w), nothing, x.Status)
				})
			}
		})
	}
}

// TestComplementUnknownRoom is all that a resident server has of the tests with
// a partial join: a room that it cannot speak for is 404 M_NOT_FOUND in both
// phases, and the peer asks another server. So is one that its own users left.
func TestComplementUnknownRoom(t *testing.T) {
	s := newScene(t)
	event, id := s.w.signed(t, s.p, s.room, "charlie", nil)
	admin := "@admin:" + s.w.name
	if _, err := s.w.rooms.SendState(t.Context(), s.room, matrix.UserID(admin), "m.room.member", string(admin), []byte(`{"membership":"leave"}`)); err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]exchange{
		"Rejects make_knock": s.makes(s.p, s.room, s.p.User("charlie")),
		"Rejects send_knock": s.put(s.room, id, event),
	} {
		before := readLedger(t, s.w)
		x := e.do(t)
		if code, _ := x.Errcode(); x.Status != 404 || code != "M_NOT_FOUND" {
			t.Errorf("%s: %d %s, want 404 M_NOT_FOUND", name, x.Status, code)
		}
		before.check(t, readLedger(t, s.w), nothing, x.Status)
	}
}

// complementNames are all of Complement's tests and subtests about knocking, in
// its tests/knocking_test.go, knock_restricted_test.go, federation_room_join_test.go
// and msc3902. Those in rooms of knock_restricted are the same again.
var complementNames = []string{
	"TestKnocking/with a user of the resident server",
	"TestKnocking/Knocking on a room with a join rule other than 'knock' should fail",
	"TestKnocking/Change the join rule of a room from 'invite' to 'knock'",
	"TestKnocking/Attempting to join a room with join rule 'knock' without an invite should fail",
	"TestKnocking/Knocking on a room with join rule 'knock' should succeed",
	"TestKnocking/A user that has already knocked is allowed to knock again on the same room",
	"TestKnocking/Users in the room see a user's membership update when they knock",
	"TestKnocking/Users in the room see a user's membership update when they knock/over federation",
	"TestKnocking/A user that has knocked on a local room can rescind their knock and then knock again",
	"TestKnocking/A user in the room can reject a knock",
	"TestKnocking/A user can knock on a room without a reason",
	"TestKnocking/A user in the room can accept a knock",
	"TestKnocking/A user cannot knock on a room they are already in",
	"TestKnocking/A user that is banned from a room cannot knock on it",
	"TestKnockRoomsInPublicRoomsDirectory",
	"TestKnockRoomsInPublicRoomsDirectoryInMSC3787Room",
	"TestCannotSendNonKnockViaSendKnock/regular event",
	"TestCannotSendNonKnockViaSendKnock/non-state membership event",
	"TestCannotSendNonKnockViaSendKnock/join event",
	"TestCannotSendNonKnockViaSendKnock/leave event",
	"TestCannotSendNonKnockViaSendKnock/invite event",
	"TestCannotSendNonKnockViaSendKnock/event with mismatched state key",
	"Rejects make_knock during partial join",
	"Rejects send_knock during partial join",
}

// TestComplementIsComplete: each name has a test in this file, or a reason to
// have none.
func TestComplementIsComplete(t *testing.T) {
	source, err := os.ReadFile("complement_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, name := range complementNames {
		names[name] = true
		reason, elsewhere := complementElsewhere[name]
		// As the first argument of run, or the first field of a row.
		subtest := regexp.MustCompile(`[({]` + regexp.QuoteMeta(strconv.Quote(name[strings.LastIndexByte(name, '/')+1:])) + `, func`)
		here := subtest.Match(source)
		switch {
		case elsewhere && !here:
			t.Logf("not here: %s: %s", name, reason)
		case elsewhere == here:
			t.Errorf("%s: here: %v, with a reason to be elsewhere: %v", name, here, elsewhere)
		}
	}
	for name := range complementElsewhere {
		if !names[name] {
			t.Errorf("%s is no name of Complement's", name)
		}
	}
}
