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

// fakeFetcher answers from a function and counts.
type fakeFetcher struct {
	answer func(ctx context.Context, server matrix.ServerName) (int, []byte, error)
	notary func(ctx context.Context, server matrix.ServerName, query []byte) (int, []byte, error)

	mu    sync.Mutex
	asked map[matrix.ServerName]int
	most  int // at one time
	now   int
}

func (f *fakeFetcher) Get(ctx context.Context, server matrix.ServerName, target string, maxBytes int64) (int, []byte, error) {
	defer f.begin(server)()
	if target != "/_matrix/key/v2/server" || maxBytes != MaxDocument {
		return 0, nil, fmt.Errorf("asked for %q of %d bytes", target, maxBytes)
	}
	return f.answer(ctx, server)
}

func (f *fakeFetcher) Post(ctx context.Context, server matrix.ServerName, target string, body []byte, maxBytes int64) (int, []byte, error) {
	defer f.begin(server)()
	if target != "/_matrix/key/v2/query" || maxBytes != MaxNotaryAnswer || f.notary == nil {
		return 0, nil, fmt.Errorf("asked for %q of %d bytes", target, maxBytes)
	}
	return f.notary(ctx, server, body)
}

// begin counts a request; the function that it returns ends it.
func (f *fakeFetcher) begin(server matrix.ServerName) (end func()) {
	f.mu.Lock()
	if f.asked == nil {
		f.asked = map[matrix.ServerName]int{}
	}
	f.asked[server]++
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	return func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}
}

func (f *fakeFetcher) count(server matrix.ServerName) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[server]
}

// publishes answers with documents of key "ed25519:a" that are valid for a day.
func publishes(ctx context.Context, server matrix.ServerName) (int, []byte, error) {
	return 200, AppendDocument(nil, server, keyOf(server), nil, time.Now().Add(24*time.Hour)), nil
}

// keyOf returns a key for each server.
func keyOf(server matrix.ServerName) *SigningKey {
	var seed [32]byte
	copy(seed[:], server)
	return NewSigningKey("ed25519:a", seed)
}

// memoryCache is a Cache.
type memoryCache struct {
	mu     sync.Mutex
	bodies map[matrix.ServerName][]byte
	at     map[matrix.ServerName]time.Time
	err    error
	loads  int
}

func (c *memoryCache) LoadKeys(_ context.Context, server matrix.ServerName) ([]byte, time.Time, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loads++
	body, ok := c.bodies[server]
	return body, c.at[server], ok, c.err
}

func (c *memoryCache) SaveKeys(_ context.Context, server matrix.ServerName, body []byte, at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bodies == nil {
		c.bodies, c.at = map[matrix.ServerName][]byte{}, map[matrix.ServerName]time.Time{}
	}
	c.bodies[server], c.at[server] = body, at
	return c.err
}

// inRing runs a test with a ring, on a clock of its own that moves when
// everything sleeps.
func inRing(t *testing.T, answer func(context.Context, matrix.ServerName) (int, []byte, error), change func(*RingOptions), test func(t *testing.T, r *Ring, f *fakeFetcher)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeFetcher{answer: answer}
		o := RingOptions{Fetch: f, Own: "here.test", OwnKeys: keys(keyOf("here.test"))}
		if change != nil {
			change(&o)
		}
		r := NewRing(o)
		defer r.Close()
		test(t, r, f)
	})
}

// keys returns what Own.Keys would.
func keys(k *SigningKey, old ...OldKey) func() *Keyset {
	s := &Keyset{k, old}
	return func() *Keyset { return s }
}

func wantKey(t *testing.T, what string, got matrix.PublicKey, err error, want *SigningKey) {
	t.Helper()
	if err != nil || got != want.Public() {
		t.Errorf("%s: got %x, %v, want %x", what, got, err, want.Public())
	}
}

func wantErr(t *testing.T, what string, got matrix.PublicKey, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || got != (matrix.PublicKey{}) {
		t.Errorf("%s: got %x, %v, want error %v alone", what, got, err, want)
	}
}

func wantFetches(t *testing.T, what string, f *fakeFetcher, server matrix.ServerName, want int) {
	t.Helper()
	if got := f.count(server); got != want {
		t.Errorf("%s: %d fetches, want %d", what, got, want)
	}
}

func TestRequestKey(t *testing.T) {
	inRing(t, publishes, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		for range 3 {
			key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
			wantKey(t, "first", key, err, keyOf("peer.test"))
		}
		wantFetches(t, "remembered", f, "peer.test", 1)
		time.Sleep(24*time.Hour - time.Minute)
		_, _ = r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		wantFetches(t, "not yet expired", f, "peer.test", 1)
		time.Sleep(2 * time.Minute)
		key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		wantKey(t, "expired", key, err, keyOf("peer.test"))
		wantFetches(t, "expired", f, "peer.test", 2)
	})
}

