package plugins

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time // guarded by mu
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// TestBreaker: a policy that traps on every send_knock rests after its faults,
// without being asked; tries come at a growing interval; a try that succeeds,
// here a make_knock, brings it back.
func TestBreaker(t *testing.T) {
	log, text := newLog()
	e := newEngine(t, EngineOptions{Log: log, Limits: Limits{Wait: slow.Wait, Faults: 3, FaultWindow: time.Minute}})
	time0 := &clock{t: time.Unix(1_700_000_000, 0)}
	e.now = time0.now
	spec := policyOf("trap_once")
	spec.OnError = abi.Allow
	c := load(t, e, ChainSpec{Policies: []PolicySpec{spec}})
	var d Decision
	ask := func(phase abi.Phase, want FaultClass) {
		t.Helper()
		f := knockFacts()
		f.Phase = phase
		started := e.Stats().Discarded
		c.Evaluate(context.Background(), f, &d)
		if d.Fault.Class != want {
			t.Fatalf("fault %+v, want %q", d.Fault, want)
		}
		if want == FaultResting && (d.Verdict != abi.Allow || e.Stats().Discarded != started) {
			t.Fatalf("resting: %s, want the on_error, and the guest left alone", d.Verdict)
		}
	}
	resting := func(want bool) {
		t.Helper()
		if s := c.Policies()[0]; s.Resting != want || s.Resting && s.NextTry.Before(time0.now()) {
			t.Fatalf("status %+v, want resting %v", s, want)
		}
	}

	// Two faults in a window, and two in the next: never three within one.
	ask(abi.SendKnock, FaultTrap)
	ask(abi.SendKnock, FaultTrap)
	time0.add(time.Minute + time.Second)
	ask(abi.SendKnock, FaultTrap)
	ask(abi.SendKnock, FaultTrap)
	resting(false)
	ask(abi.SendKnock, FaultTrap)
	resting(true)
	for rest := time.Second; rest <= maxRest; rest *= 2 {
		ask(abi.SendKnock, FaultResting)
		ask(abi.MakeKnock, FaultResting)
		time0.add(rest - time.Millisecond)
		ask(abi.SendKnock, FaultResting)
		time0.add(time.Millisecond)
		ask(abi.SendKnock, FaultTrap) // the try
		resting(true)
	}
	time0.add(maxRest - time.Millisecond)
	ask(abi.MakeKnock, FaultResting)
	time0.add(time.Millisecond)
	ask(abi.MakeKnock, FaultNone)
	if d.Verdict != abi.Deny {
		t.Errorf("the try answers %s, want deny", d.Verdict)
	}
	resting(false)
	// The faults of before do not count against it.
	ask(abi.SendKnock, FaultTrap)
	ask(abi.SendKnock, FaultTrap)
	resting(false)
	for words, want := range map[string]int{"policy rests: too": 1, "the try failed": 6, "policy is back": 1} {
		if n := strings.Count(text.String(), words); n != want {
			t.Errorf("%q stands %d times in the log, want %d", words, n, want)
		}
	}
}

// TestBreakerTriesAFreshInstance: an idle instance is not what is tried.
func TestBreakerTriesAFreshInstance(t *testing.T) {
	e := newEngine(t, EngineOptions{Limits: slow})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("allow")}})
	p := c.policies[0]
	p.breaker.open.Store(true)
	before := e.Stats().Started
	var d Decision
	c.Evaluate(context.Background(), knockFacts(), &d)
	if s := e.Stats(); d.Verdict != abi.Allow || s.Started != before+1 || s.Instances != 1 || c.Policies()[0].Resting {
		t.Errorf("%s, fault %+v, %+v; want allow by one new instance, and the old one closed", d.Verdict, d.Fault, s)
	}
}

// TestBreakerDoesNotCount: what is not the policy's fault does not put it to
// rest.
func TestBreakerDoesNotCount(t *testing.T) {
	e := newEngine(t, EngineOptions{Limits: Limits{Instances: 1, Wait: time.Millisecond, Faults: 1}})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("allow")}})
	p := c.policies[0]
	in, fault := p.pool.get(context.Background())
	if in == nil {
		t.Fatal(fault)
	}
	var d Decision
	c.Evaluate(context.Background(), knockFacts(), &d)
	p.pool.put(in)
	if d.Fault.Class != FaultOverloaded || c.Policies()[0].Resting {
		t.Errorf("fault %+v; want overloaded, and a policy that does not rest", d.Fault)
	}
	large := knockFacts()
	large.Event = make([]byte, abi.MaxFrame+1)
	c.Evaluate(context.Background(), large, &d)
	if d.Fault.Class != FaultTooLarge || c.Policies()[0].Resting {
		t.Errorf("fault %+v; want too_large, and a policy that does not rest", d.Fault)
	}
}

// TestBreakerHammer: whatever the order, one caller tries at a time and the
// breaker ends closed once the guest answers.
func TestBreakerHammer(t *testing.T) {
	var b breaker
	b.init(Limits{Faults: 2, FaultWindow: time.Hour}, (&clock{t: time.Unix(1, 0)}).now)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				if !b.open.Load() {
					b.fault()
					continue
				}
				b.mu.Lock()
				b.until = time.Time{}
				b.mu.Unlock()
				if b.enter() != try {
					continue
				}
				if !mu.TryLock() {
					t.Error("two tries at a time")
					return
				}
				class := FaultTrap
				if (i+j)%3 == 0 {
					class = FaultNone
				}
				mu.Unlock()
				b.tried(class)
			}
		})
	}
	wg.Wait()
}
