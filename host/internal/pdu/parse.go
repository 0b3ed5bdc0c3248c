package pdu

import (
	"bytes"
	"errors"
	"slices"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Parse returns the event that doc holds, checked against the event format of
// room version v. What the type of the event asks for beyond that, such as a
// membership, is not its business, and unsigned is dropped.
//
// It fails with a [*matrix.Error]: 400 M_BAD_JSON for a field that is missing
// or of the wrong type, that must not be there, or that another parser could
// take for one of the known fields; 400 M_INVALID_PARAM for an identifier or a
// hash that is none; 413 M_TOO_LARGE for what is over a size limit.
//
// Spec: room versions 7 to 12, "Event format"; Server-Server API, "PDUs".
func Parse(doc *canonicaljson.Doc, v *matrix.RoomVersion) (*Event, error) {
	f := fields{root: doc.Root()}
	if err := f.read(v); err != nil {
		return nil, err
	}
	e := &Event{version: v}
	e.setBytes(&f)
	if err := e.setFields(&f); err != nil {
		return nil, err
	}
	return e, nil
}

// ParseStored is Parse for bytes that this server stored or made, which may be
// of any type of event. It fails as Parse does, and with 400 M_NOT_JSON,
// M_BAD_JSON or 413 M_TOO_LARGE if raw is no strict JSON.
func ParseStored(raw []byte, v *matrix.RoomVersion) (*Event, error) {
	doc, err := canonicaljson.Parse(raw)
	if err != nil {
		return nil, jsonError(err)
	}
	return Parse(doc, v)
}

// jsonError returns the wire error for a refusal of canonicaljson.
func jsonError(err error) *matrix.Error {
	var syntax *canonicaljson.SyntaxError
	switch {
	case errors.Is(err, canonicaljson.ErrTooLarge):
		return matrix.TooLarge("the event is too large").Because(err)
	case errors.As(err, &syntax):
		return matrix.NotJSON("the event is not JSON: %v", err)
	}
	return matrix.BadJSON("the event is not canonical JSON: %v", err)
}

// setBytes fills in what is made from the event's bytes as a whole.
func (e *Event) setBytes(f *fields) {
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	*buf = appendMembers((*buf)[:0], f.root, keyUnsigned)
	size := len(*buf)
	*buf = appendRedacted(*buf, f, e.version, false)
	own := bytes.Clone(*buf)
	e.json, e.signing = own[:size:size], own[size:]
	e.hashOK = contentHash(f.root) == f.hash
}

// setFields fills in the fields and checks the identifiers among them.
func (e *Event) setFields(f *fields) (err error) {
	if len(e.json) > MaxSize {
		return matrix.TooLarge("the event is %d bytes; at most %d are allowed", len(e.json), MaxSize)
	}
	prev, auth := f.known[keyPrevEvents], f.known[keyAuthEvents]
	t := newTexts(f, prev.Len()+auth.Len()+1)
	e.id = t.id(e.signing)
	if e.eventType, err = t.short(f.known[keyType], "type"); err != nil {
		return err
	}
	sender, err := t.short(f.known[keySender], "sender")
	if err != nil {
		return err
	}
	if e.sender, err = matrix.ParseUserID(sender); err != nil {
		return matrix.InvalidParam("sender: %v", err)
	}
	if key := f.known[keyStateKey]; key.Exists() {
		e.isState = true
		// A member event's state key is mostly its sender.
		if b, _ := key.TextBytes(); string(b) == sender {
			e.stateKey = sender
		} else if e.stateKey, err = t.short(key, "state_key"); err != nil {
			return err
		}
	}
	if err := e.setRoom(f, t); err != nil {
		return err
	}
	e.originTS, _ = f.known[keyOriginServerTS].Int()
	e.depth, _ = f.known[keyDepth].Int()
	ids := make([]matrix.EventID, 0, min(prev.Len(), MaxPrevEvents)+min(auth.Len(), MaxAuthEvents))
	if e.prev, err = t.eventIDs(ids, prev, "prev_events", MaxPrevEvents); err != nil {
		return err
	}
	if e.auth, err = t.eventIDs(ids[len(e.prev):len(e.prev)], auth, "auth_events", MaxAuthEvents); err != nil {
		return err
	}
	for i, id := range e.prev {
		if slices.Contains(e.prev[:i], id) {
			return matrix.BadJSON("prev_events names %s twice", id)
		}
	}
	if e.version.HashRoomID && slices.Contains(e.auth, matrix.EventID("$"+e.room[1:])) {
		return matrix.BadJSON("auth_events names the create event, which room version %s forbids", e.version.ID)
	}
	if e.eventType == typeMember {
		e.membership = membershipOf(f.known[keyContent])
	}
	f.known[keyContent].CopyTo(&e.content)
	e.signatures = readSignatures(f.known[keySignatures], e.sender.Server())
	return nil
}

func (e *Event) setRoom(f *fields, t *texts) error {
	if !f.known[keyRoomID].Exists() {
		e.room = roomOfCreate(e.id)
		return nil
	}
	room, err := t.short(f.known[keyRoomID], "room_id")
	if err != nil {
		return err
	}
	if e.room, err = matrix.ParseRoomID(room); err != nil {
		return matrix.InvalidParam("room_id: %v", err)
	}
	if _, domain := e.room.Server(); domain == e.version.HashRoomID {
		return matrix.InvalidParam("room_id: %q is not of the form of room version %s", room, e.version.ID)
	}
	return nil
}

// roomOfCreate returns the ID of the room that the create event of this ID
// made, in a room version where that is its hash.
func roomOfCreate(id matrix.EventID) matrix.RoomID { return matrix.RoomID("!" + id[1:]) }

// membershipOf returns the membership, without allocating for those that are.
func membershipOf(content canonicaljson.Value) string {
	b, _ := content.Get("membership").TextBytes()
	for _, m := range [...]string{"knock", "join", "leave", "invite", "ban"} {
		if string(b) == m {
			return m
		}
	}
	return string(b)
}

// readSignatures returns the Ed25519 signatures in v, whose shape was checked.
// Most are by the server of the sender, whose name need not be copied.
func readSignatures(v canonicaljson.Value, sender matrix.ServerName) []signature {
	var out []signature
	for server, keys := range v.Members() {
		name := sender
		if string(server) != string(sender) {
			name = matrix.ServerName(server)
		}
		for key, value := range keys.Members() {
			if !bytes.HasPrefix(key, []byte("ed25519:")) {
				continue
			}
			id, err := matrix.ParseKeyID(string(key))
			if err != nil {
				continue
			}
			s := signature{server: name, key: id}
			text, _ := value.TextBytes()
			if sig := make([]byte, 64); decodeBase64(sig, text) {
				s.sig = sig
			}
			out = append(out, s)
		}
	}
	return out
}
