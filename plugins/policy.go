package plugins

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/tetratelabs/wazero"

	"github.com/knockgate/knockgate/sdk/abi"
)

// policy is a loaded policy with its pool. It is immutable but for the pool,
// and shared by chains through its reference count.
type policy struct {
	engine   *Engine
	log      *slog.Logger
	name     string
	digest   string // hex SHA-256 of the module's file
	identity []byte // canonical JSON of everything that can change an answer
	revision string // hex SHA-256 of identity
	settings []byte
	onError  abi.Verdict
	mode     Mode
	scope    scope
	grants   []string // sorted
	limits   Limits
	kind     *kind // set by scan

	// A runtime of its own keeps a policy's modules apart from all others; what
	// they share is the cache of compiled code.
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	config   wazero.ModuleConfig
	globals  []string // exports that hold what a guest remembers beside memory

	// picture is the memory that instances share where isolation is reset. The
	// first instance sets it, which is made before there can be others.
	picture *picture

	pool    pool
	breaker breaker
	refs    atomic.Int64
}

// retain adds a reference. The caller holds one, or a chain that does.
func (p *policy) retain() { p.refs.Add(1) }

// release gives a reference back; the last one closes the policy.
func (p *policy) release() {
	if p.refs.Add(-1) == 0 {
		p.close()
	}
}

// close releases all that the policy holds, in whatever state load left it.
func (p *policy) close() {
	ctx := context.Background()
	if p.pool.slots != nil {
		p.pool.close()
	}
	if p.compiled != nil {
		// Neither close reports anything but a second close.
		_ = p.compiled.Close(ctx)
	}
	if p.runtime != nil {
		_ = p.runtime.Close(ctx)
	}
	p.picture.free()
	p.engine.policies.Add(-1)
}

// decide asks an instance about one knock, with host functions that reach w, and
// returns the ticks it took. With a fault, a is not to be used.
func (p *policy) decide(ctx context.Context, frame []byte, f *abi.Facts, w *world, a *answer) (fuel int64, fault Fault) {
	if len(frame) > abi.MaxFrame {
		return 0, Fault{FaultTooLarge, fmt.Sprintf("a request frame of %d bytes; at most %d", len(frame), abi.MaxFrame)}
	}
	if p.breaker.open.Load() {
		switch p.breaker.enter() {
		case rest:
			return 0, Fault{FaultResting, "the policy rests after too many faults and was not asked"}
		case try:
			return p.decideTry(ctx, frame, f, w, a)
		}
	}
	in, fault := p.pool.get(ctx)
	if fault.Class == FaultNone {
		fuel, fault = p.ask(in, frame, f, w, a)
	}
	if counts(fault.Class) {
		if until, opened := p.breaker.fault(); opened {
			p.log.Warn("policy rests: too many faults", "faults", p.limits.Faults, "within", p.limits.FaultWindow,
				"last", string(fault.Class), "text", fault.Text, "on_error", p.onError.String(), "next_try", until)
		}
	}
	return fuel, fault
}

// decideTry asks a fresh instance of a policy that rests.
func (p *policy) decideTry(ctx context.Context, frame []byte, f *abi.Facts, w *world, a *answer) (fuel int64, fault Fault) {
	in, fault := p.pool.fresh(ctx)
	if fault.Class == FaultNone {
		fuel, fault = p.ask(in, frame, f, w, a)
	}
	if until, closed := p.breaker.tried(fault.Class); closed {
		p.log.Info("policy is back: a fresh instance answered", "request", f.RequestID)
	} else {
		p.log.Warn("policy still rests: the try failed", "request", f.RequestID,
			"fault", string(fault.Class), "text", fault.Text, "next_try", until)
	}
	return fuel, fault
}

// ask has in judge a frame and gives it back to the pool, or drops it.
func (p *policy) ask(in *instance, frame []byte, f *abi.Facts, w *world, a *answer) (fuel int64, fault Fault) {
	in.guest.world = w
	fault = in.ask(frame, f, a)
	in.guest.world = nil
	fuel = in.gauge.used()
	if fault.Class != FaultNone {
		// Even after a well-formed refusal to decide: half-written state in a
		// guest gives wrong answers that look right.
		p.engine.discarded.Add(1)
		p.pool.drop(in)
		return fuel, fault
	}
	p.pool.put(in)
	return fuel, Fault{}
}
