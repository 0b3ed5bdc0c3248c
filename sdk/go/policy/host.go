package policy

import (
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

// Log writes a line to the host's log, under the policy's name and the
// decision's request id. Level is one of abi.LogDebug to abi.LogError. The host
// limits length and number of lines. Outside a host it writes to standard error.
func Log(level int, text string) { hostLog(int32(level), text) }

// NowMS returns the decision's time in milliseconds since the Unix epoch. It
// does not move while a decision is made, and is what [Knock.NowMS] returns.
// Outside a host it is the machine's clock: prefer [Knock.NowMS], which a test
// sets.
func NowMS() int64 { return hostNowMS() }

// Random fills b, of at most 65,536 bytes, with random bytes that follow from
// the policy and the request id: the same request gets the same ones. They are
// no secret.
func Random(b []byte) { hostRandom(b) }

// GlobMatch reports whether the whole of text matches pattern, in which * is any
// text and ? any one character, and ASCII letters match in either case. The
// pattern has at most abi.MaxGlob bytes, the text abi.MaxGlobText; more is a
// trap. For many patterns at once, package glob is quicker.
func GlobMatch(pattern, text string) bool { return hostGlobMatch(pattern, text) == 1 }

// ACLAllows reports whether the content of an m.room.server_acl event lets a
// server take part. "" is a room without one, which lets in everybody.
func ACLAllows(acl, server string) bool { return hostACLAllows(acl, server) == 1 }

// KVGet returns what the policy keeps at key. It is not ok without a value, and
// past the quota of calls. The value is a view that lasts until the next KVGet.
// It needs the capability kv.
func KVGet(key string) (value []byte, ok bool) {
	n := hostKVGet(key, kvValue[:])
	if n < 0 {
		return nil, false
	}
	return kvValue[:n:n], true
}

// kvValue is where the host writes the largest value.
var kvValue [abi.MaxKVValue]byte

// KVPut keeps a value at key, for all instances of the policy, until ttl is over
// or another one is put there; 0 is without end. It is not ok, and keeps
// nothing, past a quota. It needs the capability kv.
func KVPut(key string, value []byte, ttl time.Duration) (ok bool) {
	return hostKVPut(key, value, millis(ttl)) == 0
}

// KVIncr adds delta to the counter at key in one step and returns its new value,
// which does not fall below 0. A new counter starts at 0 and is gone when ttl
// is over; 0 is without end. It is not ok, and counts nothing, past a quota and
// where the value is no counter. It needs the capability kv.
func KVIncr(key string, delta int64, ttl time.Duration) (count int64, ok bool) {
	count = hostKVIncr(key, delta, millis(ttl))
	return max(count, 0), count >= 0
}

// ListHas reports whether the host's list holds key, and whether it has such a
// list. It needs the capability lists.
func ListHas(list, key string) (has, known bool) {
	n := hostListHas(list, key)
	return n == 1, n >= 0
}

// millis returns d in milliseconds, rounded up.
func millis(d time.Duration) int64 {
	return int64(d/time.Millisecond) + min(int64(d%time.Millisecond), 1)
}
