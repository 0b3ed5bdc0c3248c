package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openTest opens a store in a new folder.
func openTest(t testing.TB) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "store.db"))
}

func openAt(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const testRoom = matrix.RoomID("!room:here.example")

func makeRoom(t testing.TB, s *Store, id matrix.RoomID) {
	t.Helper()
	if err := s.Write(context.Background(), func(tx *Tx) error { return tx.InsertRoom(id, "11", time.Now()) }); err != nil {
		t.Fatal(err)
	}
}

// event is the seq-th event of a room, by a user of its own.
func event(room matrix.RoomID, seq int64, prev ...matrix.EventID) *Append {
	user := fmt.Sprintf("@u%d:there.example", seq)
	return &Append{
		Event: Event{
			ID: eventID(seq), Room: room, Seq: seq, Type: "m.room.member", StateKey: user,
			Sender: matrix.UserID(user), Depth: seq, Base: 1, Own: seq == 1, JSON: []byte(`{"depth":1}`),
		},
		After: after(seq), Prev: prev, Current: true,
	}
}

func after(seq int64) matrix.EventID {
	if seq == 1 {
		return ""
	}
	return eventID(seq - 1)
}

func eventID(seq int64) matrix.EventID { return matrix.EventID(fmt.Sprintf("$%043d", seq)) }

func TestRoundTrip(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "a folder?%20#", "store.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path)
	makeRoom(t, s, testRoom)
	first, second, third := event(testRoom, 1), event(testRoom, 2, eventID(1)), event(testRoom, 3, eventID(1))
	third.Current = false
	for _, a := range []*Append{first, second, third} {
		if err := s.Write(ctx, func(tx *Tx) error { return tx.Append(a) }); err != nil {
			t.Fatal(err)
		}
	}
	check := func(s *Store) {
		t.Helper()
		got, err := s.LoadRoom(ctx, testRoom, 10)
		if err != nil {
			t.Fatal(err)
		}
		want := &RoomData{
			Room:        Room{ID: testRoom, Version: "11", Head: 3, HeadEvent: eventID(3)},
			OwnState:    []Event{first.Event},
			Extremities: []Extremity{{ID: eventID(3), Base: 1, Seq: 3, Depth: 3}, {ID: eventID(2), Base: 1, Seq: 2, Depth: 2}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("LoadRoom (-want +got):\n%s", diff)
		}
		if got, err := s.LoadRoom(ctx, testRoom, 1); err != nil || !got.Truncated || len(got.Extremities) != 1 || got.Extremities[0].ID != eventID(3) {
			t.Errorf("LoadRoom with limit 1 = %+v, %v; want the highest extremity and Truncated", got, err)
		}
		if e, ok, err := s.StateEvent(ctx, testRoom, "m.room.member", "@u2:there.example"); err != nil || !ok || !cmp.Equal(e, second.Event) {
			t.Errorf("StateEvent = %+v, %v, %v; want the second event", e, ok, err)
		}
		if _, ok, err := s.StateEvent(ctx, testRoom, "m.room.member", "@u3:there.example"); err != nil || ok {
			t.Errorf("an event that is not current is state: %v, %v", ok, err)
		}
		if _, ok, err := s.OwnStateAt(ctx, testRoom, "m.room.member", "@u1:there.example", 3); err != nil || !ok {
			t.Errorf("OwnStateAt(3) = %v, %v; want the own event", ok, err)
		}
		if _, ok, err := s.OwnStateAt(ctx, testRoom, "m.room.member", "@u1:there.example", 0); err != nil || ok {
			t.Errorf("OwnStateAt(0) = %v, %v; want none", ok, err)
		}
		for room, want := range map[matrix.RoomID]bool{testRoom: true, "!other:here.example": false} {
			if got, err := s.HasEvent(ctx, room, eventID(2)); err != nil || got != want {
				t.Errorf("HasEvent in %s = %v, %v; want %v", room, got, err, want)
			}
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(openAt(t, path))

	if data, err := s.LoadRoom(ctx, "!none:x", 1); err == nil {
		t.Errorf("reading a closed store gave %v", data)
	}
}

func TestUnknown(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	if _, ok, err := s.Room(ctx, "!none:x"); ok || err != nil {
		t.Errorf("Room = %v, %v", ok, err)
	}
	if data, err := s.LoadRoom(ctx, "!none:x", 1); data != nil || err != nil {
		t.Errorf("LoadRoom = %v, %v", data, err)
	}
	if _, ok, err := s.Event(ctx, eventID(1)); ok || err != nil {
		t.Errorf("Event = %v, %v", ok, err)
	}
	if _, _, ok, err := s.LoadKeys(ctx, "none.example"); ok || err != nil {
		t.Errorf("LoadKeys = %v, %v", ok, err)
	}
}

func TestKeys(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	at := time.UnixMilli(1_700_000_000_123).UTC()
	for i, body := range []string{`{"a":1}`, `{"a":2}`} {
		at := at.Add(time.Duration(i) * time.Hour)
		if err := s.SaveKeys(ctx, "there.example:8448", []byte(body), at); err != nil {
			t.Fatal(err)
		}
		got, gotAt, ok, err := s.LoadKeys(ctx, "there.example:8448")
		if err != nil || !ok || string(got) != body || !gotAt.Equal(at) {
			t.Errorf("LoadKeys = %s, %v, %v, %v; want %s, %v", got, gotAt, ok, err, body, at)
		}
	}
}

// TestTwoProcesses: a second store on the same file sees the first one's
// commits, and a write that builds on an old head is refused.
func TestTwoProcesses(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "store.db")
	a, b := openAt(t, path), openAt(t, path)
	makeRoom(t, a, testRoom)
	if err := b.Write(ctx, func(tx *Tx) error { return tx.Append(event(testRoom, 1)) }); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(ctx, func(tx *Tx) error { return tx.Append(event(testRoom, 1)) }); !errors.Is(err, ErrConflict) {
		t.Errorf("a second write at the same place = %v, want ErrConflict", err)
	}
	// The count fits by the other's event, the event does not.
	second := event(testRoom, 2, eventID(9))
	second.After = eventID(9)
	if err := a.Write(ctx, func(tx *Tx) error { return tx.Append(second) }); !errors.Is(err, ErrConflict) {
		t.Errorf("a write after an event that lost its place = %v, want ErrConflict", err)
	}
	if ok, err := a.HasEvent(ctx, testRoom, eventID(1)); !ok || err != nil {
		t.Errorf("the other's commit is not seen: %v, %v", ok, err)
	}
}

// TestCheckWritable: the check leaves nothing, and a store that cannot be written
// fails it.
func TestCheckWritable(t *testing.T) {
	s := openTest(t)
	if err := s.CheckWritable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.PolicyValues(t.Context(), func(v PolicyValue) error { return fmt.Errorf("%q %q is left", v.Policy, v.Key) }); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckWritable(t.Context()); err == nil {
		t.Error("a closed store is writable")
	}
}
