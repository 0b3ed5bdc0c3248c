package resident

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// BenchmarkFloorWriteFsync is what the disk alone takes for a durable write.
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

// BenchmarkAccept is one knock accepted into one room, durably, from its
// signed event on.
func BenchmarkAccept(b *testing.B) {
	for _, parallel := range []int{1, 32} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			w := newWorld(b)
			id := w.create("11")
			events := make([]*pdu.Event, b.N)
			template := w.template(id, "@x:there.example")
			for i := range events {
				u := fmt.Sprintf(`"@u%d:there.example"`, i)
				events[i] = w.knock(template, "sender", u, "state_key", u)
			}
			next := make(chan *pdu.Event, len(events))
			for _, e := range events {
				next <- e
			}
			close(next)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range parallel {
				wg.Go(func() {
					for e := range next {
						if _, err := w.Accept(context.Background(), w.room(id), e); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkTemplate is a make_knock's share of this package: the room and the
// template, for a user who is in memory or not.
func BenchmarkTemplate(b *testing.B) {
	for name, user := range map[string]func(i int) matrix.UserID{
		"same user": func(int) matrix.UserID { return "@alice:there.example" },
		"new users": func(i int) matrix.UserID { return matrix.UserID(fmt.Sprintf("@u%d:there.example", i)) },
	} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			id := w.create("11")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := w.Template(context.Background(), w.room(id), user(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
