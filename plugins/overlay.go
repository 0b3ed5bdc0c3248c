package plugins

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"

	"github.com/knockgate/knockgate/sdk/abi"
)

// Overlay is a [KV] whose writes reach nobody else and are gone with it: policies find
// what they wrote, and what lies under it stays. It bounds nothing, so it is for one
// evaluation. It is safe for concurrent use if what lies under it is.
type Overlay struct {
	kv KV

	mu     sync.Mutex
	values map[string][]byte // guarded by mu; by policy, 0 and key
}

// NewOverlay returns an overlay with nothing written to it yet.
func NewOverlay(under KV) *Overlay { return &Overlay{kv: under, values: map[string][]byte{}} }

func place(policy string, key []byte) string { return policy + "\x00" + string(key) }

// get and put are for who holds mu.
func (o *Overlay) get(policy string, key []byte, nowMS int64, dst []byte) ([]byte, bool) {
	if v, ok := o.values[place(policy, key)]; ok {
		return append(dst, v...), true
	}
	return o.kv.Get(policy, key, nowMS, dst)
}

func (o *Overlay) put(policy string, key, value []byte) {
	o.values[place(policy, key)] = slices.Clone(value)
}

// Get implements [KV].
func (o *Overlay) Get(policy string, key []byte, nowMS int64, dst []byte) ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.get(policy, key, nowMS, dst)
}

// Put implements [KV].
func (o *Overlay) Put(policy string, key, value []byte, _, _ int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(policy, key, value)
	return true
}

// Incr implements [KV].
func (o *Overlay) Incr(policy string, key []byte, delta, nowMS, _ int64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	var n int64
	if v, ok := o.get(policy, key, nowMS, nil); ok {
		if len(v) != 8 {
			return abi.KVKind
		}
		n = int64(binary.LittleEndian.Uint64(v))
	}
	switch {
	case delta > 0 && n > math.MaxInt64-delta:
		n = math.MaxInt64
	default:
		n = max(0, n+delta)
	}
	o.put(policy, key, binary.LittleEndian.AppendUint64(nil, uint64(n)))
	return n
}

var _ KV = (*Overlay)(nil)
