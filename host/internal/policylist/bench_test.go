package policylist

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkMillion looks up in a list of a million entries, half of them suffixes:
// an entry, a name under a suffix, and what no entry stands for. It reports what
// the list holds of memory.
func BenchmarkMillion(b *testing.B) {
	var text strings.Builder
	for i := range 500_000 {
		fmt.Fprintf(&text, "@user%d:server%d.example\n.domain%d.example\n", i, i%1000, i)
	}
	raw := text.String()
	text.Reset()
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	s, err := readFrom(strings.NewReader(raw))
	if err != nil || s.entries != 1_000_000 {
		b.Fatalf("%d entries, %v", s.entries, err)
	}
	held := heap() - before
	for _, bb := range []struct {
		name, key string
		want      bool
	}{
		{"entry", "@user4711:server711.example", true},
		{"suffix", "a.b.domain4711.example", true},
		{"none", "matrix.b.example.org", false},
	} {
		b.Run(bb.name, func(b *testing.B) {
			key := []byte(bb.key)
			b.ReportAllocs()
			for b.Loop() {
				if s.has(key) != bb.want {
					b.Fatalf("has(%q) = %v", bb.key, !bb.want)
				}
			}
			b.ReportMetric(float64(held)/(1<<20), "MiB")
		})
	}
	runtime.KeepAlive(raw)
}

// BenchmarkMillionRules looks up in the list of a room with a million rules, a tenth
// of them hashes: a rule, a hash and what no rule stands for. It reports what the list
// holds of memory.
func BenchmarkMillionRules(b *testing.B) {
	const n = 1_000_000
	user := func(i int) string { return fmt.Sprintf("@user%d:server%d.example", i, i%1000) }
	i := -1
	events := &generated{next: func() string {
		switch i++; {
		case i == 0:
			return "[" + created
		case i == n+1:
			return "]"
		case i > n+1:
			return ""
		case i%10 == 0:
			return "," + ruleEvent("m.policy.rule.user", fmt.Sprint(i), fmt.Sprintf(`{"hashes":{"sha256":%q},"recommendation":"m.ban"}`, hashOf(user(i))))
		}
		return "," + ruleEvent("m.policy.rule.user", fmt.Sprint(i), ban(user(i)))
	}}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	text, _, err := readState(events)
	if err != nil {
		b.Fatal(err)
	}
	s, leftOut, err := parseRules(text)
	text = nil
	if err != nil || leftOut != 0 || s.entries != n {
		b.Fatalf("%d entries, %d left out, %v", s.entries, leftOut, err)
	}
	held := heap() - before
	for _, bb := range []struct {
		name, key string
		want      bool
	}{
		{"rule", user(4711), true},
		{"hash", user(4710), true},
		{"none", "@nobody:example.org", false},
	} {
		b.Run(bb.name, func(b *testing.B) {
			key := []byte(bb.key)
			b.ReportAllocs()
			for b.Loop() {
				if s.has(key) != bb.want {
					b.Fatalf("has(%q) = %v", bb.key, !bb.want)
				}
			}
			b.ReportMetric(float64(held)/(1<<20), "MiB")
		})
	}
}

// generated is a text made piece by piece; an empty piece ends it.
type generated struct {
	next func() string
	rest string
}

func (g *generated) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if g.rest == "" {
			if g.rest = g.next(); g.rest == "" {
				return n, io.EOF
			}
		}
		c := copy(p[n:], g.rest)
		n, g.rest = n+c, g.rest[c:]
	}
	return n, nil
}
