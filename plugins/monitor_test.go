package plugins

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// results gathers what monitored policies would have said.
type results struct {
	mu   sync.Mutex
	list []MonitorResult // guarded by mu
}

func (r *results) add(m *MonitorResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, *m)
}

func (r *results) taken() []MonitorResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list
}

func monitored(p PolicySpec) PolicySpec {
	p.Mode = Monitor
	return p
}

// loadGated is load with a gate, whose Close waits for the evaluations.
func loadGated(t *testing.T, e *Engine, spec ChainSpec) *Chain {
	t.Helper()
	c, err := e.Load(context.Background(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	gate := NewGate(c)
	t.Cleanup(func() {
		if err := gate.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestMonitor: a monitored policy changes nothing of the decision, is asked
// only once the answer has gone, and the chain waits for it though it was
// swapped out meanwhile.
func TestMonitor(t *testing.T) {
	var got results
	e := newEngine(t, EngineOptions{Limits: slow, Monitored: got.add})
	deny := monitored(says("strict", `{"verdict":"deny","message":"no","code":"c","note":"n"}`))
	elsewhere := monitored(policyOf("deny_message"))
	elsewhere.Origins = []string{"elsewhere.example"}
	broken := monitored(policyOf("trap"))
	broken.OnError = abi.Allow
	spec := ChainSpec{Policies: []PolicySpec{deny, elsewhere, policyOf("allow"), broken, monitored(policyOf("pass"))}}
	c, err := e.Load(context.Background(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	gate := NewGate(c)
	var d Decision
	held := gate.Acquire()
	held.Evaluate(context.Background(), knockFacts(), &d)
	held.Release()
	if d.Verdict != abi.Allow || d.Policy != "allow" || len(d.Steps) != 1 || d.Fault.Class != FaultNone {
		t.Errorf("%s by %q, fault %+v, steps %+v; want allow by allow alone", d.Verdict, d.Policy, d.Fault, d.Steps)
	}
	if !d.Pending() || e.Stats().Monitored != 0 || len(got.taken()) != 0 {
		t.Errorf("before Answered: pending %v, stats %+v", d.Pending(), e.Stats())
	}
	next, err := e.Load(context.Background(), ChainSpec{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	gate.Swap(next)
	if e.Stats().Policies != 5 {
		t.Error("the swap closed a chain that an evaluation needs")
	}
	d.Answered()
	d.Answered()
	if err := gate.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	list := got.taken()
	if len(list) != 3 {
		t.Fatalf("%d results, want those of strict, trap and pass: %+v", len(list), list)
	}
	if r := list[0]; r.Policy != "strict" || r.Verdict != abi.Deny || r.Message != "no" || r.Code != "c" || r.Note != "n" ||
		r.Fault.Class != FaultNone || r.RequestID != "req-1" || r.Decided != abi.Allow || r.Revision != d.Revision || !r.Differs() || r.Fuel <= 0 {
		t.Errorf("strict: %+v", r)
	}
	if r := list[1]; r.Policy != "trap" || r.Verdict != abi.Allow || r.Fault.Class != FaultTrap || r.Differs() {
		t.Errorf("trap: %+v; want its on_error and the fault", r)
	}
	if r := list[2]; r.Policy != "pass" || r.Verdict != abi.Pass || r.Differs() || r.Message != "" {
		t.Errorf("pass: %+v", r)
	}
	if s := e.Stats(); s.Monitored != 3 || s.MonitorDropped != 0 || s.Policies != 0 {
		t.Errorf("at the end: %+v", s)
	}
}

// TestMonitorFrame: the policy sees the bytes that it would see enforced,
// whatever became of the request's buffers since.
func TestMonitorFrame(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	c := loadGated(t, e, ChainSpec{Policies: []PolicySpec{monitored(policyOf("pass"))}})
	f := knockFacts()
	want := abi.AppendFrame(nil, f)
	var d Decision
	c.Evaluate(context.Background(), f, &d)
	clear(f.Event)
	if !bytes.Equal(d.pending.frame, want) {
		t.Error("the frame kept is not the frame shown")
	}
	d.Answered()
}

// TestMonitorDrops: what finds the queue full is dropped and counted, and so
// is what nobody says is answered; the decision does not wait.
func TestMonitorDrops(t *testing.T) {
	entered, goOn := make(chan struct{}, monitorWorkers), make(chan struct{})
	e := newEngine(t, EngineOptions{Limits: slow, Monitored: func(*MonitorResult) {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-goOn
	}})
	c := loadGated(t, e, ChainSpec{Policies: []PolicySpec{monitored(policyOf("pass")), policyOf("allow")}})
	var d Decision
	ask := func() {
		c.Evaluate(context.Background(), knockFacts(), &d)
		if d.Verdict != abi.Allow {
			t.Fatalf("%s, fault %+v; want allow", d.Verdict, d.Fault)
		}
	}
	for range monitorWorkers {
		ask()
		d.Answered()
		<-entered
	}
	for range monitorQueue + 10 {
		ask()
		d.Answered()
	}
	if got := e.Stats().MonitorDropped; got != 10 {
		t.Errorf("%d dropped with a full queue, want 10", got)
	}
	ask()
	ask()
	if got := e.Stats().MonitorDropped; got != 11 {
		t.Errorf("%d dropped after a decision that nobody answered, want 11", got)
	}
	close(goOn)
	d.Answered()
}

// TestMonitorCosts: a chain without a monitored policy in scope pays nothing.
func TestMonitorCosts(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	elsewhere := monitored(policyOf("pass"))
	elsewhere.Rooms = []string{"!elsewhere*"}
	c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("allow"), elsewhere}})
	var d Decision
	c.Evaluate(context.Background(), knockFacts(), &d)
	if d.Pending() {
		t.Error("an evaluation is pending for a policy that is out of scope")
	}
	d.Answered()
}

// TestMonitorPanic: a callback that panics ends neither the worker nor the
// process.
func TestMonitorPanic(t *testing.T) {
	log, text := newLog()
	e := newEngine(t, EngineOptions{Log: log, Limits: slow, Monitored: func(*MonitorResult) { panic("the callback's fault") }})
	c, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{monitored(policyOf("pass"))}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	gate := NewGate(c)
	var d Decision
	for range 2 * monitorWorkers {
		c.Evaluate(context.Background(), knockFacts(), &d)
		d.Answered()
	}
	if err := gate.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text.String(), "the callback's fault"); n < 2*monitorWorkers {
		t.Errorf("%d panics in the log, want %d", n, 2*monitorWorkers)
	}
}

// TestMonitorHammer swaps chains with monitored policies under load: every
// observation is evaluated or counted as dropped, and nothing is left open.
func TestMonitorHammer(t *testing.T) {
	const workers, each, swaps = 8, 200, 20
	var got results
	e := newEngine(t, EngineOptions{Limits: slow, Monitored: got.add})
	next := func(verdict string, previous *Chain) *Chain {
		c, err := e.Load(context.Background(), ChainSpec{Default: abi.Allow,
			Policies: []PolicySpec{monitored(says("m", `{"verdict":"`+verdict+`"}`))}}, previous)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	gate := NewGate(next("deny", nil))
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			var d Decision
			for range each {
				c := gate.Acquire()
				c.Evaluate(context.Background(), knockFacts(), &d)
				c.Release()
				if d.Verdict != abi.Allow {
					t.Errorf("%s, fault %+v; want allow", d.Verdict, d.Fault)
				}
				d.Answered()
			}
		})
	}
	for i := range swaps {
		gate.Swap(next([]string{"pass", "deny"}[i%2], nil))
	}
	wg.Wait()
	if err := gate.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := e.Stats()
	if n := s.Monitored + s.MonitorDropped; n != workers*each || int64(len(got.taken())) != s.Monitored {
		t.Errorf("%d evaluated and %d dropped of %d, %d told", s.Monitored, s.MonitorDropped, workers*each, len(got.taken()))
	}
}
