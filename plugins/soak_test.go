package plugins

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

// TestSoakSwaps swaps the chain 1,000 times under load. No request is lost or
// answered by a chain other than the one that it cites, and afterwards there
// are as many goroutines, instances and policies as before, and no more heap.
//
// The heap after the last swap is held against that after the first 100, both
// without load: by then the pools and caches have what they keep. It may be
// 1.5 times as much and 4 MiB more, for what the runtime happens to hold at
// that moment. One chain that is not closed holds an instance of 512 KiB, so
// that 900 would show.
func TestSoakSwaps(t *testing.T) {
	if testing.Short() {
		t.Skip("a soak test")
	}
	const swaps, warm = 1000, 100
	s := newSoak(t)
	s.run(1, warm)
	baseline := heapInUse()
	before := s.engine.Stats()
	s.run(warm+1, swaps)
	grown := heapInUse()
	after := s.engine.Stats()
	if after.Policies != before.Policies || after.Instances > before.Instances+2*int64(s.engine.limits.Instances) {
		t.Errorf("after %d swaps: %+v; after %d: %+v", warm, before, swaps, after)
	}
	if after.Discarded != 0 {
		t.Errorf("%d instances discarded, want 0", after.Discarded)
	}
	if grown > baseline+baseline/2+4<<20 {
		t.Errorf("the heap grew from %d to %d bytes", baseline, grown)
	}
	if err := s.gate.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if end := s.engine.Stats(); end.Policies != 0 || end.Instances != 0 {
		t.Errorf("at the end: %+v", end)
	}
	t.Logf("%d decisions, %d instances made; %d monitored, %d dropped; heap %d KiB with %d instances after %d swaps, %d KiB with %d after %d",
		s.decided.Load(), after.Started, after.Monitored, after.MonitorDropped,
		baseline>>10, before.Instances, warm, grown>>10, after.Instances, swaps)
}

func heapInUse() uint64 {
	// Twice: what has a finalizer goes in the second.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// soak is an engine and a gate, whose chains say their number.
type soak struct {
	t       *testing.T
	engine  *Engine
	gate    *Gate
	numbers sync.Map // revision to number
	decided atomic.Int64
}

func newSoak(t *testing.T) *soak {
	limits := slow
	limits.Instances = 4
	s := &soak{t: t, engine: newEngine(t, EngineOptions{Limits: limits, Monitored: func(*MonitorResult) {}})}
	s.gate = NewGate(s.load(0, nil))
	return s
}

func (s *soak) load(i int, previous *Chain) *Chain {
	c, err := s.engine.Load(context.Background(), ChainSpec{Policies: []PolicySpec{
		policyOf("pass"), // shared by all
		monitored(policyOf("deny_message")),
		says("door", fmt.Sprintf(`{"verdict":"deny","code":"%d"}`, i)),
	}}, previous)
	if err != nil {
		s.t.Fatal(err)
	}
	s.numbers.Store(c.Revision(), fmt.Sprint(i))
	return c
}

// run swaps in the chains from first to last under load, each of which gets to
// decide something, and returns once no chain but the last is open.
func (s *soak) run(first, last int) {
	goroutines := runtime.NumGoroutine()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var d Decision
			for !stop.Load() {
				c := s.gate.Acquire()
				c.Evaluate(context.Background(), knockFacts(), &d)
				c.Release()
				number, _ := s.numbers.Load(d.Revision)
				if d.Verdict != abi.Deny || d.Fault.Class != FaultNone || d.Code != number {
					s.t.Errorf("%s, code %q, fault %+v; want deny with the code %v of its revision", d.Verdict, d.Code, d.Fault, number)
					return
				}
				d.Answered()
				s.decided.Add(1)
			}
		})
	}
	for i := first; i <= last; i++ {
		running := s.gate.Acquire()
		c := s.load(i, running)
		running.Release()
		s.gate.Swap(c)
		for before := s.decided.Load(); s.decided.Load() == before && !s.t.Failed(); {
			runtime.Gosched()
		}
	}
	stop.Store(true)
	wg.Wait()
	// Evaluations that wait hold chains that were swapped out.
	patience := time.After(time.Minute)
	for s.engine.Stats().Policies != 3 || runtime.NumGoroutine() > goroutines {
		select {
		case <-patience:
			s.t.Fatalf("%d goroutines, %d before; %+v", runtime.NumGoroutine(), goroutines, s.engine.Stats())
		default:
			runtime.Gosched()
		}
	}
}
