//go:build !wasip1

package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/sdk/go/policy"
)

// TestTestHost: outside a host the functions answer as sdk/README.md says.
func TestTestHost(t *testing.T) {
	policy.TestHost.Reset()
	t.Cleanup(policy.TestHost.Reset)
	if _, ok := policy.KVGet("k"); ok {
		t.Error("a key has a value that nobody put")
	}
	if !policy.KVPut("k", []byte("abc"), time.Minute) {
		t.Error("KVPut is refused")
	}
	if v, ok := policy.KVGet("k"); !ok || string(v) != "abc" {
		t.Errorf("KVGet = %q, %v; want abc", v, ok)
	}
	if n, ok := policy.KVIncr("k", 1, 0); ok || n != 0 {
		t.Errorf("KVIncr of a text = %d, %v; want 0, false", n, ok)
	}
	for _, c := range []struct{ delta, want int64 }{{3, 3}, {-1, 2}, {-9, 0}, {1<<63 - 1, 1<<63 - 1}, {5, 1<<63 - 1}} {
		if n, ok := policy.KVIncr("n", c.delta, 0); !ok || n != c.want {
			t.Errorf("KVIncr by %d = %d, %v; want %d", c.delta, n, ok, c.want)
		}
	}
	if policy.KVPut(strings.Repeat("k", 513), nil, 0) || policy.KVPut("", nil, 0) || policy.KVPut("k", make([]byte, 4097), 0) {
		t.Error("KVPut takes a key or a value beyond its size")
	}
	policy.TestHost.SetList("bad", "evil.example")
	for key, want := range map[string]bool{"evil.example": true, "a.example": false} {
		if has, known := policy.ListHas("bad", key); has != want || !known {
			t.Errorf("ListHas(%q) = %v, %v; want %v, true", key, has, known, want)
		}
	}
	if _, known := policy.ListHas("good", "a"); known {
		t.Error("there is a list that nobody made")
	}
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{{"*.Example", "a.eXample", true}, {"a?c", "aéc", true}, {"a?c", "ac", false}, {"a*b*c", "axxbyyc", true}, {"a*b", "abx", false}, {"", "", true}} {
		if got := policy.GlobMatch(c.pattern, c.text); got != c.want {
			t.Errorf("GlobMatch(%q, %q) = %v, want %v", c.pattern, c.text, got, c.want)
		}
	}
	for _, c := range []struct {
		acl, server string
		want        bool
	}{
		{"", "a", true}, {`{"allow":["*"],"deny":["evil.*"]}`, "EVIL.example:8448", false}, {`{"allow":["*"]}`, "a:1", true},
		{`{}`, "a", false}, {`[]`, "a", false}, {`{"allow":["*"],"allow_ip_literals":false}`, "192.0.2.1:1", false},
		{`{"allow":["*"],"allow_ip_literals":false}`, "[2001:db8::1]", false},
	} {
		if got := policy.ACLAllows(c.acl, c.server); got != c.want {
			t.Errorf("ACLAllows(%s, %s) = %v, want %v", c.acl, c.server, got, c.want)
		}
	}
	var a, b [16]byte
	policy.Random(a[:])
	policy.Random(b[:])
	if a == b {
		t.Error("Random gives the same bytes twice")
	}
}
