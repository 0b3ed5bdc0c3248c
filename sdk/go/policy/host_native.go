//go:build !wasip1

package policy

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

// TestHost stands in for the host in a policy's own tests. It is there natively
// only. What it keeps does not expire, and it has no quotas but those of size.
var TestHost testHost

type testHost struct {
	mu     sync.Mutex
	values map[string]string          // guarded by mu
	lists  map[string]map[string]bool // guarded by mu
	random *rand.ChaCha8              // guarded by mu
}

// Reset forgets all values and lists.
func (h *testHost) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.values, h.lists, h.random = nil, nil, nil
}

// SetList makes a list that holds the keys, and nothing else.
func (h *testHost) SetList(list string, keys ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lists == nil {
		h.lists = map[string]map[string]bool{}
	}
	h.lists[list] = map[string]bool{}
	for _, key := range keys {
		h.lists[list][key] = true
	}
}

func hostLog(level int32, text string) { println("policy log, level", level, text) }

func hostNowMS() int64 { return time.Now().UnixMilli() }

func hostRandom(b []byte) {
	h := &TestHost
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.random == nil {
		h.random = rand.NewChaCha8([32]byte{})
	}
	_, _ = h.random.Read(b) // never fails
}

func hostGlobMatch(pattern, text string) int32 {
	if len(pattern) > abi.MaxGlob || len(text) > abi.MaxGlobText {
		panic("glob_match: too long")
	}
	return truth(globMatch(lower(pattern), lower(text)))
}

func hostACLAllows(acl, server string) int32 {
	if acl == "" {
		return 1
	}
	var content map[string]any
	if json.Unmarshal([]byte(acl), &content) != nil || content == nil {
		return 0
	}
	host := StripPort(server)
	_, err := netip.ParseAddr(host)
	if literals, ok := content["allow_ip_literals"].(bool); ok && !literals && (err == nil || strings.HasPrefix(host, "[")) {
		return 0
	}
	holds := func(key string) bool {
		list, _ := content[key].([]any)
		for _, item := range list {
			if glob, ok := item.(string); ok && globMatch(lower(glob), lower(host)) {
				return true
			}
		}
		return false
	}
	return truth(holds("allow") && !holds("deny"))
}

func hostKVGet(key string, out []byte) int32 {
	h := &TestHost
	h.mu.Lock()
	defer h.mu.Unlock()
	value, ok := h.values[key]
	switch {
	case key == "" || len(key) > abi.MaxKVKey:
		return abi.KVLimit
	case !ok:
		return abi.KVAbsent
	case len(value) > len(out):
		return abi.KVSmall
	}
	return int32(copy(out, value))
}

func hostKVPut(key string, value []byte, _ int64) int32 {
	h := &TestHost
	h.mu.Lock()
	defer h.mu.Unlock()
	if key == "" || len(key) > abi.MaxKVKey || len(value) > abi.MaxKVValue {
		return abi.KVLimit
	}
	h.put(key, string(value))
	return 0
}

// put needs h.mu.
func (h *testHost) put(key, value string) {
	if h.values == nil {
		h.values = map[string]string{}
	}
	h.values[key] = value
}

func hostKVIncr(key string, delta, _ int64) int64 {
	h := &TestHost
	h.mu.Lock()
	defer h.mu.Unlock()
	if key == "" || len(key) > abi.MaxKVKey {
		return abi.KVLimit
	}
	var count int64
	if value, ok := h.values[key]; ok {
		if len(value) != 8 {
			return abi.KVKind
		}
		if count = int64(binary.LittleEndian.Uint64([]byte(value))); count < 0 {
			return abi.KVKind
		}
	}
	if sum := count + delta; sum >= 0 {
		count = sum
	} else if delta < 0 {
		count = 0
	} else {
		count = 1<<63 - 1
	}
	h.put(key, string(binary.LittleEndian.AppendUint64(nil, uint64(count))))
	return count
}

func hostListHas(list, key string) int32 {
	h := &TestHost
	h.mu.Lock()
	defer h.mu.Unlock()
	keys, ok := h.lists[list]
	switch {
	case len(list) > abi.MaxListKey || len(key) > abi.MaxListKey:
		return abi.KVLimit
	case !ok:
		return abi.KVAbsent
	}
	return truth(keys[key])
}

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

func lower(s string) []rune {
	runes := []rune(s)
	for i, r := range runes {
		if r >= 'A' && r <= 'Z' {
			runes[i] = r + 'a' - 'A'
		}
	}
	return runes
}

// globMatch reports whether text matches pattern. reach says, for each length
// of text, whether the pattern so far matches that much of it.
func globMatch(pattern, text []rune) bool {
	reach := make([]bool, len(text)+1)
	reach[0] = true
	for _, p := range pattern {
		last := reach[0]
		reach[0] = last && p == '*'
		for i, r := range text {
			here := reach[i+1]
			if p == '*' {
				reach[i+1] = here || reach[i]
			} else {
				reach[i+1] = last && (p == '?' || p == r)
			}
			last = here
		}
	}
	return reach[len(text)]
}
