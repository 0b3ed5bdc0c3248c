package resident

import (
	"context"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// Template returns the body of a make_knock's 200: the knock that user's
// server may complete and sign. Its auth_events are those of r, its
// prev_events the room's forward extremities.
//
// Spec: Server-Server API, "GET /make_knock".
func (l *Local) Template(ctx context.Context, r *knock.Room, user matrix.UserID) ([]byte, error) {
	rm, err := l.room(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	if r.Version == nil {
		return nil, noVersion()
	}
	return rm.template(r, user, pdu.Knock, r.AuthState(user)), nil
}

// LeaveTemplate returns the body of a make_leave's 200: the leave that user's
// server may complete and sign. It fails with 403 M_FORBIDDEN if there is
// nothing that the user could leave.
//
// Spec: Server-Server API, "GET /make_leave".
func (l *Local) LeaveTemplate(ctx context.Context, r *knock.Room, user matrix.UserID) ([]byte, error) {
	rm, err := l.room(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	s := rm.current.Load()
	if s.Version == nil {
		return nil, noVersion()
	}
	state := s.own.auth(user)
	if state.Member, err = rm.readMember(ctx, s.own, s.Version, user); err != nil {
		return nil, err
	}
	if err := pdu.MayLeave(user, state); err != nil {
		return nil, err
	}
	return rm.template(&s.Room, user, pdu.Leave, state), nil
}

// noVersion is the refusal of all that a room of a version that is not
// implemented is asked.
func noVersion() error { return matrix.Forbidden("This room version does not support knocking") }

// template returns the body of the 200 to a make_knock or make_leave.
func (r *room) template(s *knock.Room, user matrix.UserID, membership string, state pdu.AuthState) []byte {
	prev, depth := r.current.Load().next(state.Member)
	t := pdu.Template{
		RoomID: s.ID, Sender: user, Membership: membership, Origin: r.l.Server, TS: r.l.Now().UnixMilli(),
		Depth: depth, PrevEvents: prev, AuthEvents: pdu.AuthEventIDs(s.Version, membership, state),
	}
	body := make([]byte, 0, 512+len(prev)*48)
	body = canonicaljson.AppendKey(append(body, '{'), "event")
	body = append(t.AppendJSON(body), ',')
	body = canonicaljson.AppendKey(body, "room_version")
	return append(canonicaljson.AppendString(body, s.VersionID), '}')
}

// KnockState returns the body of a send_knock's 200: what a knocker may know
// of the room, in the format of [Options].
//
// Spec: Server-Server API, "PUT /send_knock"; Client-Server API, "Stripped
// state".
func (l *Local) KnockState(r *knock.Room) []byte {
	l.mu.RLock()
	rm := l.rooms[r.ID]
	l.mu.RUnlock()
	if rm != nil {
		if s := rm.current.Load(); s.own != nil && shown(&s.Room) == shown(r) {
			return s.own.answer
		}
	}
	return appendKnockState(nil, r, l.Answer)
}

// shown returns the events that a knocker may know of.
//
// Spec: Client-Server API, "Stripped state".
func shown(r *knock.Room) [7]*pdu.Event {
	return [...]*pdu.Event{r.Create, r.JoinRules, r.Alias, r.Avatar, r.Name, r.Encryption, r.Topic}
}

func appendKnockState(dst []byte, r *knock.Room, format Format) []byte {
	dst = append(dst, `{"knock_room_state":[`...)
	start := len(dst)
	for _, e := range shown(r) {
		if e == nil {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		if format == FormatPDU || format == FormatAuto && e == r.Create && e.Version().HashRoomID {
			dst = append(dst, e.JSON()...)
		} else {
			dst = e.AppendStripped(dst)
		}
	}
	return append(dst, "]}"...)
}
