package plugins

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

// benchPolicies are what the benchmarks ask. The Go policies are the ones that
// Knockgate ships.
var benchPolicies = []PolicySpec{
	{Name: "noop", Module: filepath.Join("testdata", "allow.wasm")},
	{Name: "words", Module: filepath.Join("testdata", "deny_message.wasm")},
	{Name: "go_server_rules", Module: filepath.Join("..", "policies", "server_rules", "server_rules.wasm"),
		Settings: []byte(`{"default":"allow","rules":[{"deny":["*.evil.example","bad.example","spam-*.example"]},{"deny":["*.worse.example"],"except":["good.worse.example"]}]}`)},
	{Name: "go_reason_rules", Module: filepath.Join("..", "policies", "reason_rules", "reason_rules.wasm"),
		Settings: []byte(`{"forbidden":["casino","buy now","http*.example"],"max":500,"min":5,"required":true}`)},
}

// BenchmarkEvaluate is one decision through a chain of one policy, facts to
// decision, as it is and metered.
//
//	go test ./plugins -run xxx -bench Evaluate -benchmem -cpu 1,2
func BenchmarkEvaluate(b *testing.B) {
	for _, spec := range benchPolicies {
		if _, err := os.Stat(spec.Module); err != nil {
			b.Run(spec.Name, func(b *testing.B) { b.Skipf("not measured: %v", err) })
			continue
		}
		for _, bound := range []string{"plain", "metered"} {
			e := newEngine(b, EngineOptions{Limits: slow})
			e.unmetered = bound == "plain"
			c := load(b, e, ChainSpec{Policies: []PolicySpec{spec}, Default: abi.Allow})
			b.Run(spec.Name+"/"+bound, func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					var d Decision
					f := knockFacts()
					for pb.Next() {
						c.Evaluate(context.Background(), f, &d)
						if d.Fault.Class != FaultNone {
							b.Errorf("fault %+v", d.Fault)
							return
						}
					}
				})
				var d Decision
				c.Evaluate(context.Background(), knockFacts(), &d)
				b.ReportMetric(float64(d.Fuel), "ticks")
			})
		}
	}
}

// BenchmarkLoad is a load of a chain of one policy, first with nothing cached
// and then as a reload of a changed setting, where the code is there already. With
// a child, first with an empty cache and then as another start.
func BenchmarkLoad(b *testing.B) {
	for _, spec := range benchPolicies {
		if _, err := os.Stat(spec.Module); err != nil {
			continue
		}
		b.Run(spec.Name+"/cold", func(b *testing.B) {
			for b.Loop() {
				e, err := NewEngine(EngineOptions{})
				if err != nil {
					b.Fatal(err)
				}
				benchLoad(b, e, spec)
				if err := e.Close(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
		// In a child, with an empty folder and then as a start that finds the code.
		for _, kind := range []string{"child", "restart"} {
			b.Run(spec.Name+"/"+kind, func(b *testing.B) {
				o := EngineOptions{Compiler: childOf(b), CacheDir: filepath.Join(b.TempDir(), "compiled")}
				if kind == "restart" {
					load(b, newEngine(b, o), ChainSpec{Policies: []PolicySpec{spec}})
				}
				for b.Loop() {
					if kind == "child" {
						if err := os.RemoveAll(o.CacheDir); err != nil {
							b.Fatal(err)
						}
					}
					e, err := NewEngine(o)
					if err != nil {
						b.Fatal(err)
					}
					benchLoad(b, e, spec)
					if err := e.Close(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(spec.Name+"/reload", func(b *testing.B) {
			e := newEngine(b, EngineOptions{})
			load(b, e, ChainSpec{Policies: []PolicySpec{spec}})
			for b.Loop() {
				benchLoad(b, e, spec)
			}
		})
	}
}

func benchLoad(b *testing.B, e *Engine, spec PolicySpec) {
	b.Helper()
	c, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{spec}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	c.Release()
}

// BenchmarkStart is the making of one instance, which a fault costs.
func BenchmarkStart(b *testing.B) {
	for _, spec := range benchPolicies {
		if _, err := os.Stat(spec.Module); err != nil {
			continue
		}
		b.Run(spec.Name, func(b *testing.B) {
			e := newEngine(b, EngineOptions{})
			c := load(b, e, ChainSpec{Policies: []PolicySpec{spec}})
			for b.Loop() {
				in, err := c.policies[0].start(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				in.close()
			}
		})
	}
}

// BenchmarkAcquire is what a request pays to hold the chain in force.
func BenchmarkAcquire(b *testing.B) {
	e := newEngine(b, EngineOptions{})
	c, err := e.Load(context.Background(), ChainSpec{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	g := NewGate(c)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			g.Acquire().Release()
		}
	})
	if err := g.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// gcPauses is how long the world was stopped for collections, with the time that
// it took to stop.
func gcPauses() *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64Histogram()
}

// BenchmarkGCWhileGuestBurns is a collection of the host's garbage while a guest
// runs in another goroutine for as long as it is let. Native code cannot be
// preempted, so the collector waits for it.
//
//	go test ./plugins -run xxx -bench GCWhile -cpu 2
func BenchmarkGCWhileGuestBurns(b *testing.B) {
	for _, tt := range []struct {
		name      string
		unmetered bool
		fuel      int64
	}{{"barely", false, 1}, {"unmetered", true, 0}, {"fuel_200000", false, 200_000}, {"fuel_5000000", false, MaxFuel}} {
		b.Run(tt.name, func(b *testing.B) {
			e := newEngine(b, EngineOptions{Limits: Limits{Fuel: tt.fuel, Wait: time.Minute}})
			e.unmetered = tt.unmetered
			c := load(b, e, ChainSpec{Policies: []PolicySpec{policyOf("burns")}})
			var stop atomic.Bool
			var burner sync.WaitGroup
			burner.Go(func() {
				var d Decision
				for !stop.Load() {
					c.Evaluate(context.Background(), knockFacts(), &d)
				}
			})
			before := gcPauses()
			for b.Loop() {
				runtime.GC()
			}
			after := gcPauses()
			stop.Store(true)
			burner.Wait()
			var n, sum, worst float64
			for i, count := range after.Counts {
				if count -= before.Counts[i]; count > 0 {
					worst = after.Buckets[i] * 1000
					n, sum = n+float64(count), sum+float64(count)*worst
				}
			}
			b.ReportMetric(sum/n, "ms/pause")
			b.ReportMetric(worst, "worst-ms")
		})
	}
}
