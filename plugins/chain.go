package plugins

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

// Chain is a loaded list of policies. It is immutable and safe for concurrent
// use. It lives while someone holds a reference to it. A nil *Chain denies.
type Chain struct {
	engine    *Engine
	log       *slog.Logger
	monitor   *monitor
	policies  []*policy   // all, in order
	enforced  []*policy   // those of policies that take part in the decision
	monitored []*policy   // the others
	otherwise abi.Verdict // when every policy passes
	revision  string

	refs   atomic.Int64
	closed chan struct{} // closed when the last reference is released
}

// Revision is the chain's identity: the hex SHA-256 of everything that can
// change one of its decisions.
func (c *Chain) Revision() string {
	if c == nil {
		return ""
	}
	return c.revision
}

// PolicyStatus is one loaded policy, for those who show it.
type PolicyStatus struct {
	Name     string
	Revision string
	Module   string // hex SHA-256 of the file
	OnError  abi.Verdict
	Mode     Mode
	// Resting is true while the policy is not asked because of too many
	// faults, up to NextTry.
	Resting bool
	NextTry time.Time
	// Busy are the instances that judge or are being made, Idle those that wait
	// for a knock; MaxInstances is the most that there can be.
	Busy, Idle, MaxInstances int
	// Memory is the linear memory of the largest of its idle instances, in bytes.
	Memory int64
}

// Policies returns the chain's policies in order.
func (c *Chain) Policies() []PolicyStatus {
	if c == nil {
		return nil
	}
	list := make([]PolicyStatus, len(c.policies))
	for i, p := range c.policies {
		list[i] = PolicyStatus{Name: p.name, Revision: p.revision, Module: p.digest, OnError: p.onError, Mode: p.mode}
		list[i].NextTry, list[i].Resting = p.breaker.state()
		list[i].Busy, list[i].Idle = p.pool.count()
		list[i].MaxInstances = p.limits.Instances
		list[i].Memory = p.pool.memory()
	}
	return list
}

// find returns the policy with a revision, nil if there is none.
func (c *Chain) find(revision string) *policy {
	if c == nil {
		return nil
	}
	for _, p := range c.policies {
		if p.revision == revision {
			return p
		}
	}
	return nil
}

// retain adds a reference, unless the last one is gone.
func (c *Chain) retain() bool {
	for {
		n := c.refs.Load()
		if n <= 0 {
			return false
		}
		if c.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives a reference back. The last one closes the policies that no
// other chain shares, before it returns.
func (c *Chain) Release() {
	if c == nil {
		return
	}
	switch n := c.refs.Add(-1); {
	case n < 0:
		panic("plugins: a chain was released more often than it was acquired")
	case n == 0:
		for _, p := range c.policies {
			p.release()
		}
		close(c.closed)
	}
}

// frames keeps the buffers of request frames.
var frames = sync.Pool{New: func() any { return new([]byte) }}

// Evaluate asks the policies about f and fills d. It does not panic and always
// leaves a verdict in d; after a policy's fault that is its on_error, after any
// other fault it is deny. ctx ends the wait for an instance, not a guest.
//
// Where policies answer without words, or with the same as before, it
// allocates nothing.
func (c *Chain) Evaluate(ctx context.Context, f *abi.Facts, d *Decision) {
	d.world = world{}
	if c != nil {
		d.world = world{kv: c.engine.kv, lists: c.engine.lists}
		if c.engine.record {
			d.world.trace = &d.trace
		}
	}
	c.evaluate(ctx, f, d, nil, nil)
}

// evaluate is Evaluate in the world that d has. before and after, which a
// replay gives, are called around each policy; a replay is not monitored.
func (c *Chain) evaluate(ctx context.Context, f *abi.Facts, d *Decision, before func(*policy), after func(*Step)) {
	d.reset()
	if c == nil {
		d.fail(Fault{FaultClosed, "the policies are closed"})
		return
	}
	d.Revision = c.revision
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("panic while deciding", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			d.fail(Fault{FaultHost, fmt.Sprint(r)})
		}
	}()
	if err := ctx.Err(); err != nil {
		d.fail(Fault{FaultRequest, "the request ended: " + err.Error()})
		return
	}
	buf := frames.Get().(*[]byte)
	defer func() {
		if cap(*buf) > 2*abi.MaxFrame {
			*buf = nil
		}
		frames.Put(buf)
	}()
	*buf = abi.AppendFrame((*buf)[:0], f)
	c.decide(ctx, *buf, f, d, before, after)
	if len(c.monitored) > 0 && before == nil {
		d.pending = c.observe(*buf, f)
	}
}

// decide asks the policies in order until one decides.
func (c *Chain) decide(ctx context.Context, frame []byte, f *abi.Facts, d *Decision, before func(*policy), after func(*Step)) {
	for _, p := range c.enforced {
		if !p.scope.holds(f) {
			continue
		}
		if before != nil {
			before(p)
		}
		ends := c.step(ctx, p, frame, f, d)
		if after != nil {
			after(&d.Steps[len(d.Steps)-1])
		}
		if ends {
			return
		}
	}
	d.Verdict = c.otherwise
}

// step asks one policy and reports whether the chain ends with it.
func (c *Chain) step(ctx context.Context, p *policy, frame []byte, f *abi.Facts, d *Decision) bool {
	begin := time.Now()
	a := &d.answer
	from := len(d.trace.buf)
	fuel, fault := p.decide(ctx, frame, f, &d.world, a)
	step := Step{Policy: p.name, Revision: p.revision, Verdict: a.verdict, Fault: fault, Fuel: fuel, Micros: time.Since(begin).Microseconds()}
	step.Trace = d.trace.buf[from:len(d.trace.buf):len(d.trace.buf)]
	if fault.Class != FaultNone {
		step.Verdict = abi.Error
	} else {
		step.Note, step.Code = a.note, a.code
	}
	d.Steps = append(d.Steps, step)
	d.Fuel += fuel
	switch fault.Class {
	case FaultNone:
		if a.verdict == abi.Pass {
			return false
		}
		d.Verdict = a.verdict
		d.Policy, d.PolicyRevision = p.name, p.revision
		d.Message, d.Note, d.Code = a.message, a.note, a.code
		d.Detail = append(d.Detail, a.detail...)
		return true
	case FaultRequest, FaultHost, FaultClosed:
		d.fail(fault)
		return true
	}
	level := slog.LevelWarn
	if fault.Class == FaultResting {
		level = slog.LevelDebug // the breaker said so once; the decision's record says it of each
	}
	c.log.Log(ctx, level, "policy at fault", "policy", p.name, "request", f.RequestID, "fault", string(fault.Class),
		"text", fault.Text, "on_error", p.onError.String())
	if p.onError == abi.Pass {
		return false
	}
	d.Verdict, d.Fault = p.onError, fault
	d.Policy, d.PolicyRevision = p.name, p.revision
	return true
}
