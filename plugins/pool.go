package plugins

import (
	"context"
	"sync"
	"time"
)

// pool holds a policy's instances, last used first, so that a quiet policy
// keeps few of them in the processor's caches. It is bounded: whoever holds an
// instance or makes one holds a slot.
type pool struct {
	policy *policy
	slots  chan struct{}

	mu      sync.Mutex
	idle    []*instance // guarded by mu
	refills bool        // guarded by mu: a refill is running
	closed  bool        // guarded by mu

	// life ends with the pool; background are the refills.
	life       context.Context
	end        context.CancelFunc
	background sync.WaitGroup
}

func (p *pool) open(policy *policy) {
	p.policy = policy
	p.slots = make(chan struct{}, policy.limits.Instances)
	p.life, p.end = context.WithCancel(context.Background())
}

// get returns an instance for the caller alone, who gives it to put or drop.
// It waits up to Limits.Wait if all are busy, and makes one, outside the lock,
// if none is idle.
func (p *pool) get(ctx context.Context) (*instance, Fault) {
	if fault := p.slot(ctx); fault.Class != FaultNone {
		return nil, fault
	}
	if in := p.pop(); in != nil {
		return in, Fault{}
	}
	return p.make()
}

// fresh is get with an instance that has answered nothing yet. Those that were
// idle are closed: they may be what is wrong.
func (p *pool) fresh(ctx context.Context) (*instance, Fault) {
	if fault := p.slot(ctx); fault.Class != FaultNone {
		return nil, fault
	}
	for in := p.pop(); in != nil; in = p.pop() {
		in.close()
	}
	return p.make()
}

// slot takes the right to hold an instance.
func (p *pool) slot(ctx context.Context) Fault {
	select {
	case p.slots <- struct{}{}:
		return Fault{}
	default:
		return p.wait(ctx)
	}
}

// make makes an instance. The caller holds a slot, which a fault gives back.
func (p *pool) make() (*instance, Fault) {
	in, err := p.policy.start(p.life)
	if err != nil {
		<-p.slots
		p.policy.log.Error("instance cannot be made", "err", err)
		return nil, Fault{FaultStart, err.Error()}
	}
	return in, Fault{}
}

func (p *pool) wait(ctx context.Context) Fault {
	timer := time.NewTimer(p.policy.limits.Wait)
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return Fault{}
	case <-timer.C:
		return Fault{FaultOverloaded, "no instance came free within " + p.policy.limits.Wait.String()}
	case <-ctx.Done():
		return Fault{FaultRequest, "the request ended: " + context.Cause(ctx).Error()}
	}
}

func (p *pool) pop() *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	in := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return in
}

// count returns how many instances are out or being made, and how many are idle.
func (p *pool) count() (busy, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.slots), len(p.idle)
}

// put gives a healthy instance back. One that is worn is replaced.
func (p *pool) put(in *instance) {
	if in.worn() || !in.restore() {
		p.policy.engine.recycled.Add(1)
		p.drop(in)
		return
	}
	p.push(in)
	<-p.slots
}

// memory returns the bytes of linear memory of the largest idle instance.
func (p *pool) memory() (most int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, in := range p.idle {
		most = max(most, int64(in.mem.Size()))
	}
	return most
}

func (p *pool) push(in *instance) {
	p.mu.Lock()
	if !p.closed {
		p.idle = append(p.idle, in)
		in = nil
	}
	p.mu.Unlock()
	if in != nil {
		in.close()
	}
}

// drop closes an instance. If no other is idle, a new one is made in the
// background, so that the next knock need not wait for it.
func (p *pool) drop(in *instance) {
	in.close()
	<-p.slots
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) > 0 || p.refills || p.closed {
		return
	}
	p.refills = true
	p.background.Go(p.refill)
}

func (p *pool) refill() {
	select {
	case p.slots <- struct{}{}:
		p.mu.Lock()
		needed := len(p.idle) == 0 // one may have come back since
		p.mu.Unlock()
		if needed {
			p.add()
		}
		<-p.slots
	default: // all are busy: they come back
	}
	p.mu.Lock()
	p.refills = false
	p.mu.Unlock()
}

// add makes an idle instance. The caller holds a slot.
func (p *pool) add() {
	in, err := p.policy.start(p.life)
	if err == nil {
		p.push(in)
	} else if p.life.Err() == nil {
		p.policy.log.Error("instance cannot be made", "err", err)
	}
}

// close closes every instance. No instance is out and none is asked for.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	p.end()
	p.background.Wait()
	for _, in := range idle {
		in.close()
	}
}
