package serverkey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// TestUnknownKeyFlood: key IDs cost nothing to make up, so they cost no fetches
// either.
func TestUnknownKeyFlood(t *testing.T) {
	inRing(t, publishes, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		for i := range 1000 {
			key, err := r.RequestKey(t.Context(), "peer.test", matrix.KeyID(fmt.Sprintf("ed25519:x%d", i)))
			wantErr(t, "made-up key", key, err, ErrKeyUnknown)
		}
		wantFetches(t, "at once", f, "peer.test", 1)
		key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		wantKey(t, "real key meanwhile", key, err, keyOf("peer.test"))

		// One each second for an hour: after 1, 2 and 4 minutes, then every 5.
		for i := range 3600 {
			_, _ = r.RequestKey(t.Context(), "peer.test", matrix.KeyID(fmt.Sprintf("ed25519:y%d", i)))
			time.Sleep(time.Second)
		}
		if got := f.count("peer.test"); got < 12 || got > 15 {
			t.Errorf("%d fetches in an hour of made-up keys, want 12 to 15", got)
		}
	})
}

// TestBackoffEnds: a server that was down is asked again, and soon after a quiet
// while.
func TestBackoffEnds(t *testing.T) {
	down := true
	answer := func(ctx context.Context, server matrix.ServerName) (int, []byte, error) {
		if down {
			return 502, nil, nil
		}
		return publishes(ctx, server)
	}
	inRing(t, answer, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		fetches := func(within time.Duration) int {
			before := f.count("peer.test")
			for range int(within / time.Second) {
				_, _ = r.RequestKey(t.Context(), "peer.test", "ed25519:a")
				time.Sleep(time.Second)
			}
			return f.count("peer.test") - before
		}
		if got, want := fetches(12*time.Minute), 4; got != want { // at 0, 1, 3 and 7 minutes
			t.Errorf("%d fetches in 12 minutes, want %d", got, want)
		}
		time.Sleep(time.Hour)
		if got, want := fetches(90*time.Second), 2; got != want {
			t.Errorf("%d fetches after a quiet hour, want %d", got, want)
		}
		down = false
		time.Sleep(RetryMax)
		key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		wantKey(t, "up again", key, err, keyOf("peer.test"))
	})
}

// TestOneFetchForMany: a hundred who need the same key share one fetch.
func TestOneFetchForMany(t *testing.T) {
	slow := func(ctx context.Context, server matrix.ServerName) (int, []byte, error) {
		time.Sleep(time.Second)
		return publishes(ctx, server)
	}
	inRing(t, slow, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
				wantKey(t, "together", key, err, keyOf("peer.test"))
			})
		}
		wg.Wait()
		wantFetches(t, "together", f, "peer.test", 1)
	})
}

// TestLeaving: one who leaves gets his context's error at once, and the others
// get the key.
func TestLeaving(t *testing.T) {
	slow := func(ctx context.Context, server matrix.ServerName) (int, []byte, error) {
		select {
		case <-time.After(time.Second):
			return publishes(ctx, server)
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
	inRing(t, slow, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		var wg sync.WaitGroup
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		wg.Go(func() { // the one who starts the fetch
			key, err := r.RequestKey(ctx, "peer.test", "ed25519:a")
			wantErr(t, "the one who leaves", key, err, context.DeadlineExceeded)
			if got, want := time.Since(start), 100*time.Millisecond; got != want {
				t.Errorf("left after %v, want %v", got, want)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
			wantKey(t, "the one who stays", key, err, keyOf("peer.test"))
		})
		wg.Wait()
		wantFetches(t, "both", f, "peer.test", 1)
	})
}

// TestHangingServer: it holds its own callers for FetchTimeout, once, and nobody
// else's at all.
func TestHangingServer(t *testing.T) {
	answer := func(ctx context.Context, server matrix.ServerName) (int, []byte, error) {
		if server == "hang.test" {
			<-ctx.Done()
			return 0, nil, ctx.Err()
		}
		return publishes(ctx, server)
	}
	inRing(t, answer, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			key, err := r.RequestKey(t.Context(), "hang.test", "ed25519:a")
			wantErr(t, "hanging", key, err, ErrUnavailable)
			if got := time.Since(start); got != FetchTimeout {
				t.Errorf("the hanging server took %v, want %v", got, FetchTimeout)
			}
		})
		synctest.Wait()
		key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		wantKey(t, "other server", key, err, keyOf("peer.test"))
		if got := time.Since(start); got != 0 {
			t.Errorf("the other server took %v, want no time", got)
		}
		wg.Wait()
		key, err = r.RequestKey(t.Context(), "hang.test", "ed25519:a")
		wantErr(t, "hanging, again", key, err, ErrUnavailable)
		wantFetches(t, "hanging", f, "hang.test", 1)
	})
}

// TestManyHangingServers: made-up servers fill their share of the slots and are
// refused beyond it; a server that was known still gets through.
func TestManyHangingServers(t *testing.T) {
	answer := func(ctx context.Context, server matrix.ServerName) (int, []byte, error) {
		if server == "known.test" {
			return publishes(ctx, server)
		}
		<-ctx.Done()
		return 0, nil, ctx.Err()
	}
	inRing(t, answer, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		_, err := r.RequestKey(t.Context(), "known.test", "ed25519:a")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Hour) // its document expires
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				key, err := r.RequestKey(t.Context(), matrix.ServerName(fmt.Sprintf("s%d.test", i)), "ed25519:a")
				wantErr(t, "made-up server", key, err, ErrUnavailable)
			})
		}
		synctest.Wait()
		key, err := r.RequestKey(t.Context(), "known.test", "ed25519:a")
		wantKey(t, "known server", key, err, keyOf("known.test"))
		wg.Wait()
		r.Close()
		if got, want := f.most, MaxFetches*3/4+1; got > want {
			t.Errorf("%d fetches at one time, want at most %d", got, want)
		}
		if r.running != 0 || len(r.flights) != 0 {
			t.Errorf("%d running, %d flights when all is over, want none", r.running, len(r.flights))
		}
	})
}

