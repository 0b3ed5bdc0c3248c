package plugins

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

// TestFuelIsStable: the same facts cost the same fuel, on both engines, from a
// new instance of a guest as small as can be to that of a Go guest.
func TestFuelIsStable(t *testing.T) {
	compiled, interpreted := newEngine(t, EngineOptions{}), newEngine(t, EngineOptions{Interpreter: true})
	specs := append([]PolicySpec{policyOf("echo"), policyOf("wasi"), policyOf("loop"), policyOf("exclusive")}, benchPolicies...)
	specs[0].Settings = []byte(`{"verdict":"deny","message":"no"}`)
	for _, spec := range specs {
		if _, err := os.Stat(spec.Module); err != nil {
			t.Logf("%s: not held: %v", spec.Name, err)
			continue
		}
		spec.Limits.Isolation = IsolationFresh
		spec.Limits.Instances = 1
		spec.Limits.Wait = time.Hour // a new instance may take long here
		var want int64
		for _, e := range []*Engine{compiled, compiled, interpreted} {
			c := load(t, e, ChainSpec{Policies: []PolicySpec{spec}})
			var d Decision
			for range 2 {
				c.Evaluate(context.Background(), knockFacts(), &d)
				if want == 0 {
					want = d.Fuel
				}
				if d.Fuel != want || d.Steps[0].Fuel != want || want <= 0 {
					t.Errorf("%s: %d ticks, in its step %d; want %d", spec.Name, d.Fuel, d.Steps[0].Fuel, want)
				}
			}
		}
	}
}

// TestFuelIsSummed: a decision's fuel is that of all of its steps, faults too.
func TestFuelIsSummed(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	loop := policyOf("loop")
	loop.OnError, loop.Limits.Fuel = abi.Pass, 1000
	c := load(t, e, ChainSpec{Policies: []PolicySpec{loop, policyOf("allow")}})
	var d Decision
	c.Evaluate(context.Background(), knockFacts(), &d)
	if d.Verdict != abi.Allow || d.Steps[0].Fuel != 1000 || d.Steps[1].Fuel <= 0 || d.Fuel != 1000+d.Steps[1].Fuel {
		t.Errorf("%s with %d ticks, steps %+v; want allow with 1000 and those of the second", d.Verdict, d.Fuel, d.Steps)
	}
}

// TestIsolation asks a guest that tells what it remembers.
func TestIsolation(t *testing.T) {
	for isolation, want := range map[Isolation][2]string{
		IsolationReuse: {"0:-----", "1:req-1"},
		IsolationReset: {"0:-----", "0:-----"},
		IsolationFresh: {"0:-----", "0:-----"},
	} {
		for _, interpreter := range []bool{false, true} {
			e := newEngine(t, EngineOptions{Interpreter: interpreter})
			p := policyOf("remembers")
			p.Limits = Limits{Isolation: isolation, Instances: 1}
			c := load(t, e, ChainSpec{Policies: []PolicySpec{p}})
			for i := range want {
				var d Decision
				c.Evaluate(context.Background(), knockFacts(), &d)
				if d.Note != want[i] {
					t.Errorf("%s, knock %d: note %q, fault %+v; want %q", isolation, i, d.Note, d.Fault, want[i])
				}
			}
		}
	}
}

// TestResetDiscardsWhatGrew: memory cannot be made smaller, so an instance whose
// memory grew in a call is replaced.
func TestResetDiscardsWhatGrew(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	p := policyOf("grows_memory")
	p.Limits = Limits{Isolation: IsolationReset, Instances: 1}
	c := load(t, e, ChainSpec{Policies: []PolicySpec{p}})
	var d Decision
	for i := range 3 {
		c.Evaluate(context.Background(), knockFacts(), &d)
		if d.Verdict != abi.Allow || e.Stats().Recycled != int64(i+1) {
			t.Errorf("knock %d: %s, fault %+v, %d instances recycled; want allow, %d", i, d.Verdict, d.Fault, e.Stats().Recycled, i+1)
		}
	}
}

// TestResetIsRefused for modules that could remember where it does not reach.
func TestResetIsRefused(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	null := code(0xd0, 0x70)
	for name, g := range map[string]hostileGuest{
		"table.set":      {table: code(0x70, 0, 1), decide: cat(constant(0), null, code(0x26, 0))},
		"table.grow":     {table: code(0x70, 1, 1, 9), decide: cat(null, constant(1), code(0xfc, 15, 0, 0x1a))},
		"table.fill":     {table: code(0x70, 0, 1), decide: cat(constant(0), null, constant(1), code(0xfc, 17, 0))},
		"table.copy":     {table: code(0x70, 0, 1), decide: cat(constant(0), constant(0), constant(1), code(0xfc, 14, 0, 0))},
		"v128 global":    {globals: list(cat(code(0x7b, 1, 0xfd, 12), make([]byte, 16), code(0x0b)))},
		"funcref global": {globals: list(cat(code(0x70, 1), null, code(0x0b)))},
	} {
		for isolation, stage := range map[Isolation]Stage{IsolationReset: StageScan, IsolationFresh: ""} {
			c, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{{Name: "p", Bytes: g.build(), Limits: Limits{Isolation: isolation}}}}, nil)
			c.Release()
			if failure, _ := errors.AsType[*LoadError](err); (failure == nil) != (stage == "") || failure != nil && failure.Stage != stage {
				t.Errorf("%s with isolation %s: %v, want an error at %q", name, isolation, err, stage)
			}
		}
	}
}
