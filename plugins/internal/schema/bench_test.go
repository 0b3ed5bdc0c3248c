package schema

import (
	"strings"
	"testing"
)

// BenchmarkCheck reads and checks settings of the size that people write, and
// of the largest that there are with the worst pattern found.
func BenchmarkCheck(b *testing.B) {
	const rules = `{"type":"object","properties":{"rules":{"type":"array","items":{"type":"object","additionalProperties":false,
		"properties":{"deny":{"type":["string","array"],"minLength":1,"items":{"type":"string"}}}}}}}`
	const pattern = `{"type":"object","properties":{"a":{"type":"string","pattern":"(.{35}x?){6}y$"}}}`
	for _, bench := range []struct{ name, schema, settings string }{
		{"10 rules", rules, `{"rules":[` + repeat(10, `{"deny":"*.a%d.example"}`) + `]}`},
		{"5000 rules", rules, `{"rules":[` + repeat(5000, `{"deny":"*.a%d.example"}`) + `]}`},
		{"worst pattern", pattern, `{"a":"` + strings.Repeat("x", 128<<10-10) + `"}`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := compile(b, bench.schema)
			b.ReportAllocs()
			for b.Loop() {
				s.Check(parsed(b, bench.settings))
			}
		})
	}
}
