package policylist

import (
	"fmt"
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
