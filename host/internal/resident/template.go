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
		return nil, matrix.Forbidden("This room version does not support knocking")
	}
	prev, depth := rm.current.Load().next()
	t := pdu.Template{
		RoomID: r.ID, Sender: user, Origin: l.Server, TS: l.Now().UnixMilli(),
		Depth: depth, PrevEvents: prev,
		AuthEvents: pdu.AuthEventIDs(r.Version, pdu.AuthState{
			Create: r.Create, PowerLevels: r.PowerLevels, JoinRules: r.JoinRules, Member: r.Member(user),
		}),
	}
	body := make([]byte, 0, 512+len(prev)*48)
	body = canonicaljson.AppendKey(append(body, '{'), "event")
	body = append(t.AppendJSON(body), ',')
	body = canonicaljson.AppendKey(body, "room_version")
	return append(canonicaljson.AppendString(body, r.VersionID), '}'), nil
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
