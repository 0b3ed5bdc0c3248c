package plugins

import (
	"context"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// BenchmarkEvaluateRego is BenchmarkEvaluate with policies in Rego: one with
// four globs, which pass, the same where it denies in words, and one that
// compares a text.
//
//	go test ./plugins -run xxx -bench Rego -benchmem -cpu 1,2
func BenchmarkEvaluateRego(b *testing.B) {
	denied := knockFacts()
	denied.Reason = abi.Some("hi")
	for _, row := range []struct {
		name  string
		spec  PolicySpec
		facts *abi.Facts
	}{{"globs", regoRules, knockFacts()}, {"globs_denies", regoRules, denied}, {"text", regoCases(), reasoned("allow")}} {
		for _, bound := range []string{"plain", "metered"} {
			e := newEngine(b, EngineOptions{Limits: slow})
			e.unmetered = bound == "plain"
			c := load(b, e, ChainSpec{Policies: []PolicySpec{row.spec}})
			b.Run(row.name+"/"+bound, func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					var d Decision
					for pb.Next() {
						c.Evaluate(context.Background(), row.facts, &d)
						if d.Fault.Class != FaultNone {
							b.Errorf("fault %+v", d.Fault)
							return
						}
					}
				})
				var d Decision
				c.Evaluate(context.Background(), row.facts, &d)
				b.ReportMetric(float64(d.Fuel), "ticks")
			})
		}
	}
}

// BenchmarkStartRego is the making of one instance, and a load with the code
// cached.
func BenchmarkStartRego(b *testing.B) {
	e := newEngine(b, EngineOptions{})
	c := load(b, e, ChainSpec{Policies: []PolicySpec{regoRules}})
	b.Run("instance", func(b *testing.B) {
		for b.Loop() {
			in, err := c.policies[0].start(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			in.close()
		}
	})
	b.Run("reload", func(b *testing.B) {
		for b.Loop() {
			benchLoad(b, e, regoRules)
		}
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			e, err := NewEngine(EngineOptions{})
			if err != nil {
				b.Fatal(err)
			}
			benchLoad(b, e, regoRules)
			if err := e.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
