package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// TestSavepoints: in one transaction, a submission that fails undoes itself and
// nothing else.
func TestSavepoints(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	makeRoom(t, s, testRoom)

	hold, held := make(chan struct{}), make(chan struct{})
	submit := func(do func(*Tx) error) *Ticket {
		slot, err := s.Reserve(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return slot.Submit(do, nil)
	}
	blocker := submit(func(*Tx) error { close(held); <-hold; return nil })
	<-held // what follows is one batch: the writer is busy with this one
	bad := errors.New("bad")
	good1 := submit(func(tx *Tx) error { return tx.Append(event(testRoom, 1)) })
	fails := submit(func(tx *Tx) error {
		if err := tx.Append(event(testRoom, 2)); err != nil {
			return err
		}
		return bad
	})
	conflict := submit(func(tx *Tx) error { return tx.Append(event(testRoom, 3)) })
	good2 := submit(func(tx *Tx) error { return tx.Append(event(testRoom, 2, eventID(1))) })
	close(hold)
	for name, c := range map[string]struct {
		ticket *Ticket
		want   error
	}{
		"blocker": {blocker, nil}, "first": {good1, nil}, "failing": {fails, bad},
		"built on the failing": {conflict, ErrConflict}, "after": {good2, nil},
	} {
		if err := c.ticket.Wait(ctx); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	room, _, err := s.Room(ctx, testRoom)
	if err != nil || room.Head != 2 {
		t.Errorf("head %d, %v; want 2", room.Head, err)
	}
}

// TestLostTransaction: when the transaction itself ends, everybody in it is
// told so, and the writer goes on.
func TestLostTransaction(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	makeRoom(t, s, testRoom)
	hold, held := make(chan struct{}), make(chan struct{})
	var tickets []*Ticket
	var afters []error
	var observed []bool
	s.Observe(func(took time.Duration, committed bool) {
		if took <= 0 {
			t.Errorf("a transaction took %v", took)
		}
		observed = append(observed, committed)
	})
	for i, do := range []func(*Tx) error{
		func(*Tx) error { close(held); <-hold; return nil },
		func(tx *Tx) error { return tx.Append(event(testRoom, 1)) },
		func(tx *Tx) error { _, err := tx.exec(stRollback); return errors.Join(errors.New("gone"), err) },
		func(tx *Tx) error { return tx.Append(event(testRoom, 2)) },
	} {
		slot, err := s.Reserve(ctx)
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, slot.Submit(do, func(err error) { afters = append(afters, err) }))
		if i == 0 {
			<-held
		}
	}
	// The first is a transaction by itself, already under way.
	close(hold)
	for i, ticket := range tickets {
		if err := ticket.Wait(ctx); (err == nil) != (i == 0) {
			t.Errorf("submission %d: %v", i, err)
		}
	}
	if err := s.Flush(ctx); err != nil {
		t.Fatalf("the writer does not go on: %v", err)
	}
	if want := []bool{true, false, true}; !slices.Equal(observed, want) {
		t.Errorf("the observer was told of transactions that were committed: %v, want %v", observed, want)
	}
	if len(afters) != 4 || afters[0] != nil || afters[1] == nil {
		t.Errorf("the hooks heard %v", afters)
	}
	if room, _, err := s.Room(ctx, testRoom); err != nil || room.Head != 0 {
		t.Errorf("head %d, %v; want 0: nothing of the lost transaction stays", room.Head, err)
	}
}

func TestCancelledWait(t *testing.T) {
	s := openTest(t)
	makeRoom(t, s, testRoom)
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Write(ctx, func(tx *Tx) error {
		cancel()
		return tx.Append(event(testRoom, 1))
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Write = %v, want nil or the context's error", err)
	}
	if err := s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.HasEvent(context.Background(), testRoom, eventID(1)); !ok || err != nil {
		t.Errorf("a write that nobody waits for is not there: %v, %v", ok, err)
	}
}

func TestFullQueue(t *testing.T) {
	s := openTest(t)
	ctx := context.Background()
	var slots []Slot
	for range queueSize {
		slot, err := s.Reserve(ctx)
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, slot)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Reserve(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("Reserve on a full queue = %v, want the context's error", err)
	}
	for i, slot := range slots {
		if i%2 == 0 {
			slot.Release()
		} else {
			slot.Submit(func(*Tx) error { return nil }, nil)
		}
	}
	if err := s.Flush(ctx); err != nil {
		t.Errorf("after releasing: %v", err)
	}
}

// TestClose: what was taken before Close is committed, nothing is taken after
// it, and closing twice is safe.
func TestClose(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	makeRoom(t, s, testRoom)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var accepted []string
	for i := range 64 {
		server := fmt.Sprintf("s%d.example", i)
		wg.Go(func() {
			err := s.SaveKeys(ctx, matrix.ServerName(server), []byte("{}"), time.Now())
			switch {
			case err == nil:
				mu.Lock()
				defer mu.Unlock()
				accepted = append(accepted, server)
			case !errors.Is(err, ErrClosed):
				t.Errorf("SaveKeys beside Close = %v", err)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s.AppendDecision(Decision{}) || s.DecisionsDropped() == 0 {
		t.Error("a closed store took a decision")
	}
	again := openAt(t, path)
	for _, server := range accepted {
		if _, _, ok, err := again.LoadKeys(ctx, matrix.ServerName(server)); !ok || err != nil {
			t.Errorf("%s: answered nil, but not there: %v", server, err)
		}
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := again.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path + suffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", suffix, err)
		}
	}
}
