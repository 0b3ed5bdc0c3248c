package plugins

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
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

// bounds are ways to stop a guest: not at all, by fuel, and as the engine would by
// itself.
var bounds = []struct {
	name string
	set  func(*Engine)
}{
	{"plain", func(e *Engine) { e.unmetered = true }},
	{"metered", func(*Engine) {}},
	{"interrupt", func(e *Engine) { e.unmetered, e.config = true, e.config.WithCloseOnContextDone(true) }},
}

// BenchmarkEvaluate is one decision through a chain of one policy, facts to
// decision, without a bound, metered, and with the engine's own bound. Metered,
// it allocates nothing.
//
//	go test ./plugins -run xxx -bench Evaluate -benchmem -cpu 1,2
func BenchmarkEvaluate(b *testing.B) {
	for _, spec := range append(benchPolicies, guestPolicies...) {
		if _, err := os.Stat(spec.Module); err != nil {
			b.Run(spec.Name, func(b *testing.B) { b.Skipf("not measured: %v", err) })
			continue
		}
		for _, bound := range bounds {
			e := newEngine(b, EngineOptions{Limits: slow})
			bound.set(e)
			c := load(b, e, ChainSpec{Policies: []PolicySpec{spec}, Default: abi.Allow})
			b.Run(spec.Name+"/"+bound.name, func(b *testing.B) {
				benchEvaluate(b, c)
				var d Decision
				c.Evaluate(context.Background(), knockFacts(), &d)
				b.ReportMetric(float64(d.Fuel), "ticks")
			})
		}
	}
}

// benchEvaluate has each core decide as fast as it can.
func benchEvaluate(b *testing.B, c *Chain) {
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
}

// BenchmarkMetering asks one instance of each guest in turns: without a bound,
// metered, and with the engine's own bound, so that the ratios of the medians
// hold on a machine that does other things as well.
//
//	go test ./plugins -run xxx -bench Metering -cpu 2
func BenchmarkMetering(b *testing.B) {
	for _, spec := range append(benchPolicies, guestPolicies...) {
		var chains []*Chain
		for _, bound := range bounds {
			e := newEngine(b, EngineOptions{Limits: slow})
			bound.set(e)
			chains = append(chains, load(b, e, ChainSpec{Policies: []PolicySpec{spec}, Default: abi.Allow}))
		}
		b.Run(spec.Name, func(b *testing.B) {
			const batch = 32 // calls between two looks at the clock, and before the first
			times := make([][]float64, len(chains))
			f := knockFacts()
			var d Decision
			for b.Loop() {
				for i, c := range chains {
					var begin time.Time
					for n := range 2 * batch {
						if n == batch {
							begin = time.Now()
						}
						c.Evaluate(context.Background(), f, &d)
					}
					times[i] = append(times[i], float64(time.Since(begin))/batch)
				}
			}
			var median [3]float64
			for i := range times {
				slices.Sort(times[i])
				median[i] = times[i][len(times[i])/2]
			}
			b.ReportMetric(median[0]/1000, "plain-us")
			b.ReportMetric(median[1]/median[0], "metered/plain")
			b.ReportMetric(median[2]/median[0], "interrupt/plain")
			b.ReportMetric(0, "ns/op")
		})
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
// preempted, so the collector waits for it: several times in one runtime.GC.
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
			var longest time.Duration
			for b.Loop() {
				begin := time.Now()
				runtime.GC()
				longest = max(longest, time.Since(begin))
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
			b.ReportMetric(worst, "worst-pause-ms")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/GC")
			b.ReportMetric(float64(longest.Microseconds())/1000, "worst-GC-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
