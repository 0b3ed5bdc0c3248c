package store

import (
	"context"
	"fmt"
)

// Slot is the right to make one submission. Use it once: Submit or Release.
type Slot struct{ w *writer }

// Reserve waits for a place in the writer's queue. It fails with [ErrClosed],
// or if ctx ends first.
func (s *Store) Reserve(ctx context.Context) (Slot, error) {
	w := s.writer
	select {
	case <-w.closing:
		return Slot{}, ErrClosed
	default:
	}
	select {
	case w.slots <- struct{}{}:
		return Slot{w}, nil
	case <-w.closing:
		return Slot{}, ErrClosed
	case <-ctx.Done():
		return Slot{}, fmt.Errorf("waiting for a place in the store's queue: %w", context.Cause(ctx))
	}
}

// Release gives the place back unused.
func (s Slot) Release() { <-s.w.slots }

// Submit queues do and returns at once. Submissions run in the order of their
// Submit calls. do runs on the writer's goroutine: it must only use its Tx.
//
// after, unless nil, is called on the writer's goroutine when the outcome is
// known, in the order of submission and before anyone waiting is answered; its
// error is what Wait would return. It must be short and must not write.
func (s Slot) Submit(do func(*Tx) error, after func(error)) *Ticket {
	t := &Ticket{do: do, after: after, done: make(chan struct{})}
	s.w.queue <- t
	return t
}

// Ticket is a submission under way.
type Ticket struct {
	do    func(*Tx) error
	after func(error)
	done  chan struct{}
	err   error // set before done is closed
}

// Wait returns nil once the submission is committed and on disk, and its error
// once it is undone. If ctx ends first it fails, and the submission goes on:
// whether it is committed is then not known.
func (t *Ticket) Wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.err
	default:
	}
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for a commit that may still happen: %w", context.Cause(ctx))
	}
}
