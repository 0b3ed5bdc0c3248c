package plugins

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// TestSwapHammer swaps the chain 50 times under 16 goroutines. The policy says
// which chain it belongs to, so that every decision must cite the revision that
// made it.
func TestSwapHammer(t *testing.T) {
	const workers, swaps = 16, 50
	limits := slow
	limits.Instances = 4
	e := newEngine(t, EngineOptions{Limits: limits})
	next := func(i int, previous *Chain) *Chain {
		c, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{
			policyOf("pass"), // the same in every chain: shared
			says("names_itself", fmt.Sprintf(`{"verdict":"deny","code":"chain_%d"}`, i)),
		}}, previous)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var revisions sync.Map // code to revision
	first := next(0, nil)
	revisions.Store("chain_0", first.Revision())
	gate := NewGate(first)

	var stop atomic.Bool
	var decided [swaps + 1]atomic.Int64
	var total atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			var d Decision
			for !stop.Load() {
				c := gate.Acquire()
				c.Evaluate(context.Background(), knockFacts(), &d)
				cited := c.Revision()
				c.Release()
				if d.Verdict != abi.Deny || d.Fault.Class != FaultNone {
					t.Errorf("%s, fault %+v; want deny by choice", d.Verdict, d.Fault)
					return
				}
				want, _ := revisions.Load(d.Code)
				if d.Revision != want || d.Revision != cited {
					t.Errorf("the policy of %s decided, the decision cites %.8s, want %.8s", d.Code, d.Revision, want)
					return
				}
				var n int
				fmt.Sscanf(d.Code, "chain_%d", &n)
				decided[n].Add(1)
				total.Add(1)
			}
		})
	}
	for i := 1; i <= swaps; i++ {
		running := gate.Acquire()
		c := next(i, running)
		running.Release()
		revisions.Store(fmt.Sprintf("chain_%d", i), c.Revision())
		gate.Swap(c)
		// Every chain gets to decide something.
		for before := decided[i].Load(); decided[i].Load() == before && !t.Failed(); {
			runtime.Gosched()
		}
	}
	stop.Store(true)
	wg.Wait()
	if err := gate.Close(context.Background()); err != nil {
		t.Error(err)
	}
	s := e.Stats()
	if s.Policies != 0 || s.Instances != 0 {
		t.Errorf("%d policies and %d instances are left after Close, want none", s.Policies, s.Instances)
	}
	if s.Discarded != 0 {
		t.Errorf("%d instances discarded, want 0", s.Discarded)
	}
	t.Logf("%d decisions in %d chains, %d instances made", total.Load(), swaps+1, s.Started)
}

func TestGateCloseWaits(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	c, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{policyOf("allow")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	gate := NewGate(c)
	held := gate.Acquire()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := gate.Close(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Close with a decision going on = %v, want context.Canceled", err)
	}
	var d Decision
	held.Evaluate(context.Background(), knockFacts(), &d)
	if d.Verdict != abi.Allow {
		t.Errorf("a chain that is held decides %s, fault %+v; want allow", d.Verdict, d.Fault)
	}
	if after := gate.Acquire(); after != nil || gate.Revision() != "" {
		t.Errorf("Acquire after Close = %v, want nil", after)
	}
	if err := e.Close(context.Background()); err == nil || !strings.Contains(err.Error(), "still loaded") {
		t.Errorf("Engine.Close with a loaded policy = %v, want an error", err)
	}
	held.Release()
	if err := gate.Close(context.Background()); err != nil {
		t.Errorf("Close after the last decision: %v", err)
	}
	// A chain that comes too late is not kept.
	late, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{policyOf("allow")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	gate.Swap(late)
	if e.Stats().Policies != 0 {
		t.Error("a chain swapped in after Close stays open")
	}
}

func TestReleaseTooOftenPanics(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	c, err := e.Load(context.Background(), ChainSpec{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Release()
	defer func() {
		if recover() == nil {
			t.Error("the second Release of one reference goes unnoticed")
		}
	}()
	c.Release()
}
