package resident

import (
	"context"
	"fmt"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// TestMembership: a knock of a user with each membership there is.
func TestMembership(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(w *world, id matrix.RoomID, u matrix.UserID)
		want    string
	}{
		{"none", func(*world, matrix.RoomID, matrix.UserID) {}, "ok"},
		{"knocked", func(w *world, id matrix.RoomID, u matrix.UserID) { w.mustKnock(id, u) }, "ok"},
		{"kicked", func(w *world, id matrix.RoomID, u matrix.UserID) {
			w.mustKnock(id, u)
			w.membership(id, u, "leave")
		}, "ok"},
		{"invited", func(w *world, id matrix.RoomID, u matrix.UserID) { w.membership(id, u, "invite") }, "403 M_FORBIDDEN"},
		{"invited after a knock", func(w *world, id matrix.RoomID, u matrix.UserID) {
			w.mustKnock(id, u)
			w.membership(id, u, "invite")
		}, "403 M_FORBIDDEN"},
		{"invite withdrawn", func(w *world, id matrix.RoomID, u matrix.UserID) {
			w.membership(id, u, "invite")
			w.membership(id, u, "leave")
		}, "ok"},
		{"banned", func(w *world, id matrix.RoomID, u matrix.UserID) { w.membership(id, u, "ban") }, "403 M_FORBIDDEN"},
		{"banned after a knock", func(w *world, id matrix.RoomID, u matrix.UserID) {
			w.mustKnock(id, u)
			w.membership(id, u, "ban")
		}, "403 M_FORBIDDEN"},
		{"unbanned", func(w *world, id matrix.RoomID, u matrix.UserID) {
			w.membership(id, u, "ban")
			w.membership(id, u, "leave")
		}, "ok"},
	}
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		for i, tt := range tests {
			u := user(fmt.Sprint("u", i))
			tt.prepare(w, id, u)
			if _, err := w.accept(id, w.knock(w.template(id, u))); status(err) != tt.want {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
		}
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
