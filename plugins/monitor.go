package plugins

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

// Mode says what a policy's answer is good for.
type Mode string

const (
	// Enforce lets the policy decide. It is the default.
	Enforce Mode = "enforce"
	// Monitor asks the policy after the answer has gone, and only tells what
	// it would have said.
	Monitor Mode = "monitor"
)

const (
	// monitorQueue is how many knocks may wait for their monitored policies.
	// A frame is at most abi.MaxFrame bytes and usually 1 KiB.
	monitorQueue = 256
	// monitorWorkers is how many are evaluated at a time: few, so that
	// decisions keep the processor.
	monitorWorkers = 2
)

// MonitorResult is what one policy in monitor mode would have said.
type MonitorResult struct {
	RequestID string
	Phase     abi.Phase
	RoomID    string
	UserID    string
	Origin    string
	NowMS     int64 // the facts' clock: when the request came
	// Revision is the chain that decided, and Decided what it decided.
	Revision string
	Decided  abi.Verdict

	Policy         string
	PolicyRevision string
	// Verdict is the policy's answer, Pass included. After a fault it is what
	// its on_error would have been.
	Verdict             abi.Verdict
	Fault               Fault
	Message, Note, Code string
	// Fuel is what the policy used, in ticks.
	Fuel int64
	Took time.Duration
}

// Differs reports whether the chain would have decided otherwise with the
// policy enforced in front of all others.
func (r *MonitorResult) Differs() bool { return r.Verdict != abi.Pass && r.Verdict != r.Decided }

// observation is one knock for the monitored policies of its chain. It holds a
// reference to the chain from Evaluate to the end of the evaluation.
type observation struct {
	chain   *Chain
	facts   abi.Facts // without what only the frame needs
	frame   []byte
	decided abi.Verdict
	answer  answer
}

var observations = sync.Pool{New: func() any { return new(observation) }}

// free releases the chain and gives the buffers back.
func (o *observation) free() {
	c := o.chain
	o.chain, o.facts = nil, abi.Facts{}
	if cap(o.frame) > 2*abi.MaxFrame {
		o.frame = nil
	}
	observations.Put(o)
	c.Release()
}

// observe returns an observation of f, or nil if no monitored policy is to see
// it. The caller holds a reference to c.
func (c *Chain) observe(frame []byte, f *abi.Facts) *observation {
	for _, p := range c.monitored {
		if p.scope.holds(f) && c.retain() {
			o := observations.Get().(*observation)
			o.chain, o.facts = c, *f
			// The request's own buffers serve the next one by the time that o
			// is evaluated. What the slices held is in the frame.
			o.facts.Event, o.facts.SupportedVersions = nil, nil
			o.frame = append(o.frame[:0], frame...)
			return o
		}
	}
	return nil
}

// monitor evaluates observations, one after the other, in few goroutines. They
// begin with the first chain that has a monitored policy and end with the
// engine.
type monitor struct {
	report func(*MonitorResult)

	once    sync.Once
	queue   chan *observation // nil until begun; set before any observation is made
	workers sync.WaitGroup

	evaluated, dropped atomic.Int64
}

func (m *monitor) begin(e *Engine) {
	m.once.Do(func() {
		m.queue = make(chan *observation, monitorQueue)
		for range monitorWorkers {
			m.workers.Go(func() {
				for o := range m.queue {
					e.evaluate(o)
				}
			})
		}
	})
}

// end waits for the workers. No chain is left, and so no observation.
func (m *monitor) end() {
	m.once.Do(func() {})
	if m.queue != nil {
		close(m.queue)
		m.workers.Wait()
		m.queue = nil
	}
}

// submit queues o, or drops and counts it.
func (m *monitor) submit(o *observation) {
	select {
	case m.queue <- o:
	default:
		m.drop(o)
	}
}

func (m *monitor) drop(o *observation) {
	m.dropped.Add(1)
	o.free()
}

// evaluate asks each monitored policy that o is in the scope of.
func (e *Engine) evaluate(o *observation) {
	defer o.free()
	defer func() {
		if r := recover(); r != nil {
			e.log.Error("panic while monitoring", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	for _, p := range o.chain.monitored {
		if !p.scope.holds(&o.facts) {
			continue
		}
		begin := time.Now()
		w := world{lists: e.lists}
		if e.kv != nil {
			w.kv = NewOverlay(e.kv)
		}
		fuel, fault := p.decide(context.Background(), o.frame, &o.facts, &w, &o.answer)
		e.monitor.evaluated.Add(1)
		if e.monitor.report == nil {
			continue
		}
		r := MonitorResult{
			RequestID: o.facts.RequestID, Phase: o.facts.Phase, RoomID: o.facts.RoomID,
			UserID: o.facts.UserID, Origin: o.facts.Origin, NowMS: o.facts.NowMS,
			Revision: o.chain.revision, Decided: o.decided,
			Policy: p.name, PolicyRevision: p.revision,
			Fault: fault, Fuel: fuel, Took: time.Since(begin),
		}
		if fault.Class != FaultNone {
			r.Verdict = p.onError
		} else {
			a := &o.answer
			r.Verdict, r.Message, r.Note, r.Code = a.verdict, a.message, a.note, a.code
		}
		e.monitor.report(&r)
	}
}
