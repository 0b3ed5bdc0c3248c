package resident

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/store"
)

// TestRestart: what was accepted is there after the store was closed and
// opened again, and so is the place where the room goes on.
func TestRestart(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		alice := w.mustKnock(id, user("alice"))
		template := w.template(id, user("carol"))
		w.mustAccept(id, w.knock(template))
		w.mustAccept(id, w.knock(w.template(id, user("dave")), "prev_events", list(alice.ID())))
		w.membership(id, user("eve"), "ban")
		w.set(id, "m.room.server_acl", "", `{"allow":["*"]}`)
		w.mustKnock(id, user("frank"))
		before := w.current(id)

		again := w.reopen()
		after := again.current(id)
		if diff := cmp.Diff(before.extremities, after.extremities); diff != "" {
			t.Errorf("extremities (-before +after):\n%s", diff)
		}
		if before.Position != after.Position || before.own.last != after.own.last || before.Joined != after.Joined || before.VersionID != after.VersionID {
			t.Errorf("before %+v, after %+v", before.Room, after.Room)
		}
		for at, e := range before.own.events {
			if got := after.own.get(at.typ, at.key); got == nil || got.ID() != e.ID() || after.own.events[at].seq != e.seq {
				t.Errorf("the state at %v differs", at)
			}
		}
		if string(before.own.answer) != string(after.own.answer) {
			t.Errorf("knock state before %s, after %s", before.own.answer, after.own.answer)
		}
		for u, want := range map[string]string{"alice": "knock", "carol": "knock", "eve": "ban", "none": ""} {
			if got := membershipOf(again.room(id).Member(user(u))); got != want {
				t.Errorf("the membership of %s is %q, want %q", u, got, want)
			}
		}
		if r := again.room(id); r.ACL == nil || r.ACL.ID() != before.ACL.ID() {
			t.Error("the ACL is gone")
		}
		again.mustAccept(id, alice)
		again.mustKnock(id, user("grace"))
		again.checkAgrees(t, id, after.Position+1)
	})
}

// TestAnotherProcess: two servers' worth of memory over one file. What one
// writes the other sees, at the latest when it writes itself.
func TestAnotherProcess(t *testing.T) {
	ctx := context.Background()
	a := newWorld(t)
	id := a.create("11")
	b := openWorld(t, a.path)
	c := &clock{time.Now()}
	b.Now = c.Now
	b.room(id)

	alice, bob := user("alice"), user("bob")
	banned := b.knock(b.template(id, alice))
	a.membership(id, alice, "ban")
	a.mustKnock(id, bob)
	// b's memory is behind: its write is refused by the store, and then it
	// knows.
	if _, err := b.Accept(ctx, b.room(id), b.knock(b.template(id, user("carol")))); err != nil {
		t.Errorf("a knock built on an old head: %v", err)
	}
	if _, err := b.Accept(ctx, b.room(id), banned); status(err) != "403 M_FORBIDDEN" {
		t.Errorf("banned by the other process: %v", err)
	}
	if m := membershipOf(b.room(id).Member(bob)); m != "knock" {
		t.Errorf("bob's membership is %q, want the other process's knock", m)
	}

	// A change is seen without a write once a second has gone by.
	a.set(id, "m.room.name", "", `{"name":"Changed"}`)
	c.now = c.now.Add(recheck)
	if got := text(b.room(id).Name, "name"); got != "Changed" {
		t.Errorf("the name is %q a second later", got)
	}
	if got := b.room(id).At; !got.Equal(c.now) {
		t.Errorf("the snapshot is of %v, want %v", got, c.now)
	}
	c.now = c.now.Add(recheck)
	if got := b.room(id).At; !got.Equal(c.now) {
		t.Errorf("an unchanged snapshot is of %v, want %v", got, c.now)
	}

	// Both write at once.
	var wg sync.WaitGroup
	for i, w := range []*world{a, b} {
		for k := range 4 {
			wg.Go(func() {
				for n := range 5 {
					w.mustKnock(id, user(fmt.Sprintf("u%d-%d-%d", i, k, n)))
				}
			})
		}
	}
	wg.Wait()
	c.now = c.now.Add(recheck)
	b.room(id)
	b.checkAgrees(t, id, 8+4+2*4*5)
}

