package pdu

import (
	"strconv"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// AppendStripped appends the event as stripped state, in canonical form.
//
// Spec: Client-Server API, "Stripped state".
func (e *Event) AppendStripped(dst []byte) []byte {
	dst = append(dst, `{"content":`...)
	dst = append(dst, e.Content().Canonical()...)
	dst = append(dst, `,"sender":`...)
	dst = canonicaljson.AppendString(dst, string(e.sender))
	if e.isState {
		dst = append(dst, `,"state_key":`...)
		dst = canonicaljson.AppendString(dst, e.stateKey)
	}
	dst = append(dst, `,"type":`...)
	dst = canonicaljson.AppendString(dst, e.eventType)
	return append(dst, '}')
}

// Template is the knock or leave that a resident server offers to the server of
// the user, who adds to the content, hashes and signs it.
//
// Spec: Server-Server API, "GET /make_knock" and "GET /make_leave".
type Template struct {
	RoomID matrix.RoomID
	// Sender is the user who would knock or leave.
	Sender matrix.UserID
	// Membership is what they would be: Knock or Leave.
	Membership string
	// Origin is the resident server.
	Origin matrix.ServerName
	// TS is now, in milliseconds since 1970.
	TS int64
	// Depth is one more than that of the deepest of PrevEvents.
	Depth      int64
	PrevEvents []matrix.EventID
	AuthEvents []matrix.EventID
}

// AppendJSON appends the template in canonical form.
func (t Template) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"auth_events":`...)
	dst = AppendIDs(dst, t.AuthEvents)
	dst = append(dst, `,"content":{"membership":`...)
	dst = canonicaljson.AppendString(dst, t.Membership)
	dst = append(dst, `},"depth":`...)
	dst = strconv.AppendInt(dst, t.Depth, 10)
	dst = append(dst, `,"origin":`...)
	dst = canonicaljson.AppendString(dst, string(t.Origin))
	dst = append(dst, `,"origin_server_ts":`...)
	dst = strconv.AppendInt(dst, t.TS, 10)
	dst = append(dst, `,"prev_events":`...)
	dst = AppendIDs(dst, t.PrevEvents)
	dst = append(dst, `,"room_id":`...)
	dst = canonicaljson.AppendString(dst, string(t.RoomID))
	dst = append(dst, `,"sender":`...)
	dst = canonicaljson.AppendString(dst, string(t.Sender))
	dst = append(dst, `,"state_key":`...)
	dst = canonicaljson.AppendString(dst, string(t.Sender))
	return append(dst, `,"type":"m.room.member"}`...)
}

// AppendIDs appends event IDs as a JSON array.
func AppendIDs(dst []byte, ids []matrix.EventID) []byte {
	dst = append(dst, '[')
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = canonicaljson.AppendString(dst, string(id))
	}
	return append(dst, ']')
}
