package resident

import (
	"context"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/store"
)

// judge holds a knock or leave against what it refers to: the events it names must be
// known, and both the state that it claims and the state before it must allow
// it. It returns the knock's base. It needs no lock: all of that is history.
//
// It fails with 400 M_INVALID_PARAM for unknown references and 403 M_FORBIDDEN
// for the rest.
//
// Spec: Server-Server API, "Checks performed on receipt of a PDU", 4 and 5.
func (r *room) judge(ctx context.Context, s *snapshot, e *pdu.Event) (base int64, err error) {
	if len(e.PrevEvents()) == 0 {
		return 0, matrix.InvalidParam("the event has no prev_events")
	}
	for _, id := range e.PrevEvents() {
		b, err := r.base(ctx, id)
		if err != nil {
			return 0, err
		}
		base = max(base, b)
	}
	auth := make([]*pdu.Event, 0, len(e.AuthEvents()))
	var theirs store.Event
	for _, id := range e.AuthEvents() {
		a, row, err := r.authEvent(ctx, s, id)
		if err != nil {
			return 0, err
		}
		auth = append(auth, a)
		if row.Seq > 0 && !row.Own {
			theirs = row
		}
	}
	claimed, err := pdu.CheckAuthEvents(e, auth)
	if err != nil {
		return 0, err
	}
	if s.Version.HashRoomID {
		claimed.Create = s.Create
	}
	if err := pdu.CheckMembership(e, claimed); err != nil {
		return 0, err
	}
	before, ours, err := r.stateBefore(ctx, s, e.Sender(), base)
	if err != nil {
		return 0, err
	}
	// Of what our users did not make, only the sender's own membership may be
	// among the auth_events.
	if theirs.Seq > ours && theirs.Base <= base {
		before.Member = claimed.Member
	}
	return base, pdu.CheckMembership(e, before)
}

// base returns the base of an event of the room.
func (r *room) base(ctx context.Context, id matrix.EventID) (int64, error) {
	base, ok, token := r.bases.get(id)
	if ok {
		return base, nil
	}
	row, found, err := r.l.Store.Event(ctx, id)
	if err != nil {
		return 0, err
	}
	if !found || row.Room != r.id {
		return 0, matrix.InvalidParam("the prev_event %s is unknown in this room", id)
	}
	r.bases.add(id, row.Base, token)
	return row.Base, nil
}

// authEvent returns an event that a knock or leave may list among its
// auth_events, and its row if it had to be read.
func (r *room) authEvent(ctx context.Context, s *snapshot, id matrix.EventID) (*pdu.Event, store.Event, error) {
	if e := s.own.byID[id]; e != nil {
		return e, store.Event{}, nil
	}
	row, found, err := r.l.Store.Event(ctx, id)
	switch {
	case err != nil:
		return nil, row, err
	case !found:
		return nil, row, matrix.InvalidParam("the auth_event %s is unknown", id)
	case row.Room != r.id:
		return nil, row, matrix.Forbidden("The auth event %s is of another room", id)
	}
	e, err := pdu.ParseStored(row.JSON, s.Version)
	return e, row, err
}

// stateBefore returns what decided over a knock or leave of user when base was
// the latest own event, and the place of the member event in it, 0 if it has
// none. What the user did themself is not in it.
func (r *room) stateBefore(ctx context.Context, s *snapshot, user matrix.UserID, base int64) (state pdu.AuthState, member int64, err error) {
	state = s.own.auth(user)
	member = s.own.events[place{typeMember, string(user)}].seq
	if base >= s.own.last {
		return state, member, nil
	}
	// A room has one create event, and power levels have no say over either.
	state.PowerLevels = nil
	rules := int64(0)
	for _, at := range []struct {
		place
		event **pdu.Event
		seq   *int64
	}{{place{typeJoinRules, ""}, &state.JoinRules, &rules}, {place{typeMember, string(user)}, &state.Member, &member}} {
		if now, ok := s.own.events[at.place]; ok && now.seq <= base {
			continue
		}
		*at.event, *at.seq = nil, 0
		row, found, err := r.l.Store.OwnStateAt(ctx, r.id, at.typ, at.key, base)
		if err != nil {
			return state, 0, err
		}
		if !found {
			continue
		}
		if *at.event, err = pdu.ParseStored(row.JSON, s.Version); err != nil {
			return state, 0, err
		}
		*at.seq = row.Seq
	}
	return state, member, nil
}
