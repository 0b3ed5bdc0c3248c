package resident

import (
	"context"
	"fmt"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// TestMembership: a knock and a leave of a user with each membership there is.
func TestMembership(t *testing.T) {
	const refused = "403 M_FORBIDDEN"
	// sets has our user set memberships, one after the other; "knock" is the
	// user's own.
	sets := func(memberships ...string) func(*world, matrix.RoomID, matrix.UserID) {
		return func(w *world, id matrix.RoomID, u matrix.UserID) {
			for _, m := range memberships {
				if m == "knock" {
					w.mustKnock(id, u)
				} else {
					w.membership(id, u, m)
				}
			}
		}
	}
	tests := []struct {
		name         string
		prepare      func(w *world, id matrix.RoomID, u matrix.UserID)
		knock, leave string
	}{
		{"none", sets(), "ok", refused},
		{"knocked", sets("knock"), "ok", "ok"},
		{"knocked twice", sets("knock", "knock"), "ok", "ok"},
		{"kicked", sets("knock", "leave"), "ok", refused},
		{"kicked and knocked", sets("knock", "leave", "knock"), "ok", "ok"},
		{"invited", sets("invite"), refused, "ok"},
		{"invited after a knock", sets("knock", "invite"), refused, "ok"},
		{"invite withdrawn", sets("invite", "leave"), "ok", refused},
		{"banned", sets("ban"), refused, refused},
		{"banned after a knock", sets("knock", "ban"), refused, refused},
		{"unbanned", sets("ban", "leave"), "ok", refused},
		{"left", func(w *world, id matrix.RoomID, u matrix.UserID) {
			w.mustKnock(id, u)
			if err := w.send(id, w.leave(w.leaveTemplate(id, u))); err != nil {
				w.tb.Error(err)
			}
		}, "ok", refused},
	}
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		w.mustKnock(id, user("other")) // whose leave is what forged leaves are made of
		for i, tt := range tests {
			u := user(fmt.Sprint("u", i))
			tt.prepare(w, id, u)
			if _, err := w.accept(id, w.knock(w.template(id, u))); status(err) != tt.knock {
				t.Errorf("%s: a knock: %v, want %s", tt.name, err, tt.knock)
			}
			u = user(fmt.Sprint("v", i))
			tt.prepare(w, id, u)
			if _, err := w.LeaveTemplate(context.Background(), w.room(id), u); status(err) != tt.leave {
				t.Errorf("%s: make_leave: %v, want %s", tt.name, err, tt.leave)
			}
			want := w.membershipNow(id, u)
			if tt.leave == "ok" {
				want = "leave"
			}
			e := w.forged(id, u)
			if err := w.Check(context.Background(), w.room(id), e); status(err) != tt.leave {
				t.Errorf("%s: Check of a leave: %v, want %s", tt.name, err, tt.leave)
			}
			if err := w.send(id, e); status(err) != tt.leave || w.membershipNow(id, u) != want {
				t.Errorf("%s: a leave: %v, and the membership is %q; want %s and %q", tt.name, err, w.membershipNow(id, u), tt.leave, want)
			}
		}
		w.checkAgrees(t, id, w.current(id).Position)
		// Joined: only one of our own can be.
		w.set(id, "m.room.join_rules", "", `{"join_rule":"public"}`)
		bob := matrix.UserID("@bob:here.example")
		if _, err := w.SendState(context.Background(), id, bob, "m.room.member", string(bob), []byte(`{"membership":"join"}`)); err != nil {
			t.Fatal(err)
		}
		w.set(id, "m.room.join_rules", "", `{"join_rule":"knock"}`)
		if _, err := w.accept(id, w.knock(w.template(id, bob))); status(err) != "403 M_FORBIDDEN" {
			t.Errorf("joined: %v", err)
		}
	})
}

