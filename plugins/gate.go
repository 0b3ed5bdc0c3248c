package plugins

import (
	"context"
	"sync"
	"sync/atomic"
)

// Gate publishes the chain that is in force. It is safe for concurrent use.
type Gate struct {
	current atomic.Pointer[Chain] // nil once closed

	mu        sync.Mutex
	published []*Chain // guarded by mu: chains that may not be closed yet
	closed    bool     // guarded by mu
}

// NewGate returns a gate that publishes c and takes over the caller's
// reference to it.
func NewGate(c *Chain) *Gate {
	g := &Gate{}
	g.Swap(c)
	return g
}

// Acquire returns the chain in force with a reference for the caller, who
// calls [Chain.Release]. It never returns a closed chain; after Close it
// returns nil, on which Evaluate denies and Release does nothing.
func (g *Gate) Acquire() *Chain {
	for {
		c := g.current.Load()
		// Without a reference left, the chain was replaced since it was loaded.
		if c == nil || c.retain() {
			return c
		}
	}
}

// Swap publishes c, takes over the caller's reference to it, and releases the
// chain that was in force, which closes when its last decision is made. After
// Close it releases c.
func (g *Gate) Swap(c *Chain) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		c.Release()
		return
	}
	live := g.published[:0]
	for _, old := range g.published {
		if !old.isClosed() {
			live = append(live, old)
		}
	}
	clear(g.published[len(live):])
	g.published = append(live, c)
	old := g.current.Swap(c)
	g.mu.Unlock()
	old.Release()
}

// Revision returns the revision in force, or "" after Close.
func (g *Gate) Revision() string { return g.current.Load().Revision() }

// Close withdraws the chain and waits until every chain that the gate
// published is closed, or ctx is done, whose error it then returns. It is safe
// to call twice.
func (g *Gate) Close(ctx context.Context) error {
	g.mu.Lock()
	g.closed = true
	old := g.current.Swap(nil)
	published := g.published
	g.mu.Unlock()
	old.Release()
	for _, c := range published {
		select {
		case <-c.closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (c *Chain) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}