// TestExpiredAndFetchedExpired: a document that is expired when it comes opens
// nothing.
func TestExpiredAndFetchedExpired(t *testing.T) {
	expired := func(_ context.Context, server matrix.ServerName) (int, []byte, error) {
		return 200, AppendDocument(nil, server, keyOf(server), nil, time.Now().Add(-time.Second)), nil
	}
	inRing(t, expired, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		for range 3 {
			key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
			wantErr(t, "request", key, err, ErrKeyUnknown)
		}
		wantFetches(t, "expired", f, "peer.test", 1)
	})
}

// TestYear3000: the key has to be fetched again after 7 days.
func TestYear3000(t *testing.T) {
	year3000 := func(_ context.Context, server matrix.ServerName) (int, []byte, error) {
		return 200, AppendDocument(nil, server, keyOf(server), nil, time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)), nil
	}
	inRing(t, year3000, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		for day := range 9 {
			key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
			wantKey(t, fmt.Sprintf("day %d", day), key, err, keyOf("peer.test"))
			time.Sleep(24*time.Hour - time.Millisecond)
		}
		wantFetches(t, "after 9 days", f, "peer.test", 2)
	})
}

func TestBadAnswers(t *testing.T) {
	until := func() time.Time { return time.Now().Add(time.Hour) }
	tests := map[string]func(context.Context, matrix.ServerName) (int, []byte, error){
		"error": func(context.Context, matrix.ServerName) (int, []byte, error) { return 0, nil, errors.New("no route") },
		"404": func(ctx context.Context, s matrix.ServerName) (int, []byte, error) {
			_, b, _ := publishes(ctx, s)
			return 404, b, nil
		},
		"empty": func(context.Context, matrix.ServerName) (int, []byte, error) { return 200, nil, nil },
		"other server": func(ctx context.Context, _ matrix.ServerName) (int, []byte, error) {
			return publishes(ctx, "other.test")
		},
		"not signed by itself": func(_ context.Context, s matrix.ServerName) (int, []byte, error) {
			body := AppendDocument(nil, "other.test", keyOf(s), nil, until())
			return 200, []byte(string(body[:len(body)-1]) + `,"server_name":"peer.test"}`), nil
		},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			inRing(t, answer, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
				for range 5 {
					key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
					wantErr(t, "request", key, err, ErrUnavailable)
					key, err = r.EventKey(t.Context(), "peer.test", "ed25519:a", 0)
					wantErr(t, "event", key, err, ErrUnavailable)
				}
				wantFetches(t, "failed", f, "peer.test", 1)
			})
		})
	}
}

// TestOldKeys: an old key authenticates no request, and events from before it
// expired, to the millisecond.
func TestOldKeys(t *testing.T) {
	old := seedKey("ed25519:old", 7)
	answer := func(_ context.Context, server matrix.ServerName) (int, []byte, error) {
		list := []OldKey{{"ed25519:old", old.Public(), time.UnixMilli(1000)}}
		return 200, AppendDocument(nil, server, keyOf(server), list, time.Now().Add(time.Hour)), nil
	}
	inRing(t, answer, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		for range 3 {
			key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:old")
			wantErr(t, "request", key, err, ErrKeyUnknown)
		}
		key, err := r.EventKey(t.Context(), "peer.test", "ed25519:old", 999)
		wantKey(t, "event before", key, err, old)
		key, err = r.EventKey(t.Context(), "peer.test", "ed25519:old", 1000)
		wantErr(t, "event at the moment", key, err, ErrKeyUnknown)
		key, err = r.EventKey(t.Context(), "peer.test", "ed25519:old", 1001)
		wantErr(t, "event after", key, err, ErrKeyUnknown)
		wantFetches(t, "old key", f, "peer.test", 1)
	})
}

// TestEventTimes: a current key signs events up to the end of its document; one
// from further ahead than any document goes is refused without asking.
func TestEventTimes(t *testing.T) {
	inRing(t, publishes, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		now := time.Now()
		for _, ts := range []int64{-1, 0, now.UnixMilli(), now.Add(24 * time.Hour).UnixMilli()} {
			key, err := r.EventKey(t.Context(), "peer.test", "ed25519:a", ts)
			wantKey(t, fmt.Sprint(ts), key, err, keyOf("peer.test"))
		}
		wantFetches(t, "within", f, "peer.test", 1)
		time.Sleep(time.Hour)
		key, err := r.EventKey(t.Context(), "peer.test", "ed25519:a", now.Add(9*24*time.Hour).UnixMilli())
		wantErr(t, "too far ahead", key, err, ErrKeyUnknown)
		wantFetches(t, "too far ahead", f, "peer.test", 1)
		key, err = r.EventKey(t.Context(), "peer.test", "ed25519:a", now.Add(25*time.Hour).UnixMilli())
		wantKey(t, "ahead of the document, which is fetched again", key, err, keyOf("peer.test"))
		wantFetches(t, "ahead", f, "peer.test", 2)
		key, err = r.EventKey(t.Context(), "peer.test", "ed25519:a", now.Add(3*24*time.Hour).UnixMilli())
		wantErr(t, "ahead of that one too", key, err, ErrKeyUnknown)
	})
}