// TestMemory: what is remembered is bounded by servers and by keys.
func TestMemory(t *testing.T) {
	tab := newTable(3, 10)
	doc := func(n int) *Document {
		d := &Document{Keys: map[matrix.KeyID]matrix.PublicKey{}}
		for i := range n {
			d.Keys[matrix.KeyID(fmt.Sprint(i))] = matrix.PublicKey{}
		}
		return d
	}
	for i := range 100 {
		tab.put(matrix.ServerName(fmt.Sprint(i)), entry{loaded: true})
	}
	if got := len(tab.items); got != 3 {
		t.Errorf("%d servers, want 3", got)
	}
	tab.put("a", entry{doc: doc(4)})
	tab.put("b", entry{doc: doc(4)})
	tab.put("a", entry{doc: doc(5)})
	tab.put("c", entry{doc: doc(2)})
	if tab.get("b").doc != nil || tab.get("a").doc == nil || tab.keys != 7 {
		t.Errorf("b is remembered: %v, %d keys, want the oldest gone and 7", tab.get("b").doc != nil, tab.keys)
	}
	tab.put("d", entry{doc: doc(20)})
	if len(tab.items) != 1 || tab.keys != 20 || tab.order.Len() != 1 {
		t.Errorf("%d servers, %d keys, want the newest alone", len(tab.items), tab.keys)
	}
}

// TestCache: a document outlives the process, and no longer than it is valid.
func TestCache(t *testing.T) {
	cache := &memoryCache{}
	withCache := func(o *RingOptions) { o.Cache = cache }
	var saved time.Time
	inRing(t, publishes, withCache, func(t *testing.T, r *Ring, f *fakeFetcher) {
		key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		wantKey(t, "fetched", key, err, keyOf("peer.test"))
		wantFetches(t, "fetched", f, "peer.test", 1)
		saved = time.Now()
	})
	if cache.bodies["peer.test"] == nil || !cache.at["peer.test"].Equal(saved) {
		t.Fatalf("saved %d documents, at %v, want one at %v", len(cache.bodies), cache.at, saved)
	}
	tests := []struct {
		name    string
		change  func()
		after   time.Duration
		fetches int
	}{
		{"still valid", func() {}, time.Hour, 0},
		{"fetched in our future", func() { cache.at["peer.test"] = saved.Add(1000 * time.Hour) }, time.Hour, 0},
		{"expired", func() { cache.at["peer.test"] = saved }, 25 * time.Hour, 1},
		{"damaged", func() { cache.bodies["peer.test"][20] ^= 1 }, 0, 1},
		{"broken cache", func() { cache.err = errors.New("disk") }, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.change()
			cache.loads = 0
			inRing(t, publishes, withCache, func(t *testing.T, r *Ring, f *fakeFetcher) {
				time.Sleep(tt.after)
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
						wantKey(t, "again", key, err, keyOf("peer.test"))
					})
				}
				wg.Wait()
				wantFetches(t, "again", f, "peer.test", tt.fetches)
				if cache.loads != 1 {
					t.Errorf("%d loads, want 1", cache.loads)
				}
			})
		})
	}
}

// TestClose: it ends what hangs, and nothing starts afterwards.
func TestClose(t *testing.T) {
	hang := func(ctx context.Context, _ matrix.ServerName) (int, []byte, error) {
		<-ctx.Done()
		return 0, nil, ctx.Err()
	}
	inRing(t, hang, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
			wantErr(t, "during", key, err, ErrUnavailable)
		})
		synctest.Wait()
		r.Close()
		r.Close()
		wg.Wait()
		key, err := r.RequestKey(t.Context(), "peer2.test", "ed25519:a")
		wantErr(t, "after", key, err, ErrUnavailable)
		wantFetches(t, "after", f, "peer2.test", 0)
		if got := time.Since(start); got != 0 {
			t.Errorf("Close took %v, want no time", got)
		}
	})
}

// TestHammer: many goroutines, servers and keys, some callers in a hurry, on the
// real clock; for the race detector.
func TestHammer(t *testing.T) {
	f := &fakeFetcher{answer: publishes}
	r := NewRing(RingOptions{Fetch: f, Cache: &memoryCache{}, Own: "here.test"})
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 200 {
				server := matrix.ServerName(fmt.Sprintf("s%d.test", (g+i)%8))
				ctx, cancel := context.WithCancel(t.Context())
				if i%5 == 0 {
					cancel()
				}
				key, err := r.RequestKey(ctx, server, "ed25519:a")
				if err == nil && key != keyOf(server).Public() {
					t.Errorf("wrong key of %s", server)
				}
				if err != nil && i%5 != 0 {
					t.Errorf("%s: %v", server, err)
				}
				_, _ = r.EventKey(ctx, server, "ed25519:none", 0)
				cancel()
			}
		})
	}
	wg.Wait()
	r.Close()
	for i := range 8 {
		wantFetches(t, "hammered", f, matrix.ServerName(fmt.Sprintf("s%d.test", i)), 1)
	}
}

func BenchmarkRequestKey(b *testing.B) {
	r := NewRing(RingOptions{Fetch: &fakeFetcher{answer: publishes}, Own: "here.test"})
	defer r.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.RequestKey(b.Context(), "peer.test", "ed25519:a"); err != nil {
				b.Error(err)
			}
		}
	})
}
