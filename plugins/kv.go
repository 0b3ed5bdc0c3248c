package plugins

import (
	"encoding/binary"
	"math"

	"github.com/tetratelabs/wazero/api"

	"github.com/knockgate/knockgate/sdk/abi"
)

// maxKVCalls is the most key-value calls of one decision. More are answered
// abi.KVLimit.
const maxKVCalls = 64

// KV keeps what policies remember between decisions, for each policy by its
// name. It is safe for concurrent use, does not wait for a disk, and keeps
// nothing of the slices it is given.
//
// Time is nowMS, the frozen clock of the decision that asks: what expires at
// expiresMS is gone once nowMS has reached it; 0 never expires. A quota that is
// reached changes nothing and gives ok false.
type KV interface {
	// Get appends the key's value to dst. Without one it returns ok false.
	Get(policy string, key []byte, nowMS int64, dst []byte) (value []byte, ok bool)
	// Put sets the key's value and expiry.
	Put(policy string, key, value []byte, nowMS, expiresMS int64) (ok bool)
	// Incr adds delta to the counter at key, which is 8 little-endian bytes,
	// and returns its new value, with 0 and math.MaxInt64 as ends; all in one
	// step for every caller. Without a value, it starts at 0 and expires at
	// expiresMS; otherwise its expiry stays. A value of another length gives
	// abi.KVKind, a quota abi.KVLimit.
	Incr(policy string, key []byte, delta, nowMS, expiresMS int64) int64
}

// Lists are lists of the host that policies may ask. It is safe for concurrent
// use, does not wait for a disk, and keeps nothing of the slices it is given.
type Lists interface {
	// Has reports whether the list holds key, and whether there is such a list.
	Has(list, key []byte) (has, known bool)
}

// world is what the host functions of one decision reach beyond their
// instance. One value serves all policies of a chain in turn.
type world struct {
	kv     KV
	lists  Lists
	trace  *trace  // nil: nothing is recorded
	replay *replay // nil: the calls are answered by kv and lists
	seedOf string  // the policy revision that random numbers follow from; "" is the policy's own
}

func hostKVGet(g *guestState, mod api.Module, stack []uint64) {
	key := view(mod, "knock_v1.kv_get", uint32(stack[0]), uint32(stack[1]))
	out := view(mod, "knock_v1.kv_get", uint32(stack[2]), uint32(stack[3]))
	n, value := g.kvGet(key, len(out))
	copy(out, value)
	stack[0] = api.EncodeI32(n)
}

func hostKVPut(g *guestState, mod api.Module, stack []uint64) {
	key := view(mod, "knock_v1.kv_put", uint32(stack[0]), uint32(stack[1]))
	value := view(mod, "knock_v1.kv_put", uint32(stack[2]), uint32(stack[3]))
	stack[0] = api.EncodeI32(g.kvPut(key, value, int64(stack[4])))
}

func hostKVIncr(g *guestState, mod api.Module, stack []uint64) {
	key := view(mod, "knock_v1.kv_incr", uint32(stack[0]), uint32(stack[1]))
	stack[0] = uint64(g.kvIncr(key, int64(stack[2]), int64(stack[3])))
}

func hostListHas(g *guestState, mod api.Module, stack []uint64) {
	list := view(mod, "knock_v1.list_has", uint32(stack[0]), uint32(stack[1]))
	key := view(mod, "knock_v1.list_has", uint32(stack[2]), uint32(stack[3]))
	stack[0] = api.EncodeI32(g.listHas(list, key))
}

// kvRefused counts a call and reports whether it is past a quota, or made
// where there is no decision. What it looks at is the same in a replay.
func (g *guestState) kvRefused(size int, key []byte) bool {
	g.charge(callTicks + uint64(size+len(key))/bytesOfTick)
	g.kvCalls++
	return g.world == nil || g.kvCalls > maxKVCalls || len(key) == 0 || len(key) > abi.MaxKVKey || size > abi.MaxKVValue
}

func (g *guestState) kvGet(key []byte, room int) (n int32, value []byte) {
	if g.kvRefused(0, key) {
		return abi.KVLimit, nil
	}
	g.request = append(binary.AppendUvarint(g.request[:0], uint64(room)), key...)
	if reply, ok := g.recall(opKVGet); ok {
		code, size := binary.Varint(reply)
		value = reply[max(size, 0):]
		if size <= 0 || code > int64(room) || code != int64(len(value)) && code >= 0 {
			panic(errBrokenTrace)
		}
		n = int32(code)
	} else if g.world.replay != nil {
		n = abi.KVAbsent
	} else {
		g.value, ok = g.world.kv.Get(g.in.policy.name, key, g.nowMS, g.value[:0])
		value, n = g.value, int32(len(g.value))
		switch {
		case !ok:
			value, n = nil, abi.KVAbsent
		case len(value) > room:
			value, n = nil, abi.KVSmall
		}
	}
	g.note(opKVGet, int64(n), value)
	return n, value
}

func (g *guestState) kvPut(key, value []byte, ttlMS int64) int32 {
	if g.kvRefused(len(value), key) {
		return abi.KVLimit
	}
	g.request = binary.AppendVarint(g.request[:0], ttlMS)
	g.request = append(binary.AppendUvarint(g.request, uint64(len(key))), key...)
	g.request = append(g.request, value...)
	code := int64(0)
	if reply, ok := g.recall(opKVPut); ok {
		code = replyNumber(reply)
	} else if g.world.replay == nil && !g.world.kv.Put(g.in.policy.name, key, value, g.nowMS, g.expiry(ttlMS)) {
		code = abi.KVLimit
	}
	g.note(opKVPut, code, nil)
	return int32(code)
}

func (g *guestState) kvIncr(key []byte, delta, ttlMS int64) int64 {
	if g.kvRefused(0, key) {
		return abi.KVLimit
	}
	g.request = binary.AppendVarint(g.request[:0], delta)
	g.request = append(binary.AppendVarint(g.request, ttlMS), key...)
	count := max(delta, 0)
	if reply, ok := g.recall(opKVIncr); ok {
		count = replyNumber(reply)
	} else if g.world.replay == nil {
		count = g.world.kv.Incr(g.in.policy.name, key, delta, g.nowMS, g.expiry(ttlMS))
	}
	g.note(opKVIncr, count, nil)
	return count
}

func (g *guestState) listHas(list, key []byte) int32 {
	g.charge(callTicks + uint64(len(list)+len(key))/bytesOfTick)
	g.listCalls++
	if g.world == nil || g.listCalls > maxListCalls || len(list) > abi.MaxListKey || len(key) > abi.MaxListKey {
		return abi.KVLimit
	}
	g.request = append(binary.AppendUvarint(g.request[:0], uint64(len(list))), list...)
	g.request = append(g.request, key...)
	code := int64(0)
	if reply, ok := g.recall(opListHas); ok {
		code = replyNumber(reply)
	} else if g.world.replay == nil {
		switch has, known := g.world.lists.Has(list, key); {
		case !known:
			code = abi.KVAbsent
		case has:
			code = 1
		}
	}
	g.note(opListHas, code, nil)
	return int32(code)
}

// expiry returns when something expires that lives for ttlMS from now.
func (g *guestState) expiry(ttlMS int64) int64 {
	switch {
	case ttlMS <= 0:
		return 0
	case ttlMS > math.MaxInt64-g.nowMS:
		return math.MaxInt64
	}
	return g.nowMS + ttlMS
}

// maxListCalls is the most list_has calls of one decision.
const maxListCalls = 256