// TestFailedCommit: a write that fails takes those queued behind it along;
// they are tried again and the room is as if it had never been.
func TestFailedCommit(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	id := w.create("11")
	r, err := w.Local.room(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	poison := w.knock(w.template(id, user("poison")))
	// The same event under another room's head: the insert fails on its ID.
	other := w.create("11")
	head := w.current(other).head
	if err := w.Store.Write(ctx, func(tx *store.Tx) error {
		return tx.Append(&store.Append{
			Event: store.Event{ID: poison.ID(), Room: other, Seq: 9, Type: "x", JSON: []byte("{}")},
			After: head,
		})
	}); err != nil {
		t.Fatal(err)
	}
	hold, held := make(chan struct{}), make(chan struct{})
	slot, err := w.Store.Reserve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	slot.Submit(func(*store.Tx) error { close(held); <-hold; return nil }, nil)
	<-held
	// All six are queued while the writer is held.
	events := []*pdu.Event{poison}
	for i := range 5 {
		events = append(events, w.knock(w.template(id, user(fmt.Sprint("u", i)))))
	}
	var calls []*call
	for _, e := range events {
		c, leads := r.begin(e.ID())
		if queued, err := r.queue(ctx, c, e); !leads || !queued {
			t.Fatalf("leads %v, queued %v: %v", leads, queued, err)
		}
		calls = append(calls, c)
	}
	close(hold)
	for i, c := range calls {
		if <-c.done; c.err == nil || errors.Is(c.err, errAgain) != (i > 0) {
			t.Errorf("event %d: %v; want the first to fail and the others to be tried again", i, c.err)
		}
	}
	if got := w.room(id).Position; got != 8 {
		t.Errorf("position %d after six failed writes, want 8", got)
	}
	for i, e := range events {
		if _, err := w.Accept(ctx, w.room(id), e); (err == nil) != (i > 0) {
			t.Errorf("event %d, tried again: %v", i, err)
		}
	}
	w.checkAgrees(t, id, 8+5)
}

// TestClosedStore: nothing is accepted, and nothing hangs.
func TestClosedStore(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	id := w.create("11")
	r, e := w.room(id), w.knock(w.template(id, user("alice")))
	if err := w.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Accept(ctx, r, e); err == nil {
		t.Error("accepted into a closed store")
	}
	if _, err := w.SendState(ctx, id, admin, "m.room.name", "", []byte("{}")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("SendState = %v", err)
	}
}

// TestManyExtremities: a peer makes more of them than are kept in memory; the
// room goes on, and is the same after a restart.
func TestManyExtremities(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	id := w.create("11")
	template := w.template(id, user("x"))
	var wg sync.WaitGroup
	for k := range 10 {
		wg.Go(func() {
			for n := range maxExtremities / 8 {
				u := fmt.Sprintf(`"@u%d-%d:there.example"`, k, n)
				e, err := signKnock(template, "sender", u, "state_key", u)
				if err == nil {
					_, err = w.Accept(ctx, w.room(id), e)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	const total = 8 + 10*(maxExtremities/8)
	s := w.current(id)
	if len(s.extremities) != maxExtremities || s.complete {
		t.Fatalf("%d extremities in memory, complete %v", len(s.extremities), s.complete)
	}
	if n := w.template(id, user("y")).Root().Get("event").Get("prev_events").Len(); n != pdu.MaxPrevEvents {
		t.Errorf("%d prev_events, want %d", n, pdu.MaxPrevEvents)
	}
	// An own event takes the last own one along and 19 others.
	w.set(id, "m.room.topic", "", `{"topic":"x"}`)
	w.mustKnock(id, user("z"))
	w = w.reopen()
	w.mustKnock(id, user("zz"))
	w.checkAgrees(t, id, total+3)
}
