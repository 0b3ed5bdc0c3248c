package resident

import (
	"context"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// judge holds a knock against what it refers to: the events it names must be
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
	for _, id := range e.AuthEvents() {
		a, err := r.authEvent(ctx, s, id)
		if err != nil {
			return 0, err
		}
		auth = append(auth, a)
	}
	claimed, err := pdu.CheckAuthEvents(e, auth)
	if err != nil {
		return 0, err
	}
	if s.Version.HashRoomID {
		claimed.Create = s.Create
	}
	if err := pdu.CheckKnock(e, claimed); err != nil {
		return 0, err
	}
	before, err := r.stateBefore(ctx, s, e.Sender(), base)
	if err != nil {
		return 0, err
	}
	return base, pdu.CheckKnock(e, before)
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

// authEvent returns an event that a knock may list among its auth_events.
func (r *room) authEvent(ctx context.Context, s *snapshot, id matrix.EventID) (*pdu.Event, error) {
	if e := s.own.byID[id]; e != nil {
		return e, nil
	}
	row, found, err := r.l.Store.Event(ctx, id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, matrix.InvalidParam("the auth_event %s is unknown", id)
	}
	if row.Room != r.id {
		return nil, matrix.Forbidden("The auth event %s is of another room", id)
	}
	return pdu.ParseStored(row.JSON, s.Version)
}

// stateBefore returns what decided over a knock of user when base was the
// latest own event.
func (r *room) stateBefore(ctx context.Context, s *snapshot, user matrix.UserID, base int64) (pdu.AuthState, error) {
	state := s.own.auth(user)
	if base >= s.own.last {
		return state, nil
	}
	// A room has one create event, and power levels have no say over a knock.
	state.PowerLevels = nil
	for _, at := range []struct {
		place
		event **pdu.Event
	}{{place{typeJoinRules, ""}, &state.JoinRules}, {place{typeMember, string(user)}, &state.Member}} {
		if now, ok := s.own.events[at.place]; ok && now.seq <= base {
			continue
		}
		*at.event = nil
		row, found, err := r.l.Store.OwnStateAt(ctx, r.id, at.typ, at.key, base)
		if err != nil {
			return state, err
		}
		if !found {
			continue
		}
		if *at.event, err = pdu.ParseStored(row.JSON, s.Version); err != nil {
			return state, err
		}
	}
	return state, nil
}
