package resident

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// TestLeave: a knock is taken back, the same leave again changes nothing, and
// the user may knock anew, in memory and after a restart.
func TestLeave(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		alice := user("alice")
		knock := w.mustKnock(id, alice)
		template := w.leaveTemplate(id, alice)
		e := template.Root().Get("event")
		auth := []matrix.EventID{w.room(id).Create.ID(), w.room(id).PowerLevels.ID(), knock.ID()}
		if version == "12" {
			auth = auth[1:]
		}
		got := map[string]string{}
		for key, v := range e.Members() {
			got[string(key)] = string(v.Canonical())
		}
		delete(got, "origin_server_ts")
		if diff := cmp.Diff(map[string]string{
			"auth_events": list(auth...),
			"content":     `{"membership":"leave"}`,
			"depth":       "10",
			"origin":      `"here.example"`,
			"prev_events": list(knock.ID()),
			"room_id":     `"` + string(id) + `"`,
			"sender":      `"@alice:there.example"`,
			"state_key":   `"@alice:there.example"`,
			"type":        `"m.room.member"`,
		}, got); diff != "" {
			t.Errorf("template (-want +got):\n%s", diff)
		}
		leave := w.leave(template)
		for _, attempt := range []string{"first", "again"} {
			if err := w.send(id, leave); err != nil {
				t.Fatalf("%s: %v", attempt, err)
			}
			if m := w.membershipNow(id, alice); m != "leave" {
				t.Errorf("%s: the membership is %q, want leave", attempt, m)
			}
		}
		w.checkAgrees(t, id, 8+2)

		again := w.mustKnock(id, alice)
		// Neither the old knock nor the old leave comes back.
		for _, old := range []*pdu.Event{leave, knock} {
			err := w.send(id, old)
			if old == knock {
				_, err = w.accept(id, old)
			}
			if err != nil {
				t.Errorf("a replay: %v", err)
			}
			if m := w.room(id).Member(alice); m.ID() != again.ID() {
				t.Errorf("a replay made the membership %q", m.Membership())
			}
		}
		w = w.reopen()
		if err := w.send(id, w.leave(w.leaveTemplate(id, alice))); err != nil {
			t.Errorf("after a restart: %v", err)
		}
		w.checkAgrees(t, id, 8+4)
	})
}

// forged makes a leave of a user from the current state of a room, whatever
// their membership is.
func (w *world) forged(id matrix.RoomID, u matrix.UserID) *pdu.Event {
	w.tb.Helper()
	r := w.room(id)
	auth := pdu.AuthEventIDs(r.Version, pdu.Leave, r.AuthState(u))
	name := `"` + string(u) + `"`
	return w.leave(w.leaveTemplate(id, user("other")), "sender", name, "state_key", name, "auth_events", list(auth...))
}

// TestLeaveInvite: a user who declines an invite can knock, also where nothing
// of the room is in memory, and their leave is part of the state before that.
func TestLeaveInvite(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		for _, restart := range []bool{false, true} {
			w := newWorld(t)
			id := w.create(version)
			alice := user("alice")
			w.membership(id, alice, "invite")
			knock := w.template(id, alice) // of one who is invited
			if err := w.send(id, w.leave(w.leaveTemplate(id, alice))); err != nil {
				t.Fatal(err)
			}
			if _, err := w.accept(id, w.knock(knock)); status(err) != "403 M_FORBIDDEN" {
				t.Errorf("a knock that claims the invite: %v", err)
			}
			if restart {
				w = w.reopen()
			}
			if m := w.membershipNow(id, alice); m != "leave" {
				t.Errorf("the membership is %q, want leave", m)
			}
			after := w.knock(w.template(id, alice))
			// The room has moved on before it comes.
			w.set(id, "m.room.topic", "", `{"topic":"x"}`)
			w.membership(id, user("bob"), "invite")
			w.mustAccept(id, after)
			// Invited again, on top of the leave.
			w.membership(id, alice, "invite")
			if _, err := w.accept(id, w.knock(w.template(id, alice))); status(err) != "403 M_FORBIDDEN" {
				t.Errorf("a knock of one who is invited again: %v", err)
			}
			w.checkAgrees(t, id, 8+6)
		}
	})
}

// TestLeaveReferences: what a leave may name. The join rules have no say over
// it, so it must not list them, and they need not allow knocks.
func TestLeaveReferences(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		alice := user("alice")
		r := w.room(id)
		knock := w.mustKnock(id, alice)
		bobs := w.mustKnock(id, user("bob"))
		w.set(id, "m.room.join_rules", "", `{"join_rule":"invite"}`)
		good := []matrix.EventID{r.Create.ID(), r.PowerLevels.ID(), knock.ID()}
		if version == "12" {
			good = good[1:]
		}
		plus := func(ids ...matrix.EventID) string { return list(slices.Concat(good, ids)...) }
		template := w.leaveTemplate(id, alice)
		for i, tt := range []struct{ name, field, value, want string }{
			{"auth_events with the join rules", "auth_events", plus(r.JoinRules.ID()), "403 M_FORBIDDEN"},
			{"auth_events with another's knock", "auth_events", plus(bobs.ID()), "403 M_FORBIDDEN"},
			{"auth_events without the knock", "auth_events", list(good[:len(good)-1]...), "403 M_FORBIDDEN"},
			{"prev_events unknown", "prev_events", list("$" + strings.Repeat("A", 43)), "400 M_INVALID_PARAM"},
			{"prev_events empty", "prev_events", "[]", "400 M_INVALID_PARAM"},
			{"as the template has it", "origin", "", "ok"},
		} {
			if err := w.send(id, w.leave(template, tt.field, tt.value, "depth", fmt.Sprint(100+i))); status(err) != tt.want {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
		}
	})
}

