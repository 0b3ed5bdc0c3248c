package plugins

import (
	"sync"
	"sync/atomic"
	"time"
)

// How long a resting policy waits for its next try.
const (
	firstRest = time.Second
	maxRest   = time.Minute
)

// breaker lets a policy rest that fails too often. A healthy policy pays one
// atomic load for it.
type breaker struct {
	now    func() time.Time
	window time.Duration
	open   atomic.Bool // the policy rests

	mu     sync.Mutex
	faults []time.Time   // guarded by mu: a ring of the latest faults
	next   int           // guarded by mu: the oldest of them
	rest   time.Duration // guarded by mu
	until  time.Time     // guarded by mu: when the next try may begin
	trying bool          // guarded by mu
}

func (b *breaker) init(l Limits, now func() time.Time) {
	b.now, b.window = now, l.FaultWindow
	b.faults = make([]time.Time, l.Faults)
}

// counts reports whether a fault of this class speaks against the policy. A
// request that was too large, ended, or met a host without a free instance
// does not: a burst of knocks must not put a healthy policy to rest.
func counts(class FaultClass) bool {
	switch class {
	case FaultNone, FaultOverloaded, FaultResting, FaultTooLarge, FaultRequest, FaultHost, FaultClosed:
		return false
	}
	return true
}

// fault notes a fault. It reports whether the policy rests from now on, and
// until when.
func (b *breaker) fault() (until time.Time, opened bool) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open.Load() { // a call that was under way when the breaker opened
		return b.until, false
	}
	b.faults[b.next] = now
	b.next = (b.next + 1) % len(b.faults)
	if oldest := b.faults[b.next]; oldest.IsZero() || now.Sub(oldest) > b.window {
		return time.Time{}, false
	}
	b.rest = firstRest
	b.until = now.Add(b.rest)
	b.open.Store(true)
	return b.until, true
}

// passage is what a caller that found the breaker open is to do.
type passage int

const (
	rest passage = iota // answer FaultResting
	try                 // ask a fresh instance and call tried; one caller at a time
	pass                // as always: the breaker has closed meanwhile
)

func (b *breaker) enter() passage {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open.Load():
		return pass
	case b.trying || now.Before(b.until):
		return rest
	}
	b.trying = true
	return try
}

// tried notes the outcome of a try and reports whether the policy is back, or
// else until when it rests. What says nothing about the policy does not make
// the interval grow.
func (b *breaker) tried(class FaultClass) (until time.Time, closed bool) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
	if class == FaultNone {
		clear(b.faults)
		b.open.Store(false)
		return time.Time{}, true
	}
	if counts(class) {
		b.rest = min(2*b.rest, maxRest)
	}
	b.until = now.Add(b.rest)
	return b.until, false
}

// state returns until when the policy rests, if it does.
func (b *breaker) state() (until time.Time, resting bool) {
	if !b.open.Load() {
		return time.Time{}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until, b.open.Load()
}
