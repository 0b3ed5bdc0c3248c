package plugins

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

// TestPoolHammer asks a guest that traps when it is entered twice, from more
// goroutines than there may be instances.
func TestPoolHammer(t *testing.T) {
	limits := slow
	limits.Instances = 3
	limits.Calls = 50 // so that instances are replaced under load too
	e := newEngine(t, EngineOptions{Limits: limits})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("exclusive")}})
	const workers, each = 16, 60
	var most atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			var d Decision
			for range each {
				c.Evaluate(context.Background(), knockFacts(), &d)
				if d.Verdict != abi.Allow {
					t.Errorf("%s, fault %+v; want allow", d.Verdict, d.Fault)
				}
				for n := e.Stats().Instances; ; {
					if was := most.Load(); n <= was || most.CompareAndSwap(was, n) {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	s := e.Stats()
	if got := most.Load(); got > 3 {
		t.Errorf("%d instances at once, want at most 3", got)
	}
	if s.Discarded != 0 || s.Recycled < workers*each/50-3 {
		t.Errorf("%d discarded, %d recycled; want 0, and about %d", s.Discarded, s.Recycled, workers*each/50)
	}
}

func TestOverload(t *testing.T) {
	e := newEngine(t, EngineOptions{Limits: Limits{Instances: 1, Wait: time.Millisecond}})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("allow")}, Default: abi.Allow})
	p := &c.policies[0].pool
	in, fault := p.get(context.Background())
	if in == nil {
		t.Fatal(fault)
	}
	if s := c.Policies()[0]; s.Busy != 1 || s.Idle != 0 || s.MaxInstances != 1 {
		t.Errorf("with the one instance out: %d busy, %d idle of %d; want 1, 0 of 1", s.Busy, s.Idle, s.MaxInstances)
	}
	var d Decision
	c.Evaluate(context.Background(), knockFacts(), &d)
	if d.Verdict != abi.Deny || d.Fault.Class != FaultOverloaded {
		t.Errorf("with every instance busy: %s, fault %+v; want deny, %s", d.Verdict, d.Fault, FaultOverloaded)
	}
	p.put(in)
	if s := c.Policies()[0]; s.Busy != 0 || s.Idle != 1 {
		t.Errorf("with the instance back: %d busy, %d idle; want 0 and 1", s.Busy, s.Idle)
	}
	c.Evaluate(context.Background(), knockFacts(), &d)
	if d.Verdict != abi.Allow {
		t.Errorf("with the instance back: %s, fault %+v; want allow", d.Verdict, d.Fault)
	}
}

// TestRecycleByMemory: a guest that takes a page with every call is replaced
// when it passes three quarters of its limit, and never runs into the limit.
func TestRecycleByMemory(t *testing.T) {
	e := newEngine(t, EngineOptions{Limits: Limits{Instances: 1, MemoryPages: 16}})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("grows_memory")}})
	var d Decision
	for i := range 50 {
		c.Evaluate(context.Background(), knockFacts(), &d)
		if d.Verdict != abi.Allow {
			t.Fatalf("call %d: %s, fault %+v; want allow", i, d.Verdict, d.Fault)
		}
	}
	// 8 pages grow to 13, which is the fifth call.
	if got := e.Stats().Recycled; got != 10 {
		t.Errorf("%d instances recycled in 50 calls, want 10", got)
	}
}

// TestWarm: after a discard the next instance is made in the background.
func TestWarm(t *testing.T) {
	e := newEngine(t, EngineOptions{Limits: slow})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("trap")}})
	var d Decision
	c.Evaluate(context.Background(), knockFacts(), &d)
	p := &c.policies[0].pool
	p.background.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) != 1 {
		t.Errorf("%d instances are idle after a discard, want 1", len(p.idle))
	}
}
