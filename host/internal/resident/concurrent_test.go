package resident

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/store"
)

// TestHammerOneRoom: many users knock on one room at once, from templates old
// and new, while our own users change the room. Every accepted knock is there
// once, and memory and store agree.
func TestHammerOneRoom(t *testing.T) {
	const knockers, each = 32, 12
	ctx := context.Background()
	w := newWorld(t)
	id := w.create("11")
	var mu sync.Mutex
	accepted := make(map[matrix.EventID]matrix.UserID)
	latest := make(map[matrix.UserID]matrix.EventID)
	var wg sync.WaitGroup
	for k := range knockers {
		wg.Go(func() {
			u := user(fmt.Sprint("k", k))
			template := w.template(id, u)
			for n := range each {
				if k%2 == 0 {
					template = w.template(id, u)
				}
				e, err := signKnock(template, "content", fmt.Sprintf(`{"membership":"knock","reason":"%d"}`, n))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := w.Accept(ctx, w.room(id), e); err != nil {
					t.Errorf("knock %d of %s: %v", n, u, err)
					return
				}
				mu.Lock()
				accepted[e.ID()], latest[u] = u, e.ID()
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for n := range each {
			w.set(id, "m.room.topic", "", fmt.Sprintf(`{"topic":"%d"}`, n))
		}
	})
	wg.Wait()
	if len(accepted) != knockers*each {
		t.Fatalf("%d knocks accepted, want %d", len(accepted), knockers*each)
	}
	w.checkAgrees(t, id, 8+knockers*each+each)
	for u, e := range latest {
		if got := w.room(id).Member(u).ID(); got != e {
			t.Errorf("the membership of %s is %s, want their last knock %s", u, got, e)
		}
	}
	for e := range accepted {
		if ok, err := w.Stored(ctx, id, e); !ok || err != nil {
			t.Errorf("%s is not stored: %v", e, err)
		}
	}
	w.mustKnock(id, user("after"))
}

// checkAgrees holds the room in memory to the one in the store, and that to
// itself: events counted without a gap, and extremities that are exactly the
// events no other names.
func (w *world) checkAgrees(t *testing.T, id matrix.RoomID, events int64) {
	t.Helper()
	ctx := context.Background()
	data, err := w.Store.LoadRoom(ctx, id, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	s := w.current(id)
	if s.Position != events || data.Head != events {
		t.Errorf("position %d in memory, %d in the store; want %d", s.Position, data.Head, events)
	}
	want := data.Extremities
	if !s.complete && len(s.extremities) < len(want) {
		want = want[:len(s.extremities)]
	}
	if diff := cmp.Diff(want, s.extremities); diff != "" {
		t.Errorf("extremities (-store +memory):\n%s", diff)
	}
	state := make(map[place]matrix.EventID)
	for _, e := range data.OwnState {
		state[place{e.Type, e.StateKey}] = e.ID
	}
	for at, e := range s.own.events {
		if state[at] != e.ID() && !(at.typ == typeMember && e.Membership() == "leave") {
			t.Errorf("the state at %v is %s in memory, %s in the store", at, e.ID(), state[at])
		}
	}
	w.checkCounts(t, s, data)
	// Walk back from the extremities: every event is reached, none of them is
	// an extremity too.
	seen := make(map[matrix.EventID]bool)
	var walk []matrix.EventID
	for _, x := range data.Extremities {
		walk = append(walk, x.ID)
	}
	for len(walk) > 0 {
		at := walk[0]
		walk = walk[1:]
		if seen[at] {
			continue
		}
		seen[at] = true
		row, ok, err := w.Store.Event(ctx, at)
		if err != nil || !ok {
			t.Fatalf("event %s: %v, %v", at, ok, err)
		}
		e, err := pdu.ParseStored(row.JSON, s.Version)
		if err != nil {
			t.Fatal(err)
		}
		base := int64(0)
		for _, prev := range e.PrevEvents() {
			p, _, err := w.Store.Event(ctx, prev)
			if err != nil {
				t.Fatal(err)
			}
			base = max(base, p.Base)
			for _, x := range data.Extremities {
				if x.ID == prev {
					t.Errorf("%s is an extremity, but %s follows it", x.ID, at)
				}
			}
		}
		if row.Own {
			base = row.Seq
		}
		if row.Base != base {
			t.Errorf("event %s has base %d, want %d", at, row.Base, base)
		}
		walk = append(walk, e.PrevEvents()...)
	}
	if int64(len(seen)) != events {
		t.Errorf("%d events reached from the extremities, want %d", len(seen), events)
	}
}

// checkCounts holds what a snapshot counts to all member events in the store.
func (w *world) checkCounts(t *testing.T, s *snapshot, data *store.RoomData) {
	t.Helper()
	rows, err := w.Store.RemoteMembers(context.Background(), s.ID, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var all knock.Counts
	of := map[matrix.ServerName]knock.Counts{"nobody.example": {}}
	for _, row := range append(rows, data.OwnState...) {
		if row.Type != typeMember {
			continue
		}
		e, err := pdu.ParseStored(row.JSON, s.Version)
		if err != nil {
			t.Fatal(err)
		}
		server := matrix.UserID(row.StateKey).Server()
		c := of[server]
		for _, c := range []*knock.Counts{&all, &c} {
			switch e.Membership() {
			case "join":
				c.Joined++
			case pdu.Knock:
				c.Pending++
			case "ban":
				c.Banned++
			}
		}
		of[server] = c
	}
	if diff := cmp.Diff(all, s.Counts); diff != "" {
		t.Errorf("counts (-store +memory):\n%s", diff)
	}
	for server, want := range of {
		if got := s.Of(server); got != want {
			t.Errorf("counts of %s: %+v in memory, %+v in the store", server, got, want)
		}
	}
}

// TestSameEventAtOnce: one event sent fifty times at once is stored once, and
// every request is answered 200.
func TestSameEventAtOnce(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	id := w.create("11")
	for i := range 5 {
		e := w.knock(w.template(id, user(fmt.Sprint("u", i))))
		before := w.room(id).Position
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := w.Accept(ctx, w.room(id), e); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := w.room(id).Position; got != before+1 {
			t.Errorf("50 requests for one event moved the room by %d", got-before)
		}
	}
	w.checkAgrees(t, id, 8+5)
	r, _ := w.Local.room(ctx, id)
	if len(r.accepting) != 0 {
		t.Errorf("%d calls are left", len(r.accepting))
	}
}

// TestLeaderGivesUp: of many requests for one event the one that does the work
// may be cancelled; the others are answered all the same.
func TestLeaderGivesUp(t *testing.T) {
	w := newWorld(t)
	id := w.create("11")
	for i := range 20 {
		e := w.knock(w.template(id, user(fmt.Sprint("u", i))))
		cancelled, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				if n%2 == 0 {
					if _, err := w.Accept(cancelled, w.room(id), e); err != nil && !errors.Is(err, context.Canceled) {
						t.Errorf("cancelled: %v", err)
					}
					return
				}
				if _, err := w.Accept(context.Background(), w.room(id), e); err != nil {
					t.Errorf("not cancelled: %v", err)
				}
			})
		}
		cancel()
		wg.Wait()
	}
	w.checkAgrees(t, id, 8+20)
}