// TestDeadServer: events of a server that is gone verify under what it last
// published; requests in its name do not.
func TestDeadServer(t *testing.T) {
	dead := false
	answer := func(ctx context.Context, server matrix.ServerName) (int, []byte, error) {
		if dead {
			return 0, nil, errors.New("no route")
		}
		return publishes(ctx, server)
	}
	inRing(t, answer, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		ts := time.Now().UnixMilli()
		_, _ = r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		dead = true
		time.Sleep(48 * time.Hour)
		for range 3 {
			key, err := r.EventKey(t.Context(), "peer.test", "ed25519:a", ts)
			wantKey(t, "event", key, err, keyOf("peer.test"))
			key, err = r.RequestKey(t.Context(), "peer.test", "ed25519:a")
			wantErr(t, "request", key, err, ErrUnavailable)
		}
		wantFetches(t, "dead", f, "peer.test", 2)
	})
}

// TestRotated: a key that has moved to the old ones since stops being accepted
// once the document is out of date.
func TestRotated(t *testing.T) {
	rotated := time.Time{}
	answer := func(ctx context.Context, server matrix.ServerName) (int, []byte, error) {
		if rotated.IsZero() {
			return publishes(ctx, server)
		}
		list := []OldKey{{"ed25519:a", keyOf(server).Public(), rotated}}
		return 200, AppendDocument(nil, server, seedKey("ed25519:b", 8), list, time.Now().Add(24*time.Hour)), nil
	}
	inRing(t, answer, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		_, _ = r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		time.Sleep(time.Hour)
		rotated = time.Now()
		key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:b")
		wantKey(t, "new key", key, err, seedKey("ed25519:b", 8))
		key, err = r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		wantErr(t, "rotated key", key, err, ErrKeyUnknown)
		key, err = r.EventKey(t.Context(), "peer.test", "ed25519:a", rotated.UnixMilli()-1)
		wantKey(t, "event before", key, err, keyOf("peer.test"))
		key, err = r.EventKey(t.Context(), "peer.test", "ed25519:a", rotated.UnixMilli())
		wantErr(t, "event after", key, err, ErrKeyUnknown)
		wantFetches(t, "rotated", f, "peer.test", 2)
	})
}

func TestOwnKeys(t *testing.T) {
	old := seedKey("ed25519:old", 7)
	change := func(o *RingOptions) {
		o.OwnKeys = keys(keyOf("here.test"), OldKey{"ed25519:old", old.Public(), time.UnixMilli(1000)})
	}
	inRing(t, publishes, change, func(t *testing.T, r *Ring, f *fakeFetcher) {
		key, err := r.EventKey(t.Context(), "here.test", "ed25519:a", time.Now().UnixMilli())
		wantKey(t, "current", key, err, keyOf("here.test"))
		key, err = r.EventKey(t.Context(), "here.test", "ed25519:old", 999)
		wantKey(t, "old", key, err, old)
		key, err = r.EventKey(t.Context(), "here.test", "ed25519:old", 1000)
		wantErr(t, "old, too late", key, err, ErrKeyUnknown)
		key, err = r.EventKey(t.Context(), "here.test", "ed25519:none", 0)
		wantErr(t, "none", key, err, ErrKeyUnknown)
		key, err = r.RequestKey(t.Context(), "here.test", "ed25519:a")
		wantErr(t, "request", key, err, ErrKeyUnknown)
		wantFetches(t, "own", f, "here.test", 0)
	})
}

func TestPinned(t *testing.T) {
	k := seedKey("ed25519:p", 9)
	change := func(o *RingOptions) {
		o.Pinned = map[matrix.ServerName]map[matrix.KeyID]matrix.PublicKey{"peer.test": {"ed25519:p": k.Public()}}
	}
	inRing(t, publishes, change, func(t *testing.T, r *Ring, f *fakeFetcher) {
		time.Sleep(365 * 24 * time.Hour)
		key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:p")
		wantKey(t, "request", key, err, k)
		key, err = r.EventKey(t.Context(), "peer.test", "ed25519:p", 1)
		wantKey(t, "event", key, err, k)
		key, err = r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		wantErr(t, "not pinned", key, err, ErrKeyUnknown)
		wantFetches(t, "pinned", f, "peer.test", 0)
	})
}
