// Package notices tells an administrator in digests what was refused and what needs
// a look: to webhooks, and to Matrix rooms. What happens is counted in groups of
// bounded number, and each digest has those since the one before. Nothing waits for
// a target.
//
// A notice names servers, rooms, policies and lists. What a stranger wrote is in none.
package notices

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Kind is what a notice is about, as the configuration has it.
type Kind string

// The kinds, in the order in which a digest has them.
const (
	Reload    Kind = "reload"    // the policies were not loaded again
	Faults    Kind = "faults"    // a policy failed
	Dropped   Kind = "dropped"   // decisions are not in the store
	Lists     Kind = "lists"     // a list cannot be read or fetched
	Monitor   Kind = "monitor"   // policies in monitor mode at a start or reload
	Undecided Kind = "undecided" // knocks that came into a room round this server
	Denied    Kind = "denied"    // knocks that were refused
	Allowed   Kind = "allowed"   // knocks that were let in
)

// Kinds are all kinds.
var Kinds = []Kind{Reload, Faults, Dropped, Lists, Monitor, Undecided, Denied, Allowed}

// Item is something that happened. Items that are equal are one group, and counted.
type Item struct {
	Kind Kind
	// Class is the class of a fault, the verdict of a refusal, or the way of a knock
	// without a decision.
	Class string
	// Policy is a policy's name, Origin a server, and Room a room's ID.
	Policy, Origin, Room string
	// Detail is more: the name of a list, why a reload failed.
	Detail string
}

// Observer is told what becomes of digests. It does not block.
type Observer interface {
	// Notice is told of an attempt: target is "webhook" or "room", result "sent",
	// "failed", or "lost" for a digest that was given up.
	Notice(target, result string)
}

// Options is what notices are made of. All fields but Poll are required.
type Options struct {
	// Server is this server's name.
	Server string
	// What are the kinds that are told.
	What     []Kind
	Targets  []Target
	Now      func() time.Time
	Log      *slog.Logger
	Observer Observer
	// Poll is asked before each digest for what nobody notes by itself.
	Poll func(note func(item Item, n int64))
}

// Notices gathers what happens and sends it. A nil *Notices does nothing. It is safe
// for concurrent use.
type Notices struct {
	options Options
	what    map[Kind]bool
	queues  []*queue

	mu  sync.Mutex
	now *tally // since the last digest
}

// New returns notices, which are sent by Run.
func New(o Options) *Notices {
	n := &Notices{options: o, what: map[Kind]bool{}, now: newTally(o.Now())}
	for _, k := range o.What {
		n.what[k] = true
	}
	for _, t := range o.Targets {
		n.queues = append(n.queues, newQueue(t, &n.options))
	}
	return n
}

// Note counts an item. It returns at once.
func (n *Notices) Note(item Item) { n.note(item, 1) }

func (n *Notices) note(item Item, count int64) {
	if n == nil || !n.what[item.Kind] || count <= 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now.add(item, count)
}

// Run makes a digest of what was noted at each tick and sends it, until ctx is done.
// Then it tries once more to send the rest, for at most a moment.
func (n *Notices) Run(ctx context.Context, tick <-chan time.Time) {
	var running sync.WaitGroup
	stop := make(chan struct{})
	for _, q := range n.queues {
		running.Go(func() { q.run(ctx, stop) })
	}
	for {
		select {
		case <-ctx.Done():
			n.Flush()
			close(stop)
			running.Wait()
			return
		case <-tick:
			n.Flush()
		}
	}
}

// Flush makes a digest of what was noted and hands it to the targets. It does not wait
// for them.
func (n *Notices) Flush() {
	if n.options.Poll != nil {
		n.options.Poll(n.note)
	}
	next := newTally(n.options.Now())
	n.mu.Lock()
	t := n.now
	n.now = next
	n.mu.Unlock()
	t.to = next.from
	for _, q := range n.queues {
		q.offer(t)
	}
}
