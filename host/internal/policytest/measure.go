package policytest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/knockgate/knockgate/plugins"
)

// floorModule passes at once: what it takes is the host's share of a decision.
//
//go:embed floor.wasm
var floorModule []byte

// batch is how many decisions are made in a row before it is the floor's turn, so that
// the machine's other work meets both alike.
const batch = 64

// Measurement is what the decisions of a module take.
type Measurement struct {
	Knocks []Measured
	Floor  Times
	Memory int64 // linear memory of an instance after all of them, in bytes
	Size   int   // of the module, in bytes
	// Start is how long loading took, with the compiling.
	Start time.Duration
}

// Measured is one knock, judged again and again.
type Measured struct {
	Name    string
	Verdict string
	Fuel    int64 // the most that a decision took
	Times
}

// Times are how long decisions took, from facts to verdict.
type Times struct{ P50, P99 time.Duration }

// Standard are the knocks that a module without fixtures is measured with.
func Standard() *File {
	f, err := parse("standard", []byte(`{"cases": [
		{"name": "make_knock", "facts": {"phase": "make_knock"}},
		{"name": "send_knock", "facts": {"reason": "I am Alice from the reading circle and would like to join.", "displayname": "Alice"}}]}`))
	if err != nil {
		panic(err)
	}
	return f
}

// Measure has the module at path judge the first knock of each case calls times, in
// turns with the floor, in an engine like the server's. What a policy remembers of one
// knock it still knows at the next, but for another case. It fails if the module cannot
// be loaded, refuses settings that it should take, or ctx ends.
func Measure(ctx context.Context, path string, files []*File, calls int, o Options) (m *Measurement, err error) {
	o.Isolation = plugins.IsolationReuse
	b, err := newBench(path, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	in, err := inspect(path)
	if err != nil {
		return nil, err
	}
	floor, err := b.engine.Load(ctx, plugins.ChainSpec{Policies: []plugins.PolicySpec{{Name: "floor", Bytes: floorModule}}}, nil)
	if err != nil {
		return nil, fmt.Errorf("the floor: %w", err)
	}
	defer floor.Release()

	m = &Measurement{Size: in.Size}
	var ofFloor []time.Duration
	for _, f := range files {
		if f.Refused != nil {
			continue
		}
		begin := time.Now()
		if err := b.load(ctx, f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if m.Start == 0 {
			m.Start = time.Since(begin)
		}
		for i := range f.Cases {
			measured, floorTook, err := b.measure(ctx, f, i, calls, floor)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Path, err)
			}
			m.Knocks = append(m.Knocks, measured)
			ofFloor = append(ofFloor, floorTook...)
		}
		for _, p := range b.chain.Policies() {
			m.Memory = max(m.Memory, p.Memory)
		}
	}
	if len(m.Knocks) == 0 {
		return nil, errors.New("there is no knock to measure with: all fixtures are of settings that are refused")
	}
	m.Floor = timesOf(ofFloor)
	return m, nil
}

// measure judges the first knock of a case calls times.
func (b *bench) measure(ctx context.Context, f *File, i, calls int, floor *plugins.Chain) (m Measured, ofFloor []time.Duration, err error) {
	if err := b.world(f, i); err != nil {
		return m, nil, err
	}
	s := f.steps(i)[0]
	facts, err := f.facts(i, s, start)
	if err != nil {
		return m, nil, err
	}
	m.Name = f.Name + ": " + s.name
	var d plugins.Decision
	took := make([]time.Duration, 0, calls)
	round := func(c *plugins.Chain, n int, into []time.Duration) []time.Duration {
		for range n {
			begin := time.Now()
			c.Evaluate(ctx, facts, &d)
			into = append(into, time.Since(begin))
			if c == b.chain {
				a := answerOf(&d)
				m.Verdict, m.Fuel = a.Verdict, max(m.Fuel, a.Fuel)
			}
		}
		return into
	}
	for left := calls; left > 0 && ctx.Err() == nil; left -= batch {
		n := min(left, batch)
		took, ofFloor = round(b.chain, n, took), round(floor, n, ofFloor)
	}
	m.Times = timesOf(took)
	return m, ofFloor, ctx.Err()
}

// timesOf returns the quantiles of some times, which it puts in order.
func timesOf(took []time.Duration) (t Times) {
	if len(took) == 0 {
		return t
	}
	slices.Sort(took)
	return Times{took[len(took)/2], took[min(len(took)*99/100, len(took)-1)]}
}
