package resident

import (
	"context"
	"errors"
	"fmt"

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
	for range maxAttempts {
		e, ticket, err := r.send(ctx, sender, typ, stateKey, doc)
		if err == nil {
			err = ticket.Wait(ctx)
		}
		if err == nil {
			return e.ID(), nil
		}
		if !errors.Is(err, errAgain) && !errors.Is(err, store.ErrConflict) {
			return "", err
		}
	}
	return "", fmt.Errorf("room %s: written to by others during each of %d attempts", room, maxAttempts)
}

// send makes one state event and queues it.
func (r *room) send(ctx context.Context, sender matrix.UserID, typ, key string, content *canonicaljson.Doc) (*pdu.Event, *store.Ticket, error) {
	s := r.current.Load()
	if s.Version == nil {
		return nil, nil, matrix.Forbidden("This room version is not implemented")
	}
	// Read now: a remote user's membership may not be in memory.
	var target *pdu.Event
	if typ == typeMember {
		target = s.Member(matrix.UserID(key))
	}
	slot, err := r.l.Store.Reserve(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := r.load(ctx); err != nil {
		slot.Release()
		return nil, nil, err
	}
	e, ticket, err := r.placeOwn(slot, &draft{
		version: s.Version, room: r.id, sender: sender, typ: typ, key: key,
		content: content.Bytes(), ts: r.l.Now().UnixMilli(),
	}, content.Root(), target)
	if err != nil {
		slot.Release()
	}
	return e, ticket, err
}

// placeOwn authorises a draft against the pending state, signs it and queues
// it behind that.
func (r *room) placeOwn(slot store.Slot, d *draft, content canonicaljson.Value, target *pdu.Event) (*pdu.Event, *store.Ticket, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == nil {
		return nil, nil, errAgain
	}
	own := r.pending.own
	if d.typ == typeMember {
		if now := own.get(typeMember, d.key); now != nil && (target == nil || now.Membership() != "leave") {
			target = now
		}
	}
	if err := authorise(own, d, content, target); err != nil {
		return nil, nil, err
	}
	d.prev, d.depth = r.pending.next()
	d.auth = d.authEvents(own, target)
	e, err := r.l.event(d)
	if err != nil {
		return nil, nil, err
	}
	seq := r.pending.Position + 1
	ticket := r.append(slot, e, true, seq, own.with(e, seq, r.l.Answer), func(error) {})
	return e, ticket, nil
}
