package plugins

import (
	"encoding/binary"
	"math"

	"github.com/knockgate/knockgate/sdk/abi"
)

// overlay is a KV for one evaluation whose writes reach nobody else: the policy
// finds what it wrote, and what lies under it stays. It is not safe for
// concurrent use.
type overlay struct {
	kv     KV
	values map[string][]byte // by key: an evaluation has one policy
}

// Get implements [KV].
func (o *overlay) Get(policy string, key []byte, nowMS int64, dst []byte) ([]byte, bool) {
	if v, ok := o.values[string(key)]; ok {
		return append(dst, v...), true
	}
	return o.kv.Get(policy, key, nowMS, dst)
}

// Put implements [KV].
func (o *overlay) Put(_ string, key, value []byte, _, _ int64) bool {
	if o.values == nil {
		o.values = map[string][]byte{}
	}
	o.values[string(key)] = append([]byte(nil), value...)
	return true
}

// Incr implements [KV].
func (o *overlay) Incr(policy string, key []byte, delta, nowMS, _ int64) int64 {
	var n int64
	if v, ok := o.Get(policy, key, nowMS, nil); ok {
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
	o.Put(policy, key, binary.LittleEndian.AppendUint64(nil, uint64(n)), nowMS, 0)
	return n
}

var _ KV = (*overlay)(nil)
