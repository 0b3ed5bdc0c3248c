package resident

import (
	"context"
	"errors"
	"fmt"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/store"
)

// Stored reports whether an event has been accepted in a room before.
func (l *Local) Stored(ctx context.Context, room matrix.RoomID, id matrix.EventID) (bool, error) {
	return l.Store.HasEvent(ctx, room, id)
}

// Check fails if the room refuses the knock or leave: 400 M_INVALID_PARAM where it names
// events that the room does not have, 403 M_FORBIDDEN where the rules
// refuse it, by the state that it claims, by the state before it, or by the
// current one. It stores nothing. The event must have passed [knock.Checker].
//
// Spec: Server-Server API, "Checks performed on receipt of a PDU", 4 to 6.
func (l *Local) Check(ctx context.Context, r *knock.Room, e *pdu.Event) error {
	rm, err := l.room(ctx, r.ID)
	if err != nil {
		return err
	}
	s := rm.current.Load()
	if err := checkEvent(s, e); err != nil {
		return err
	}
	if _, err := rm.judge(ctx, s, e); err != nil {
		return err
	}
	state := s.own.auth(e.Sender())
	if e.Membership() == pdu.Leave {
		if state.Member, err = rm.readMember(ctx, s.own, s.Version, e.Sender()); err != nil {
			return err
		}
	}
	return pdu.CheckMembership(e, state)
}

// Accept checks the knock as [Local.Check] does, against the state that is
// current then, stores it as its sender's current membership, and returns the
// body of the 200. It returns once that is durable. An event that is stored
// already is answered at once, whatever became of its sender since, and
// changes nothing.
//
// If ctx ends while the commit is awaited, Accept fails and the knock may
// still be accepted: a retry then finds it stored.
func (l *Local) Accept(ctx context.Context, r *knock.Room, e *pdu.Event) ([]byte, error) {
	if err := l.take(ctx, r, e); err != nil {
		return nil, err
	}
	return l.KnockState(r), nil
}

// Leave is [Local.Accept] for a leave, whose 200 says nothing of the room.
func (l *Local) Leave(ctx context.Context, r *knock.Room, e *pdu.Event) error {
	return l.take(ctx, r, e)
}

// take checks an event and stores it, as Accept and Leave have it.
func (l *Local) take(ctx context.Context, r *knock.Room, e *pdu.Event) error {
	rm, err := l.room(ctx, r.ID)
	if err != nil {
		return err
	}
	if err := checkEvent(rm.current.Load(), e); err != nil {
		return err
	}
	return again(ctx, r.ID, func() error { return rm.accept(ctx, e) })
}

// again calls write until nobody else's write comes between.
func again(ctx context.Context, room matrix.RoomID, write func() error) error {
	for range maxAttempts {
		err := write()
		if !errors.Is(err, errAgain) && !errors.Is(err, store.ErrConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return fmt.Errorf("room %s: written to by others during each of %d attempts", room, maxAttempts)
}

// checkEvent fails for what cannot be judged in the room at all.
func checkEvent(s *snapshot, e *pdu.Event) error {
	switch {
	case s.Version == nil:
		return noVersion()
	case e.Version() != s.Version:
		return matrix.InvalidParam("the event is not of the room's version")
	case e.RoomID() != s.ID:
		return matrix.InvalidParam("the event is for another room")
	}
	return nil
}

// errAgain says that somebody else's write came between: try anew.
var errAgain = errors.New("the room was written to by somebody else")

// call is one event on its way in. Whoever brings the same event meanwhile
// waits for the same outcome.
type call struct {
	done chan struct{}
	err  error // set before done is closed
}

// accept brings one event in, or waits for the goroutine that does.
func (r *room) accept(ctx context.Context, e *pdu.Event) error {
	c, leads := r.begin(e.ID())
	if leads {
		// From queue on the writer ends the call, also if ctx ends first.
		if queued, err := r.queue(ctx, c, e); !queued {
			if ctx.Err() != nil {
				err = errAgain // for those who wait; our own caller looks at ctx
			}
			r.end(e.ID(), c, err)
		}
	}
	select {
	case <-c.done:
		return c.err
	default:
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for a commit that may still happen: %w", context.Cause(ctx))
	}
}

// begin returns the call of an event, and whether the caller must make it.
func (r *room) begin(id matrix.EventID) (c *call, leads bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c = r.accepting[id]; c != nil {
		return c, false
	}
	c = &call{done: make(chan struct{})}
	r.accepting[id] = c
	return c, true
}

// end ends a call.
func (r *room) end(id matrix.EventID, c *call, err error) {
	r.mu.Lock()
	delete(r.accepting, id)
	r.mu.Unlock()
	c.err = err
	close(c.done)
}

// queue judges an event and queues it. It returns false if it did not: the
// event is refused, or, with a nil error, stored already.
func (r *room) queue(ctx context.Context, c *call, e *pdu.Event) (queued bool, err error) {
	// Only one call of an event is under way, so it cannot be stored between
	// this look and our own write.
	stored, err := r.l.Store.HasEvent(ctx, r.id, e.ID())
	if err != nil || stored {
		return false, err
	}
	s := r.current.Load()
	base, err := r.judge(ctx, s, e)
	if err != nil {
		return false, err
	}
	slot, err := r.l.Store.Reserve(ctx)
	if err != nil {
		return false, err
	}
	if err := r.load(ctx); err != nil {
		slot.Release()
		return false, err
	}
	// place needs what the sender is now, and reads nothing. It is read as late as
	// can be, since only so many members are in memory.
	if _, err := r.readMember(ctx, r.current.Load().own, s.Version, e.Sender()); err != nil {
		slot.Release()
		return false, err
	}
	if err := r.place(slot, c, e, base); err != nil {
		slot.Release()
		return false, err
	}
	return true, nil
}

// place holds an event against the pending state and queues it behind that.
func (r *room) place(slot store.Slot, c *call, e *pdu.Event, base int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == nil {
		return errAgain
	}
	own := r.pending.own
	state := own.auth(e.Sender())
	member, known := r.pendingMember(e.Sender())
	if !known {
		return errAgain
	}
	if e.Membership() == pdu.Leave {
		state.Member = member
	}
	if err := pdu.CheckMembership(e, state); err != nil {
		return err
	}
	if state.Member != nil && own.get(typeMember, string(e.Sender())) == state.Member && e.Membership() == pdu.Leave {
		own = own.without(place{typeMember, string(e.Sender())}, r.l.Answer)
	}
	r.append(slot, e, false, base, own, membershipOf(member), func(err error) {
		if errors.Is(err, store.ErrConflict) {
			err = errAgain
		}
		r.end(e.ID(), c, err)
	})
	return nil
}
