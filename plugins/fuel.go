package plugins

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
)

// maxCallDepth is how deep a guest's calls may nest. It is less than the frames
// that wazero's interpreter has, so that both engines give the same answer.
const maxCallDepth = 1024

// meter rewrites the module so that it stops by itself. See README.md for what
// a tick is.
func meter(_ context.Context, l *loading) error {
	if l.policy.engine.unmetered {
		return nil
	}
	m, err := wasmbin.Meter(l.scanned, wasmbin.MeterOptions{InitialFuel: l.policy.limits.StartFuel, MaxDepth: maxCallDepth})
	if err != nil {
		return err
	}
	l.module = m.Bin
	for _, g := range m.Globals {
		l.policy.globals = append(l.policy.globals, g.Name)
	}
	return nil
}

// gauge is the fuel and the call depth of one instance. It belongs to the
// goroutine that holds the instance. The zero value measures nothing.
type gauge struct {
	fuel, depth api.MutableGlobal
	budget      int64
}

// bind finds the globals that the rewriting has put into the module.
func (g *gauge) bind(mod api.Module, budget int64) {
	g.fuel, _ = mod.ExportedGlobal(wasmbin.FuelGlobal).(api.MutableGlobal)
	g.depth, _ = mod.ExportedGlobal(wasmbin.DepthGlobal).(api.MutableGlobal)
	g.budget = budget
}

// set fills up for the next call.
func (g *gauge) set(budget int64) {
	g.budget = budget
	if g.fuel != nil {
		g.fuel.Set(uint64(budget))
		g.depth.Set(maxCallDepth)
	}
}

func (g *gauge) left() int64 {
	if g.fuel == nil {
		return g.budget
	}
	return int64(g.fuel.Get())
}

// used returns the ticks taken since set.
func (g *gauge) used() int64 { return g.budget - max(g.left(), 0) }

// charge takes n ticks for what a host function does, and ends the call if
// there are not as many left.
func (g *gauge) charge(n int) {
	if g.fuel == nil {
		return
	}
	left := g.left() - int64(n)
	g.fuel.Set(uint64(left))
	if left < 0 {
		panic(guestError("out of fuel in a host function"))
	}
}

// stopped returns the fault of a call that failed because the meter stopped
// it; the zero Fault if it was not the meter.
func (g *gauge) stopped() Fault {
	switch {
	case g.fuel == nil:
	case g.left() < 0:
		return Fault{FaultExhausted, fmt.Sprintf("used up its %d ticks", g.budget)}
	case int32(uint32(g.depth.Get())) < 0:
		return Fault{FaultDepth, fmt.Sprintf("nested its calls deeper than %d", maxCallDepth)}
	}
	return Fault{}
}

// Ticks that host functions take for each byte that they work on, beside what
// the call itself costs.
const (
	ticksPerLine   = 500 // a line of log, apart from its bytes
	ticksPerByte   = 1   // of text
	randomPerTick  = 4   // bytes
	ticksPerSeed   = 200
	ticksPerClock  = 10 // of poll_oneoff
	writtenPerTick = 64 // bytes past the quota, which are only counted
)
