package policykv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ plugins.KV = (*KV)(nil)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func get(kv *KV, policy, key string, nowMS int64) string {
	v, ok := kv.Get(policy, []byte(key), nowMS, nil)
	if !ok {
		return "absent"
	}
	return string(v)
}

func TestValues(t *testing.T) {
	kv := &KV{}
	kv.Put("a", []byte("k"), []byte("one"), 0, 100)
	kv.Put("a", []byte("for ever"), nil, 0, 0)
	for _, tt := range []struct {
		policy, key string
		now         int64
		want        string
	}{
		{"a", "k", 99, "one"}, {"a", "k", 100, "absent"}, {"b", "k", 0, "absent"}, {"a", "other", 0, "absent"},
		{"a", "for ever", math.MaxInt64, ""},
	} {
		if got := get(kv, tt.policy, tt.key, tt.now); got != tt.want {
			t.Errorf("%s of %s at %d is %q, want %q", tt.key, tt.policy, tt.now, got, tt.want)
		}
	}
	kv.Put("a", []byte("text"), []byte("abc"), 0, 0)
	kv.Put("a", []byte("negative"), []byte("\xff\xff\xff\xff\xff\xff\xff\xff"), 0, 0)
	for i, tt := range []struct {
		key                       string
		delta, now, expires, want int64
	}{
		{"n", 2, 0, 50, 2}, {"n", 3, 49, 500, 5}, {"n", 1, 50, 100, 1}, {"n", -7, 50, 100, 0},
		{"n", math.MaxInt64, 50, 100, math.MaxInt64}, {"n", 1, 50, 100, math.MaxInt64}, {"n", math.MinInt64, 50, 100, 0},
		{"m", math.MinInt64, 0, 0, 0},
		{"text", 1, 0, 0, abi.KVKind}, {"negative", 1, 0, 0, abi.KVKind},
	} {
		if got := kv.Incr("a", []byte(tt.key), tt.delta, tt.now, tt.expires); got != tt.want {
			t.Errorf("%d: Incr(%s, %d) at %d = %d, want %d", i, tt.key, tt.delta, tt.now, got, tt.want)
		}
	}
}

// TestClockPutBack: what was kept before the clock was put back lives for as long as it was
// to from when it is looked at, in whatever way; a small step changes nothing.
func TestClockPutBack(t *testing.T) {
	const hour, lasts = 3_600_000, 600_000
	for _, tt := range []struct {
		name      string
		back      int64
		wantUntil int64 // after now
	}{
		{"not", 0, lasts}, {"by a second", 1000, lasts + 1000}, {"by hours", 12 * hour, lasts},
	} {
		for _, by := range []string{"get", "incr"} {
			kv, now := &KV{}, int64(24*hour)
			kv.Incr("a", []byte("n"), 1, now, now+lasts)
			kv.Put("a", []byte("for ever"), []byte("x"), now, 0)
			now -= tt.back
			if by == "get" {
				get(kv, "a", "n", now)
			} else {
				kv.Incr("a", []byte("n"), 1, now, now+lasts)
			}
			if before, at := get(kv, "a", "n", now+tt.wantUntil-1), get(kv, "a", "n", now+tt.wantUntil); before == "absent" || at != "absent" {
				t.Errorf("put back %s, seen by %s: %q just before its end and %q then", tt.name, by, before, at)
			}
			if got := get(kv, "a", "for ever", now); got != "x" {
				t.Errorf("put back %s: what is for ever is %q", tt.name, got)
			}
		}
	}
}

