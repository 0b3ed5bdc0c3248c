package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// floor is what one durable write of a knock's size costs with nothing around
// it: append to a file and fsync. Run beside the others: disks differ by the
// hour.
func BenchmarkFloorWriteFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	for b.Loop() {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend is one durable accept: the room's head, the event, the
// extremities and the state, committed.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 32} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openTest(b)
			for w := range writers {
				makeRoom(b, s, benchRoom(w))
			}
			var wg sync.WaitGroup
			next := make(chan struct{})
			for w := range writers {
				wg.Go(func() { appendAll(b, s, w, next) })
			}
			for b.Loop() {
				next <- struct{}{}
			}
			close(next)
			wg.Wait()
		})
	}
}

func benchRoom(w int) matrix.RoomID { return matrix.RoomID(fmt.Sprintf("!r%d:here.example", w)) }

func appendAll(b *testing.B, s *Store, w int, next <-chan struct{}) {
	json := make([]byte, 800)
	for i := range json {
		json[i] = 'x'
	}
	seq := int64(0)
	for range next {
		seq++
		id := func(n int64) matrix.EventID { return matrix.EventID(fmt.Sprintf("$%021d.%021d", w, n)) }
		a := event(benchRoom(w), seq, id(seq-1))
		a.ID, a.JSON = id(seq), json
		if seq > 1 {
			a.After = id(seq - 1)
		}
		if err := s.Write(context.Background(), func(tx *Tx) error { return tx.Append(a) }); err != nil {
			b.Error(err)
			return
		}
	}
}

// BenchmarkRead is a point read, as a knock makes a few of.
func BenchmarkRead(b *testing.B) {
	s := openTest(b)
	makeRoom(b, s, testRoom)
	if err := s.Write(context.Background(), func(tx *Tx) error { return tx.Append(event(testRoom, 1)) }); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if ok, err := s.HasEvent(context.Background(), testRoom, eventID(2)); ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
