package notices

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"
)

// Bounds of what a target costs.
const (
	// sendTime is for one attempt to send a digest, and lastTime for the last
	// attempts, of a stop.
	sendTime = 10 * time.Second
	lastTime = 2 * time.Second
	// MaxTries is how often a digest is tried, once each time that the next is due.
	MaxTries = 20
)

// Target is where digests go.
type Target interface {
	// Name says what it is for the log, without a secret.
	Name() string
	// Kind is "webhook" or "room".
	Kind() string
	// Send sends a digest. Its error holds no secret. The same digest is the same
	// message, however often it is sent.
	Send(ctx context.Context, d *Digest) error
}

// queue is what waits for a target: the digest that is being sent, and what has
// happened since.
type queue struct {
	target  Target
	options *Options
	wake    chan struct{} // one slot

	// sending and tries belong to run.
	sending *Digest
	tries   int

	mu   sync.Mutex
	next *tally // nil for nothing
}

func newQueue(t Target, o *Options) *queue {
	return &queue{target: t, options: o, wake: make(chan struct{}, 1)}
}

// offer adds what happened to what waits, and wakes run. t is not changed.
func (q *queue) offer(t *tally) {
	if !t.empty() {
		q.mu.Lock()
		if q.next == nil {
			q.next = newTally(t.from)
		}
		q.next.merge(t)
		q.mu.Unlock()
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take makes the next digest the one that is sent.
func (q *queue) take() bool {
	q.mu.Lock()
	t := q.next
	q.next = nil
	q.mu.Unlock()
	if t == nil {
		return false
	}
	q.sending, q.tries = t.digest(rand.Text(), q.options.Server), 0
	return true
}

// run sends what is offered until stop is closed, and then what is left.
func (q *queue) run(ctx context.Context, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
			defer cancel()
			q.deliver(last)
			if q.sending != nil || q.take() {
				q.options.Observer.Notice(q.target.Kind(), "lost")
				q.options.Log.Error("a notice could not be sent before the stop and is given up", "target", q.target.Name())
			}
			return
		case <-q.wake:
			if ctx.Err() == nil {
				q.deliver(ctx)
			}
		}
	}
}

// deliver sends the digest that failed before, if there is one, and the next. A
// failure leaves both for the next time.
func (q *queue) deliver(ctx context.Context) {
	for q.sending != nil || q.take() {
		try, cancel := context.WithTimeout(ctx, sendTime)
		err := q.target.Send(try, q.sending)
		cancel()
		if err == nil {
			q.options.Observer.Notice(q.target.Kind(), "sent")
			q.sending = nil
			continue
		}
		if ctx.Err() == context.Canceled {
			return // a stop, which tries again
		}
		q.options.Observer.Notice(q.target.Kind(), "failed")
		attrs := []any{slog.String("target", q.target.Name()), slog.String("digest", q.sending.id), slog.Any("err", err)}
		if q.tries++; q.tries < MaxTries {
			q.options.Log.Warn("a notice could not be sent; it is tried again with the next", attrs...)
			return
		}
		q.options.Observer.Notice(q.target.Kind(), "lost")
		q.options.Log.Error("a notice could not be sent and is given up", attrs...)
		q.sending = nil
		return
	}
}