func TestQuotas(t *testing.T) {
	kv := &KV{}
	key := func(i int) []byte { return fmt.Append(nil, i) }
	for i := range MaxKeys {
		if !kv.Put("a", key(i), nil, 0, int64(5000+i%2)) {
			t.Fatalf("key %d is refused", i)
		}
	}
	if kv.Put("a", []byte("more"), nil, 10, 0) || kv.Incr("a", []byte("more"), 1, 20, 0) != abi.KVLimit {
		t.Error("a policy keeps more keys than its quota")
	}
	if !kv.Put("a", key(0), []byte("changed"), 10, 5000) || !kv.Put("b", []byte("more"), nil, 10, 0) {
		t.Error("a full policy cannot change a value, or another cannot keep one")
	}
	if !kv.Put("a", []byte("more"), nil, 5000, 0) || get(kv, "a", "1", 5000) == "absent" {
		t.Error("what has expired makes no room, or what has not expired is gone")
	}
	large := &KV{}
	n := 0
	for large.Put("a", key(n), make([]byte, abi.MaxKVValue), 0, 0) {
		n++
	}
	if want := MaxBytes / (abi.MaxKVValue + overhead + 4); n < want-5 || n > want+5 {
		t.Errorf("%d of the largest values are kept, want about %d", n, want)
	}
}

func TestCounterOfMany(t *testing.T) {
	kv := &KV{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 500 {
				kv.Incr("a", []byte("n"), 1, 0, 0)
				kv.Get("a", []byte("n"), 0, nil)
			}
		})
	}
	group.Wait()
	if n := kv.Incr("a", []byte("n"), 0, 0, 0); n != 4000 {
		t.Errorf("the counter is at %d, want 4000", n)
	}
}

func TestStored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	session := func(nowMS int64, do func(*KV)) {
		t.Helper()
		st, err := store.Open(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		kv := &KV{}
		if err := kv.Open(context.Background(), st, nowMS, quiet); err != nil {
			t.Fatal(err)
		}
		defer kv.Close()
		do(kv)
	}
	session(0, func(kv *KV) {
		kv.Put("a", []byte("k"), []byte("one"), 0, 0)
		kv.Put("a", []byte("k"), []byte("two"), 0, 0)
		kv.Put("a", []byte("empty"), nil, 0, 0)
		kv.Put("a", []byte("short"), []byte("x"), 0, 100)
		kv.Put("b", []byte("k\x00\xff"), []byte("bytes\x00"), 0, 1000)
		kv.Incr("a", []byte("n"), 7, 0, 0)
	})
	session(100, func(kv *KV) {
		for _, tt := range []struct{ policy, key, want string }{
			{"a", "k", "two"}, {"a", "empty", ""}, {"a", "short", "absent"}, {"b", "k\x00\xff", "bytes\x00"},
		} {
			if got := get(kv, tt.policy, tt.key, 100); got != tt.want {
				t.Errorf("after a restart, %q of %s is %q, want %q", tt.key, tt.policy, got, tt.want)
			}
		}
		if n := kv.Incr("a", []byte("n"), 1, 100, 0); n != 8 {
			t.Errorf("after a restart, the counter goes to %d, want 8", n)
		}
	})
	session(0, func(kv *KV) { // the clock went back: what was dropped is gone
		if got := get(kv, "a", "short", 0); got != "absent" {
			t.Errorf("what had expired at a start is %q in the store", got)
		}
	})
}

// failing is a Store that refuses writes until it is mended.
type failing struct {
	mu     sync.Mutex
	mended bool // guarded by mu
	writes chan struct{}
}

func (f *failing) PolicyValues(context.Context, func(store.PolicyValue) error) error { return nil }

func (f *failing) Write(_ context.Context, _ func(*store.Tx) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case f.writes <- struct{}{}:
	default:
	}
	if f.mended {
		return nil
	}
	return errors.New("the disk is full")
}

// TestStoreFails: what could not be written is written by the next attempt.
func TestStoreFails(t *testing.T) {
	st := &failing{writes: make(chan struct{}, 1)}
	kv := &KV{}
	if err := kv.Open(context.Background(), st, 0, quiet); err != nil {
		t.Fatal(err)
	}
	kv.Put("a", []byte("k"), []byte("v"), 0, 0)
	<-st.writes
	if got := get(kv, "a", "k", 0); got != "v" {
		t.Errorf("while the store fails, the value is %q", got)
	}
	st.mu.Lock()
	st.mended = true
	st.mu.Unlock()
	kv.Close()
	if n := len(kv.dirty); n != 0 {
		t.Errorf("%d values are not stored at the end", n)
	}
	kv.Close()
}
