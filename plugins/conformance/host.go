package conformance

import (
	"encoding/binary"
	"encoding/json"
	"math"

	"github.com/knockgate/knockgate/sdk/abi"
)

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a text always has a JSON
	}
	return string(b)
}

// store is kv for one policy. It takes no more than 1,000 bytes of a value, so that a
// probe meets a quota.
type store struct{ values map[string]value }

type value struct {
	bytes   []byte
	expires int64
}

const storeRoom = 1000

func (s *store) Get(_ string, key []byte, nowMS int64, dst []byte) ([]byte, bool) {
	v, ok := s.values[string(key)]
	if !ok || v.expires != 0 && v.expires <= nowMS {
		return nil, false
	}
	return append(dst, v.bytes...), true
}

func (s *store) Put(_ string, key, bytes []byte, _, expiresMS int64) bool {
	if len(bytes) > storeRoom {
		return false
	}
	s.values[string(key)] = value{append([]byte(nil), bytes...), expiresMS}
	return true
}

func (s *store) Incr(policy string, key []byte, delta, nowMS, expiresMS int64) int64 {
	var count int64
	if old, ok := s.Get(policy, key, nowMS, nil); ok {
		if len(old) != 8 {
			return abi.KVKind
		}
		count, expiresMS = int64(binary.LittleEndian.Uint64(old)), s.values[string(key)].expires
	}
	switch {
	case delta > 0 && count > math.MaxInt64-delta:
		count = math.MaxInt64
	default:
		count = max(count+delta, 0)
	}
	s.Put(policy, key, binary.LittleEndian.AppendUint64(nil, uint64(count)), nowMS, expiresMS)
	return count
}

// lists is one list, bad, of one server.
type lists struct{}

func (lists) Has(list, key []byte) (has, known bool) {
	return string(key) == "bad.example", string(list) == "bad"
}
