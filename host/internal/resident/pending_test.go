package resident

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// pending returns the users whose knocks are pending, in order.
func (w *world) pending(id matrix.RoomID) (users []matrix.UserID) {
	w.tb.Helper()
	for p, err := range w.Pending(context.Background(), id) {
		if err != nil {
			w.tb.Fatal(err)
		}
		users = append(users, p.User)
	}
	return users
}

// TestPending: knocks are listed until somebody answers them, in the order in
// which they came.
func TestPending(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		w.mustKnock(w.create(version), user("elsewhere"))
		alice, bob, carol, dave, erin := user("alice"), user("bob"), user("carol"), user("dave"), user("erin")
		for _, u := range []matrix.UserID{dave, bob, alice, carol, erin} {
			w.mustKnock(id, u)
		}
		w.membership(id, bob, "invite")
		w.membership(id, alice, "ban")
		if err := w.send(id, w.leave(w.leaveTemplate(id, carol))); err != nil {
			t.Fatal(err)
		}
		e := w.knock(w.template(id, dave), "content", `{"membership":"knock","reason":"again\u001b[31m","displayname":"D"}`, "origin_server_ts", "1700000000123")
		w.mustAccept(id, e)
		if diff := cmp.Diff([]matrix.UserID{erin, dave}, w.pending(id)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for p := range w.Pending(context.Background(), id) {
			want := Pending{Room: id, User: dave, Event: e.ID(), Reason: "again\x1b[31m", Displayname: "D", Since: time.UnixMilli(1700000000123)}
			if p.User == dave && p != want {
				t.Errorf("%+v, want %+v", p, want)
			}
		}
	})
}

// TestPendingMany: more knocks than are read at a time, and a caller that has
// seen enough.
func TestPendingMany(t *testing.T) {
	w := newWorld(t)
	id := w.create("11")
	var want []matrix.UserID
	for n := range 2*knocksAtOnce + 1 {
		u := user(fmt.Sprint("u", n))
		w.mustKnock(id, u)
		want = append(want, u)
	}
	if diff := cmp.Diff(want, w.pending(id)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for p, err := range w.Pending(context.Background(), id) {
		if p.User != want[0] || err != nil {
			t.Errorf("the first is %v, %v", p.User, err)
		}
		break
	}
	for _, err := range w.Pending(context.Background(), "!none:here.example") {
		if status(err) != "404 M_NOT_FOUND" {
			t.Errorf("an unknown room: %v", err)
		}
	}
}

// TestDecline: a decline ends a pending knock and nothing else, and the user
// may knock again.
func TestDecline(t *testing.T) {
	ctx := context.Background()
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		alice := user("alice")
		for _, reason := range []string{"", "not \"now\""} {
			w.mustKnock(id, alice)
			d, err := w.Decline(ctx, id, alice, reason)
			if err != nil || d.By != admin {
				t.Fatalf("%+v, %v; want it done by %s", d, err, admin)
			}
			m := w.room(id).Member(alice)
			if m.ID() != d.Event || m.Membership() != "leave" || m.Sender() != admin || text(m, "reason") != reason {
				t.Errorf("the membership is %s", m.JSON())
			}
			if _, err := w.Decline(ctx, id, alice, ""); wanted(err) != "leave" {
				t.Errorf("a second time: %v", err)
			}
		}
		for name, prepare := range map[string]func(u matrix.UserID){
			"":       func(matrix.UserID) {},
			"invite": func(u matrix.UserID) { w.membership(id, u, "invite") },
			"ban":    func(u matrix.UserID) { w.mustKnock(id, u); w.membership(id, u, "ban") },
		} {
			u := user("u" + name)
			prepare(u)
			if _, err := w.Decline(ctx, id, u, ""); wanted(err) != name {
				t.Errorf("membership %q: %v", name, err)
			}
			if m := w.membershipNow(id, u); m != name {
				t.Errorf("membership %q became %q", name, m)
			}
		}
		if _, err := w.Decline(ctx, "!none:here.example", alice, ""); status(err) != "404 M_NOT_FOUND" {
			t.Errorf("an unknown room: %v", err)
		}
	})
}

// wanted returns the membership that a MembershipError says is the case.
func wanted(err error) string {
	var e *MembershipError
	if !errors.As(err, &e) {
		return fmt.Sprintf("no MembershipError: %v", err)
	}
	return e.Is
}

// TestDeclineBy: who declines is who may, and where nobody may it fails.
func TestDeclineBy(t *testing.T) {
	ctx := context.Background()
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		bob := matrix.UserID("@a-bob:here.example")
		w.membership(id, bob, "invite")
		if _, err := w.SendState(ctx, id, bob, "m.room.member", string(bob), []byte(`{"membership":"join"}`)); err != nil {
			t.Fatal(err)
		}
		w.mustKnock(id, user("alice"))
		if d, err := w.Decline(ctx, id, user("alice"), ""); err != nil || d.By != admin {
			t.Errorf("%+v, %v; want it done by %s", d, err, admin)
		}
		w.membership(id, admin, "leave")
		w.mustKnock(id, user("alice"))
		if _, err := w.Decline(ctx, id, user("alice"), ""); status(err) != "403 M_FORBIDDEN" {
			t.Errorf("by a member without power: %v", err)
		}
		if m := w.membershipNow(id, user("alice")); m != "knock" {
			t.Errorf("the membership became %q", m)
		}
	})
}

// TestDeclineByAnotherProcess: one process declines what another accepted. That
// one takes the next knock, and takes no leave of a knock that is gone.
func TestDeclineByAnotherProcess(t *testing.T) {
	ctx := context.Background()
	serve := newWorld(t)
	c := &clock{time.Now()}
	serve.Now = c.Now
	id := serve.create("11")
	alice, bob := user("alice"), user("bob")
	serve.mustKnock(id, alice)
	serve.mustKnock(id, bob)
	gone := serve.leave(serve.leaveTemplate(id, alice))

	command := openWorld(t, serve.path)
	if diff := cmp.Diff([]matrix.UserID{alice, bob}, command.pending(id)); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	if _, err := command.Decline(ctx, id, alice, ""); err != nil {
		t.Fatal(err)
	}
	// The clock stands still: serve has not looked at the store since.
	if err := serve.send(id, gone); status(err) != "403 M_FORBIDDEN" {
		t.Errorf("a leave of the declined knock: %v", err)
	}
	serve.mustKnock(id, alice)
	if err := serve.send(id, serve.leave(serve.leaveTemplate(id, bob))); err != nil {
		t.Errorf("a leave of the other knock: %v", err)
	}
	if _, err := command.Decline(ctx, id, bob, ""); wanted(err) != "leave" {
		t.Errorf("a decline of what was taken back meanwhile: %v", err)
	}
	if _, err := command.Decline(ctx, id, alice, ""); err != nil {
		t.Errorf("a decline of the new knock: %v", err)
	}
	c.now = c.now.Add(recheck)
	if m := serve.membershipNow(id, alice); m != "leave" {
		t.Errorf("the membership of %s is %q for the server, want leave", alice, m)
	}
	serve.checkAgrees(t, id, 8+6)
}
