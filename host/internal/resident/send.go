package resident

import (
	"context"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/store"
)

// SendState sets the room's state for a type and state key as one of our
// users. content is a JSON object. It returns once the event is durable.
//
// It fails with 403 M_FORBIDDEN if the user may not: they must be joined, but
// for joining itself, and have the power level. Nothing is sent to other
// servers.
func (l *Local) SendState(ctx context.Context, room matrix.RoomID, sender matrix.UserID, typ, stateKey string, content []byte) (matrix.EventID, error) {
	if sender.Server() != l.Server {
		return "", matrix.Forbidden("The user %q is not on this server", sender)
	}
	doc, err := canonicaljson.Parse(content)
	if err != nil {
		return "", matrix.BadJSON("the content: %v", err)
	}
	if !doc.Root().IsObject() {
		return "", matrix.BadJSON("the content is not an object")
	}
	r, err := l.room(ctx, room)
	if err != nil {
		return "", err
	}
	e, err := r.send(ctx, &draft{sender: sender, typ: typ, key: stateKey, content: doc.Bytes()}, doc.Root(), "")
	if err != nil {
		return "", err
	}
	return e.ID(), nil
}

// send makes one state event of a draft that has no place in the room yet, and
// returns it once it is durable. For a membership it may be told what the
// target's must be until then; "" takes any.
func (r *room) send(ctx context.Context, d *draft, content canonicaljson.Value, from string) (e *pdu.Event, err error) {
	s := r.current.Load()
	if s.Version == nil {
		return nil, matrix.Forbidden("This room version is not implemented")
	}
	d.version, d.room, d.ts = s.Version, r.id, r.l.Now().UnixMilli()
	err = again(ctx, r.id, func() error {
		var ticket *store.Ticket
		if e, ticket, err = r.queueOwn(ctx, d, content, from); err != nil {
			return err
		}
		return ticket.Wait(ctx)
	})
	return e, err
}

// queueOwn makes the event and queues it.
func (r *room) queueOwn(ctx context.Context, d *draft, content canonicaljson.Value, from string) (*pdu.Event, *store.Ticket, error) {
	if d.typ == typeMember {
		// placeOwn needs what the target is now, and reads nothing.
		if _, err := r.readMember(ctx, r.current.Load().own, d.version, matrix.UserID(d.key)); err != nil {
			return nil, nil, err
		}
	}
	slot, err := r.l.Store.Reserve(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := r.load(ctx); err != nil {
		slot.Release()
		return nil, nil, err
	}
	e, ticket, err := r.placeOwn(slot, d, content, from)
	if err != nil {
		slot.Release()
	}
	return e, ticket, err
}

// placeOwn authorises a draft against the pending state, signs it and queues
// it behind that.
func (r *room) placeOwn(slot store.Slot, d *draft, content canonicaljson.Value, from string) (*pdu.Event, *store.Ticket, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == nil {
		return nil, nil, errAgain
	}
	own := r.pending.own
	var target *pdu.Event
	if d.typ == typeMember {
		var known bool
		if target, known = r.pendingMember(matrix.UserID(d.key)); !known {
			return nil, nil, errAgain
		}
	}
	if now := membershipOf(target); from != "" && now != from {
		return nil, nil, &MembershipError{Room: r.id, User: matrix.UserID(d.key), Is: now, Wanted: from}
	}
	if err := authorise(own, d, content, target); err != nil {
		return nil, nil, err
	}
	d.prev, d.depth = r.pending.next(target)
	d.auth = d.authEvents(own, target)
	e, err := r.l.event(d)
	if err != nil {
		return nil, nil, err
	}
	seq := r.pending.Position + 1
	ticket := r.append(slot, e, true, seq, own.with(e, seq, r.l.Answer), membershipOf(target), func(error) {})
	return e, ticket, nil
}
