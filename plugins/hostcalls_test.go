package plugins

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// mapKV is a KV without quotas.
type mapKV struct {
	mu sync.Mutex
	m  map[string]mapValue // guarded by mu
}

type mapValue struct {
	b       []byte
	expires int64
}

func (k *mapKV) find(policy string, key []byte, nowMS int64) (mapValue, bool) {
	v, ok := k.m[policy+"\x00"+string(key)]
	return v, ok && (v.expires == 0 || nowMS < v.expires)
}

func (k *mapKV) Get(policy string, key []byte, nowMS int64, dst []byte) ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, ok := k.find(policy, key, nowMS)
	return append(dst, v.b...), ok
}

func (k *mapKV) Put(policy string, key, value []byte, _, expires int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil {
		k.m = map[string]mapValue{}
	}
	k.m[policy+"\x00"+string(key)] = mapValue{append([]byte(nil), value...), expires}
	return true
}

func (k *mapKV) Incr(policy string, key []byte, delta, nowMS, expires int64) int64 {
	k.mu.Lock()
	v, ok := k.find(policy, key, nowMS)
	k.mu.Unlock()
	n := delta
	if ok {
		if len(v.b) != 8 {
			return abi.KVKind
		}
		n, expires = n+int64(binary.LittleEndian.Uint64(v.b)), v.expires
	}
	k.Put(policy, key, binary.LittleEndian.AppendUint64(nil, uint64(n)), nowMS, expires)
	return n
}

// mapLists are lists that hold whole keys.
type mapLists map[string]string

func (l mapLists) Has(list, key []byte) (has, known bool) {
	keys, known := l[string(list)]
	return known && strings.Contains(keys, " "+string(key)+" "), known
}

// hostCalls returns what testdata/host_calls says that lines gave.
func hostCalls(t *testing.T, c *Chain, requestID string, nowMS int64, lines ...string) (string, *Decision) {
	t.Helper()
	f := knockFacts()
	f.Reason, f.RequestID, f.NowMS = abi.Some(strings.Join(lines, "\n")), requestID, nowMS
	d := &Decision{}
	c.Evaluate(context.Background(), f, d)
	return d.Note, d
}

func hostCallsSpec(name string) PolicySpec {
	s := policyOf("host_calls")
	s.Name, s.Grants = name, []string{"lists", "kv"}
	return s
}

func TestHostCalls(t *testing.T) {
	e := newEngine(t, EngineOptions{KV: &mapKV{}, Lists: mapLists{"bad": " evil.example "}, Limits: slow})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{hostCallsSpec("a")}})
	number := func(n int64) string { return fmt.Sprintf("%016x", uint64(n)) }
	text := func(s string) string {
		var b [8]byte
		copy(b[:], s)
		return number(int64(len(s))) + number(int64(binary.LittleEndian.Uint64(b[:])))
	}
	key, long := strings.Repeat("k", abi.MaxKVKey), strings.Repeat("k", abi.MaxKVKey+1)
	for _, tt := range []struct {
		line string
		want string
	}{
		{"n", number(1000)},
		{"m*.EXAMPLE|a.example", number(1)},
		{"m*.example|example", number(0)},
		{`a{"allow":["*"],"deny":["evil.*"]}|good.example:8448`, number(1)},
		{`a{"allow":["*"],"deny":["evil.*"]}|EVIL.example`, number(0)},
		{"a|anybody.example", number(1)},
		{"gx", number(abi.KVAbsent)},
		{"px|12345678", number(0)},
		{"gx", text("12345678")},
		{"px|123456789", number(0)},
		{"gx", number(abi.KVSmall)},
		{"ix", number(abi.KVKind)},
		{"in", number(1)},
		{"in", number(2)},
		{"gn", text("\x02\x00\x00\x00\x00\x00\x00\x00")[:16] + number(2)},
		{"i" + key, number(1)},
		{"g" + long, number(abi.KVLimit)},
		{"p" + long + "|v", number(abi.KVLimit)},
		{"i" + long, number(abi.KVLimit)},
		{"g", number(abi.KVLimit)},
		{"pv|" + strings.Repeat("v", abi.MaxKVValue), number(0)},
		{"pv|" + strings.Repeat("v", abi.MaxKVValue+1), number(abi.KVLimit)},
		{"lbad|evil.example", number(1)},
		{"lbad|good.example", number(0)},
		{"lgood|good.example", number(abi.KVAbsent)},
		{"lbad|" + strings.Repeat("x", abi.MaxListKey+1), number(abi.KVLimit)},
	} {
		if got, d := hostCalls(t, c, "r", 1000, tt.line); got != tt.want {
			t.Errorf("%.40s: %s, want %s; fault %+v", tt.line, got, tt.want, d.Fault)
		}
	}
	// Both live for a second of the decisions' clock.
	if got, _ := hostCalls(t, c, "r", 1999, "gx", "in"); got != number(abi.KVSmall)+number(3) {
		t.Errorf("just before their end, a value and a counter are %s", got)
	}
	if got, _ := hostCalls(t, c, "r", 2000, "gx", "in"); got != number(abi.KVAbsent)+number(1) {
		t.Errorf("at their end, a value and a counter are %s", got)
	}
	other := load(t, e, ChainSpec{Policies: []PolicySpec{hostCallsSpec("b")}})
	if got, _ := hostCalls(t, other, "r", 1000, "gn"); got != number(abi.KVAbsent) {
		t.Errorf("a policy of another name reads %s", got)
	}

	first, _ := hostCalls(t, c, "r", 1000, "r", "r")
	again, _ := hostCalls(t, c, "r", 1000, "r", "r")
	changed, _ := hostCalls(t, c, "s", 1000, "r", "r")
	if first != again || first == changed || first[16:32] == first[48:] {
		t.Errorf("random bytes %s and %s for one request, %s for another", first, again, changed)
	}

	calls := strings.TrimSuffix(strings.Repeat("gx\n", maxKVCalls+1), "\n")
	if got, _ := hostCalls(t, c, "r", 1000, calls); !strings.HasSuffix(got, number(abi.KVSmall)+number(abi.KVLimit)) {
		t.Errorf("%d calls of kv end with %s", maxKVCalls+1, got[len(got)-32:])
	}
	for _, line := range []string{"ox", "m" + strings.Repeat("*", abi.MaxGlob+1) + "|a", "aa|" + strings.Repeat("x", abi.MaxServerName+1)} {
		if _, d := hostCalls(t, c, "r", 1000, line); d.Fault.Class != FaultTrap {
			t.Errorf("%.20s: fault %+v, want a trap", line, d.Fault)
		}
	}
}