// TestLeaveBefore: the state before a leave counts, and the one from after it:
// a user who was banned since their knock cannot make a ban a leave, and one who
// was kicked has nothing to take back.
func TestLeaveBefore(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		for _, since := range []string{"ban", "leave"} {
			u := user("user-" + since)
			w.mustKnock(id, u)
			template := w.leaveTemplate(id, u)
			old := w.leave(template)
			w.membership(id, u, since)
			after := list(w.current(id).extremities[0].ID)
			for name, e := range map[string]*pdu.Event{
				"from before": old,
				"from after":  w.leave(template, "prev_events", after),
			} {
				if err := w.send(id, e); status(err) != "403 M_FORBIDDEN" {
					t.Errorf("%s, a leave %s: %v", since, name, err)
				}
			}
			if m := w.membershipNow(id, u); m != since {
				t.Errorf("the membership became %q, want %s", m, since)
			}
			if since == "ban" {
				continue
			}
			// A new knock does not bring the old one back for an event from between.
			w.mustKnock(id, u)
			if err := w.send(id, w.leave(template, "prev_events", after, "depth", "99")); status(err) != "403 M_FORBIDDEN" {
				t.Errorf("a leave from between two knocks: %v", err)
			}
		}
		// Before the knock that it takes back.
		carol := user("carol")
		start := list(w.current(id).extremities[0].ID)
		w.set(id, "m.room.topic", "", `{"topic":"x"}`)
		w.mustKnock(id, carol)
		if err := w.send(id, w.leave(w.leaveTemplate(id, carol), "prev_events", start)); status(err) != "403 M_FORBIDDEN" {
			t.Errorf("a leave from before the knock: %v", err)
		}
	})
}

// TestLeaveFollowsKnock: where the room has more extremities than an event may
// name, the template of a leave names the knock that it takes back.
func TestLeaveFollowsKnock(t *testing.T) {
	w := newWorld(t)
	id := w.create("11")
	template := w.template(id, user("x"))
	var knocks []*pdu.Event
	for n := range 2 * pdu.MaxPrevEvents {
		u := fmt.Sprintf(`"@u%d:there.example"`, n)
		knocks = append(knocks, w.knock(template, "sender", u, "state_key", u))
		w.mustAccept(id, knocks[n])
	}
	first, last := knocks[0], knocks[len(knocks)-1]
	for _, knock := range []*pdu.Event{first, last} {
		leave := w.leave(w.leaveTemplate(id, knock.Sender()))
		if prev := leave.PrevEvents(); !slices.Contains(prev, knock.ID()) || len(prev) != pdu.MaxPrevEvents {
			t.Errorf("prev_events %v, want %d with %s among them", prev, pdu.MaxPrevEvents, knock.ID())
		}
		if err := w.send(id, leave); err != nil {
			t.Error(err)
		}
	}
	w.checkAgrees(t, id, 8+2*pdu.MaxPrevEvents+2)
}

// TestLeaveAtOnce: users knock, leave, are invited and declined all at once. One
// of two leaves at once is taken, and memory and store agree.
func TestLeaveAtOnce(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	id := w.create("11")
	var wg sync.WaitGroup
	for k := range 16 {
		wg.Go(func() {
			u := user(fmt.Sprint("k", k))
			for range 6 {
				knock, err := signKnock(w.template(id, u))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := w.Accept(ctx, w.room(id), knock); err != nil {
					t.Errorf("the knock of %s: %v", u, err)
					return
				}
				template := w.leaveTemplate(id, u)
				var taken [3]error
				var both sync.WaitGroup
				for i := range taken {
					both.Go(func() {
						if i == 2 {
							_, taken[i] = w.Decline(ctx, id, u, "")
							return
						}
						e, err := signKnock(template, "content", fmt.Sprintf(`{"membership":"leave","reason":"%d"}`, i))
						if err == nil {
							err = w.Leave(ctx, w.room(id), e)
						}
						taken[i] = err
					})
				}
				both.Wait()
				n := 0
				for _, err := range taken {
					if err == nil {
						n++
					}
				}
				if n != 1 {
					t.Errorf("%s: of two leaves and a decline at once %d were taken, want 1: %v", u, n, taken)
				}
			}
		})
	}
	wg.Wait()
	w.checkAgrees(t, id, 8+2*16*6)
	r, _ := w.Local.room(ctx, id)
	if len(r.queued) != 0 {
		t.Errorf("%d member events are left as queued", len(r.queued))
	}
}
