// Package policykv keeps what policies remember between knocks: in memory,
// with the store behind it. A decision never waits for the disk; what a crash
// loses is what the last moments wrote.
package policykv

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Quotas of one policy.
const (
	// MaxKeys is the most keys that are alive. What has expired makes room.
	MaxKeys = 10_000
	// MaxBytes is the most of keys and values together.
	MaxBytes = 8 << 20
)

const (
	// overhead is what an entry costs beside its key and its value, about.
	overhead = 64
	// sweepEvery is how often, at most, a full policy is searched for what has
	// expired, on the clock of decisions.
	sweepEvery = 1000 // milliseconds
	// clockStep is by how much the clock may go back without that being a jump:
	// decisions that overlap see it in any order.
	clockStep = 60_000 // milliseconds
	// linger is how long a change waits for company on its way to the disk.
	linger = 100 * time.Millisecond
	// retry is how long it waits after the store has failed.
	retry = 5 * time.Second
	// maxWrite is the most changes of one transaction.
	maxWrite = 4096
	// maxDirty is from how many changes on, not yet written, those that only
	// remove are left out.
	maxDirty = 65536
)

// KV is what policies keep. It is safe for concurrent use. The zero value is
// good: it is empty, and keeps all in memory until [KV.Open].
type KV struct {
	mu       sync.Mutex
	policies map[string]*space    // guarded by mu
	dirty    map[address]struct{} // guarded by mu: not in the store as it is here
	stored   bool                 // guarded by mu: there is a store

	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

type address struct{ policy, key string }

// space is what one policy keeps.
type space struct {
	entries map[string]entry
	bytes   int
	swept   int64 // when expired entries were last searched for
}

type entry struct {
	value   []byte // never changed
	expires int64
	// lasts is how long it was to live when it was kept, or read from the store; 0 for
	// ever.
	lasts int64
}

// newEntry returns a value that lives until expiresMS; 0 for ever.
func newEntry(value []byte, nowMS, expiresMS int64) entry {
	e := entry{value: value, expires: expiresMS}
	if expiresMS != 0 {
		e.lasts = max(0, expiresMS-nowMS)
	}
	return e
}

func (e entry) live(nowMS int64) bool { return e.expires == 0 || nowMS < e.expires }

// look returns a value that is alive. Where the clock has been put back by more than clockStep
// since the value was kept, it lives for as long as it was to from now on, and not for
// as much longer as the clock was put back.
func (s *space) look(key string, nowMS int64) (entry, bool) {
	e, ok := s.find(key)
	if !ok {
		return e, false
	}
	if e.expires != 0 && e.expires-nowMS > e.lasts+clockStep {
		e.expires = nowMS + e.lasts
		s.entries[key] = e
	}
	return e, e.live(nowMS)
}

func (e entry) size(key string) int { return len(key) + len(e.value) + overhead }

// Get implements plugins.KV.
func (kv *KV) Get(policy string, key []byte, nowMS int64, dst []byte) (value []byte, ok bool) {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	e, ok := kv.policies[policy].look(string(key), nowMS)
	if !ok {
		return dst, false
	}
	return append(dst, e.value...), true
}

// Put implements plugins.KV.
func (kv *KV) Put(policy string, key, value []byte, nowMS, expiresMS int64) (ok bool) {
	e := newEntry(append(make([]byte, 0, len(value)), value...), nowMS, expiresMS)
	kv.mu.Lock()
	defer kv.mu.Unlock()
	return kv.set(policy, string(key), e, nowMS)
}

// Incr implements plugins.KV.
func (kv *KV) Incr(policy string, key []byte, delta, nowMS, expiresMS int64) int64 {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	count := int64(0)
	next := newEntry(nil, nowMS, expiresMS)
	if e, ok := kv.policies[policy].look(string(key), nowMS); ok {
		if len(e.value) != 8 {
			return abi.KVKind
		}
		if count = int64(binary.LittleEndian.Uint64(e.value)); count < 0 {
			return abi.KVKind
		}
		next = e
	}
	if delta > math.MaxInt64-count {
		count = math.MaxInt64
	} else {
		count = max(0, count+delta)
	}
	next.value = binary.LittleEndian.AppendUint64(nil, uint64(count))
	if !kv.set(policy, string(key), next, nowMS) {
		return abi.KVLimit
	}
	return count
}

func (kv *KV) load(policy, key string, e entry, nowMS int64) bool {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	return kv.set(policy, key, e, nowMS)
}

// set needs kv.mu. It is false, and changes nothing, where a quota is reached.
func (kv *KV) set(policy, key string, e entry, nowMS int64) bool {
	if kv.policies == nil {
		kv.policies = map[string]*space{}
	}
	if kv.dirty == nil {
		kv.dirty = map[address]struct{}{}
	}
	s := kv.policies[policy]
	if s == nil {
		s = &space{entries: map[string]entry{}}
		kv.policies[policy] = s
	}
	if !s.fits(key, e) {
		if nowMS >= s.swept && nowMS-s.swept < sweepEvery {
			return false
		}
		s.swept = nowMS
		for k := range s.entries {
			if _, ok := s.look(k, nowMS); !ok {
				s.drop(k)
				kv.forget(address{policy, k})
			}
		}
		if !s.fits(key, e) {
			return false
		}
	}
	s.drop(key)
	s.entries[key] = e
	s.bytes += e.size(key)
	kv.touch(address{policy, key})
	return true
}

func (s *space) fits(key string, e entry) bool {
	keys, bytes := len(s.entries)+1, s.bytes+e.size(key)
	if old, ok := s.entries[key]; ok {
		keys, bytes = keys-1, bytes-old.size(key)
	}
	return keys <= MaxKeys && bytes <= MaxBytes
}

func (s *space) drop(key string) {
	if old, ok := s.entries[key]; ok {
		s.bytes -= old.size(key)
		delete(s.entries, key)
	}
}

// touch needs kv.mu. What is noted twice is written once.
func (kv *KV) touch(a address) {
	if !kv.stored {
		return
	}
	kv.dirty[a] = struct{}{}
	select {
	case kv.wake <- struct{}{}:
	default:
	}
}

// forget needs kv.mu. It notes that an expired value goes, unless the store has
// been failing for so long that there is too much to note: what has expired is
// left out when the store is read.
func (kv *KV) forget(a address) {
	if len(kv.dirty) < maxDirty {
		kv.touch(a)
	} else {
		delete(kv.dirty, a)
	}
}

// Store is where values are kept.
type Store interface {
	PolicyValues(ctx context.Context, each func(store.PolicyValue) error) error
	Write(ctx context.Context, do func(*store.Tx) error) error
}

// Open reads what the store keeps, without what has expired at nowMS, and
// writes changes to it from now on, until [KV.Close]. It is called once, before
// the first decision.
func (kv *KV) Open(ctx context.Context, st Store, nowMS int64, log *slog.Logger) error {
	kv.wake, kv.done = make(chan struct{}, 1), make(chan struct{})
	var gone []address
	err := st.PolicyValues(ctx, func(v store.PolicyValue) error {
		e := newEntry(append(make([]byte, 0, len(v.Value)), v.Value...), nowMS, v.ExpiresMS)
		// A quota that was higher when this was stored: the rest goes.
		if !e.live(nowMS) || !kv.load(v.Policy, string(v.Key), e, nowMS) {
			gone = append(gone, address{v.Policy, string(v.Key)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	kv.mu.Lock()
	kv.stored = true
	if kv.dirty == nil {
		kv.dirty = map[address]struct{}{}
	}
	for _, a := range gone {
		kv.touch(a)
	}
	kv.mu.Unlock()
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	kv.stop = stop
	go func() {
		defer close(kv.done)
		kv.run(run, st, log)
	}()
	return nil
}

// Close writes what is not in the store yet, and ends. Safe twice, and on a KV
// without a store.
func (kv *KV) Close() {
	if kv.stop != nil {
		kv.stop()
		<-kv.done
	}
}

// run writes changes until ctx is done, and then all that is left, once more
// where the last attempt failed.
func (kv *KV) run(ctx context.Context, st Store, log *slog.Logger) {
	wait := linger
	for ctx.Err() == nil {
		select {
		case <-kv.wake:
		case <-ctx.Done():
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		wait = linger
		if !kv.tryFlush(st, log) {
			wait = retry
			kv.poke()
		}
	}
	kv.tryFlush(st, log)
}

// tryFlush is false, and says so in the log, where something was not written.
func (kv *KV) tryFlush(st Store, log *slog.Logger) bool {
	err := kv.flush(st)
	if err != nil {
		log.Error("what policies remember was not stored", "err", err)
	}
	return err == nil
}

func (kv *KV) poke() {
	select {
	case kv.wake <- struct{}{}:
	default:
	}
}

// flush writes every change that is noted. What fails stays noted.
func (kv *KV) flush(st Store) error {
	for {
		set, gone := kv.take()
		if len(set)+len(gone) == 0 {
			return nil
		}
		// A stop lets this write end, as the store's own stop does.
		err := st.Write(context.Background(), func(tx *store.Tx) error {
			for i := range set {
				if err := tx.SetPolicyValue(&set[i]); err != nil {
					return err
				}
			}
			for _, a := range gone {
				if err := tx.DropPolicyValue(a.policy, []byte(a.key)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			kv.mu.Lock()
			for _, v := range set {
				kv.dirty[address{v.Policy, string(v.Key)}] = struct{}{}
			}
			for _, a := range gone {
				kv.dirty[a] = struct{}{}
			}
			n := len(kv.dirty)
			kv.mu.Unlock()
			return fmt.Errorf("%d values: %w", n, err)
		}
	}
}

// take returns up to maxWrite changes and notes them as done.
func (kv *KV) take() (set []store.PolicyValue, gone []address) {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	for a := range kv.dirty {
		if len(set)+len(gone) == maxWrite {
			break
		}
		delete(kv.dirty, a)
		if e, ok := kv.policies[a.policy].find(a.key); ok {
			set = append(set, store.PolicyValue{Policy: a.policy, Key: []byte(a.key), Value: e.value, ExpiresMS: e.expires})
		} else {
			gone = append(gone, a)
		}
	}
	return set, gone
}

func (s *space) find(key string) (entry, bool) {
	if s == nil {
		return entry{}, false
	}
	e, ok := s.entries[key]
	return e, ok
}