func TestGrants(t *testing.T) {
	full := newEngine(t, EngineOptions{KV: &mapKV{}, Lists: mapLists{}})
	for _, tt := range []struct {
		name   string
		engine *Engine
		grants []string
		want   string // part of the error; "" loads
	}{
		{"all", full, []string{"kv", "lists"}, ""},
		{"none", full, nil, `imports "knock_v1.kv_get", which needs the capability "kv"; grant it with grants = ["kv"]`},
		{"one of two", full, []string{"kv"}, `imports "knock_v1.list_has", which needs the capability "lists"`},
		{"unknown", full, []string{"kv", "net"}, `the grant "net"; there are ["kv" "lists"]`},
		{"not there", newEngine(t, EngineOptions{Lists: mapLists{}}), []string{"kv", "lists"}, `the grant "kv", which this host does not have`},
	} {
		spec := policyOf("host_calls")
		spec.Grants = tt.grants
		c, err := tt.engine.Load(context.Background(), ChainSpec{Policies: []PolicySpec{spec}}, nil)
		if err == nil {
			c.Release()
		}
		if le, ok := errors.AsType[*LoadError](err); tt.want == "" && err != nil ||
			tt.want != "" && (!ok || le.Policy != "host_calls" || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	revision := func(grants ...string) string {
		spec := policyOf("allow")
		spec.Grants = grants
		return load(t, full, ChainSpec{Policies: []PolicySpec{spec}}).Revision()
	}
	if revision() == revision("kv") || revision("kv", "lists") != revision("lists", "kv", "kv") {
		t.Error("the revision does not follow the set of grants")
	}
}

// TestCountersAreShared: every instance of a policy counts in the same place.
func TestCountersAreShared(t *testing.T) {
	e := newEngine(t, EngineOptions{KV: &mapKV{}, Limits: slow})
	spec := policyOf("kv_counter")
	spec.Grants = []string{"kv"}
	spec.Limits.Calls = 1 // a new instance for each decision
	c := load(t, e, ChainSpec{Policies: []PolicySpec{spec}})
	for i, want := range []abi.Verdict{abi.Allow, abi.Allow, abi.Deny, abi.Deny} {
		var d Decision
		c.Evaluate(context.Background(), knockFacts(), &d)
		if d.Verdict != want || d.Fault.Class != FaultNone {
			t.Errorf("knock %d: %s, fault %+v; want %s", i+1, d.Verdict, d.Fault, want)
		}
	}
}

// TestACLAllows is the table of host/internal/pdu, which judges the same
// content for the protocol's own check.
func TestACLAllows(t *testing.T) {
	for _, c := range []struct {
		name, acl, server string
		want              bool
	}{
		{"all", `{"allow":["*"]}`, "domain", true},
		{"denied", `{"allow":["*"],"deny":["domain"]}`, "domain", false},
		{"denied, port", `{"allow":["*"],"deny":["domain"]}`, "domain:8448", false},
		{"the port is no part of the name", `{"allow":["*"],"deny":["domain:8448"]}`, "domain:8448", true},
		{"denied, other case", `{"allow":["*"],"deny":["EVIL.*"]}`, "evil.Example", false},
		{"denied, other case in the name", `{"allow":["*"],"deny":["evil.*"]}`, "EVIL.example", false},
		{"allowed by name", `{"allow":["*.example"]}`, "a.example", true},
		{"anchored at the start", `{"allow":["example"]}`, "a.example", false},
		{"anchored at the end", `{"allow":["a"]}`, "a.example", false},
		{"not in allow", `{"allow":["a"]}`, "b", false},
		{"deny goes first", `{"allow":["a"],"deny":["a"]}`, "a", false},
		{"one character", `{"allow":["a?c"]}`, "abc", true},
		{"one character, not none", `{"allow":["a?c"]}`, "ac", false},
		{"no regular expression", `{"allow":["(.*)"]}`, "domain", false},
		{"the dot is a dot", `{"allow":["a.c"]}`, "abc", false},
		{"no character class", `{"allow":["[a-z]"]}`, "a", false},

		{"allow empty", `{"allow":[]}`, "domain", false},
		{"allow missing", `{}`, "domain", false},
		{"allow a string", `{"allow":"*"}`, "domain", false},
		{"allow an object", `{"allow":{"*":"*"}}`, "domain", false},
		{"allow of what is no string", `{"allow":[7,null,["*"]]}`, "domain", false},
		{"what is no string is skipped", `{"allow":[7,"*"],"deny":[{}]}`, "domain", true},
		{"deny a string", `{"allow":["*"],"deny":"*"}`, "domain", true},
		{"content no object", `["*"]`, "domain", false},
		{"content null", `null`, "domain", false},
		{"Allow", `{"Allow":["*"]}`, "domain", false},

		{"IPv4, by default", `{"allow":["*"]}`, "192.0.2.1", true},
		{"IPv4 off", `{"allow":["*"],"allow_ip_literals":false}`, "192.0.2.1", false},
		{"IPv4 off, port", `{"allow":["*"],"allow_ip_literals":false}`, "192.0.2.1:8448", false},
		{"IPv6 off", `{"allow":["*"],"allow_ip_literals":false}`, "[2001:db8::1]", false},
		{"IPv6 off, port", `{"allow":["*"],"allow_ip_literals":false}`, "[2001:db8::1]:8448", false},
		{"IP off, a name", `{"allow":["*"],"allow_ip_literals":false}`, "domain", true},
		{"IP off, no boolean", `{"allow":["*"],"allow_ip_literals":"false"}`, "192.0.2.1", true},
		{"IP on", `{"allow":["*"],"allow_ip_literals":true}`, "192.0.2.1", true},
		{"IPv6 denied by name", `{"allow":["*"],"deny":["[2001:db8::*]"]}`, "[2001:db8::1]:1", false},

		{"IP off, leading zero is no literal", `{"allow":["*"],"allow_ip_literals":false}`, "192.0.2.01", true},
		{"IP off, too large is no literal", `{"allow":["*"],"allow_ip_literals":false}`, "192.0.2.256", true},
		{"IP off, three parts are no literal", `{"allow":["*"],"allow_ip_literals":false}`, "192.0.2", true},
		{"no event", ``, "domain", true},
		{"escaped", `{"\u0061llow":["\u002a"]}`, "domain", true},
		{"a key twice", `{"allow":["a"],"allow":["*"]}`, "a", false},
		{"bytes after it", `{"allow":["*"]} x`, "a", false},
		{"cut", `{"allow":["*"]`, "a", false},
		{"nested too deep", `{"allow":["*"],"x":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`, "a", false},
		{"no server", `{"allow":["*"]}`, "", false},
		{"only a port", `{"allow":["*"]}`, ":8448", false},
	} {
		r := aclReader{scanner: scanner{buf: []byte(c.acl)}}
		if got := r.allows([]byte(c.server)); got != c.want {
			t.Errorf("%s: allows(%s, %s) = %v, want %v", c.name, c.acl, c.server, got, c.want)
		}
	}
}

func TestExpiry(t *testing.T) {
	g := &guestState{nowMS: 1000}
	for ttl, want := range map[int64]int64{0: 0, -1: 0, math.MinInt64: 0, 1: 1001, math.MaxInt64 - 1000: math.MaxInt64, math.MaxInt64: math.MaxInt64} {
		if got := g.expiry(ttl); got != want {
			t.Errorf("expiry(%d) at 1000 = %d, want %d", ttl, got, want)
		}
	}
}