// TestJoinRules: a knock under each join rule, and under what is none.
func TestJoinRules(t *testing.T) {
	contents := []string{`{"join_rule":"knock"}`, `{"join_rule":"knock_restricted","allow":[]}`, `{"join_rule":"invite"}`,
		`{"join_rule":"public"}`, `{"join_rule":"restricted","allow":[]}`, `{"join_rule":"private"}`, `{}`,
		`{"join_rule":7}`, `{"join_rule":["knock"]}`, `{"join_rule":"Knock"}`, `{"join_rule":null}`}
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		for i, content := range contents {
			want := "403 M_FORBIDDEN"
			if i == 0 || i == 1 && roomVersion(t, version).KnockRestricted {
				want = "ok"
			}
			w.set(id, "m.room.join_rules", "", content)
			e := w.knock(w.template(id, user(fmt.Sprint("u", i))))
			if _, err := w.accept(id, e); status(err) != want {
				t.Errorf("%s: %v, want %s", content, err, want)
			}
		}
	})
}

// TestLocalOnly: m.federate keeps other servers' users out.
func TestLocalOnly(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.createSpec(RoomSpec{Version: roomVersion(t, version), LocalOnly: true})
		if _, err := w.accept(id, w.knock(w.template(id, user("alice")))); status(err) != "403 M_FORBIDDEN" {
			t.Errorf("a user of another server: %v", err)
		}
		if _, err := w.accept(id, w.knock(w.template(id, "@bob:here.example"))); err != nil {
			t.Errorf("a user of this server: %v", err)
		}
	})
}

// TestBetweenMakeAndSend: what happens after the template was made counts.
func TestBetweenMakeAndSend(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		alice, bob := user("alice"), user("bob")
		banned, ruled := w.knock(w.template(id, alice)), w.knock(w.template(id, bob))
		w.membership(id, alice, "ban")
		if _, err := w.accept(id, banned); status(err) != "403 M_FORBIDDEN" {
			t.Errorf("banned in between: %v", err)
		}
		w.set(id, "m.room.join_rules", "", `{"join_rule":"invite"}`)
		if _, err := w.accept(id, ruled); status(err) != "403 M_FORBIDDEN" {
			t.Errorf("the join rule changed in between: %v", err)
		}
		for _, e := range []matrix.EventID{banned.ID(), ruled.ID()} {
			if stored, err := w.Stored(context.Background(), id, e); stored || err != nil {
				t.Errorf("a refused event is stored: %v, %v", stored, err)
			}
		}
		// The knock from before the rule is good again under the old rule.
		w.set(id, "m.room.join_rules", "", `{"join_rule":"knock"}`)
		w.mustAccept(id, ruled)
	})
}

// TestStateBefore: an event that follows an old place of the room is held
// against the state of that place too.
func TestStateBefore(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		alice, carol := user("alice"), user("carol")
		invite := w.set(id, "m.room.join_rules", "", `{"join_rule":"invite"}`)
		w.membership(id, carol, "ban")
		atBan := w.current(id).extremities[0].ID
		w.set(id, "m.room.join_rules", "", `{"join_rule":"knock"}`)
		afterRule := w.current(id).extremities[0].ID
		w.membership(id, carol, "leave")
		w.mustKnock(id, carol) // the own leave is no longer the current state
		w = w.reopen()

		tests := []struct {
			name string
			user matrix.UserID
			prev string
			want string
		}{
			{"by invitation then, knock now", alice, list(invite), "403 M_FORBIDDEN"},
			{"by invitation then, in another event", alice, list(atBan), "403 M_FORBIDDEN"},
			{"knock then and now", alice, list(afterRule), "ok"},
			{"old and new: the newer counts", user("dave"), list(invite, afterRule), "ok"},
			{"banned then, not now", carol, list(afterRule), "403 M_FORBIDDEN"},
		}
		for _, tt := range tests {
			if _, err := w.accept(id, w.knock(w.template(id, tt.user), "prev_events", tt.prev)); status(err) != tt.want {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
		}
	})
}
