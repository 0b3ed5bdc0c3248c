package resident

import (
	"fmt"
	"strconv"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// draft is a state event of one of our users before it is signed.
type draft struct {
	version  *matrix.RoomVersion
	room     matrix.RoomID // empty for the create event where the ID is its hash
	sender   matrix.UserID
	typ, key string
	content  []byte
	ts       int64 // milliseconds since 1970
	depth    int64
	prev     []matrix.EventID
	auth     []matrix.EventID
}

// event signs a draft. It fails if the content makes no event.
func (l *Local) event(d *draft) (*pdu.Event, error) {
	b := canonicaljson.AppendKey([]byte{'{'}, "auth_events")
	b = pdu.AppendIDs(b, d.auth)
	b = append(canonicaljson.AppendKey(append(b, ','), "content"), d.content...)
	b = strconv.AppendInt(canonicaljson.AppendKey(append(b, ','), "depth"), d.depth, 10)
	b = strconv.AppendInt(canonicaljson.AppendKey(append(b, ','), "origin_server_ts"), d.ts, 10)
	b = pdu.AppendIDs(canonicaljson.AppendKey(append(b, ','), "prev_events"), d.prev)
	for _, f := range [...]struct{ key, value string }{
		{"room_id", string(d.room)}, {"sender", string(d.sender)}, {"state_key", d.key}, {"type", d.typ},
	} {
		if f.key == "room_id" && d.room == "" {
			continue
		}
		b = canonicaljson.AppendString(canonicaljson.AppendKey(append(b, ','), f.key), f.value)
	}
	doc, err := canonicaljson.Parse(append(b, '}'))
	if err != nil {
		return nil, fmt.Errorf("%s event: %w", d.typ, err)
	}
	if !doc.Root().Get("content").IsObject() {
		return nil, fmt.Errorf("%s event: the content is not an object", d.typ)
	}
	signed, err := pdu.Sign(doc, d.version, l.Server, l.Signer())
	if err != nil {
		return nil, fmt.Errorf("%s event: %w", d.typ, err)
	}
	e, err := pdu.ParseStored(signed, d.version)
	if err != nil {
		return nil, fmt.Errorf("%s event: %w", d.typ, err)
	}
	return e, nil
}

// object makes a JSON object of strings, in the order given.
func object(pairs ...string) []byte {
	b := []byte{'{'}
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		b = canonicaljson.AppendString(canonicaljson.AppendKey(b, pairs[i]), pairs[i+1])
	}
	return append(b, '}')
}

// authEvents returns what a state event of one of our users lists: the create
// event, the power levels and the sender's membership; for a membership also
// the target's, and the join rules that it depends on.
//
// Spec: Server-Server API, "Auth events selection"; room version 12, which
// leaves out the create event.
func (d *draft) authEvents(s *ownState, target *pdu.Event) []matrix.EventID {
	list := []*pdu.Event{s.get(typePowerLevels, ""), s.get(typeMember, string(d.sender))}
	if !d.version.HashRoomID {
		list = append(list, s.get(typeCreate, ""))
	}
	if d.typ == typeMember {
		if d.key != string(d.sender) {
			list = append(list, target)
		}
		if m := membership(d.content); m == "join" || m == "invite" {
			list = append(list, s.get(typeJoinRules, ""))
		}
	}
	ids := make([]matrix.EventID, 0, len(list))
	for _, e := range list {
		if e != nil {
			ids = append(ids, e.ID())
		}
	}
	return ids
}

// membership returns the membership of a member event's content, or "".
func membership(content []byte) string {
	doc, err := canonicaljson.Parse(content)
	if err != nil {
		return ""
	}
	m, _ := doc.Root().Get("membership").Text()
	return m
}
