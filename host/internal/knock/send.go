package knock

import (
	"context"
	"errors"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// Send is the request line of a send_knock or send_leave: which of them it is,
// and the room and the event ID of its path.
type Send struct {
	// Membership is what the endpoint takes: pdu.Knock or pdu.Leave.
	Membership string
	Room       matrix.RoomID
	Event      matrix.EventID
}

// ParseSend returns the request that the endpoint of a membership and the two
// path segments, already percent-decoded, make. It fails with 400 M_INVALID_PARAM for an identifier
// that is none.
func ParseSend(membership, room, event string) (*Send, error) {
	roomID, err := matrix.ParseRoomID(room)
	if err != nil {
		return nil, matrix.InvalidParam("%v", err)
	}
	eventID, err := matrix.ParseEventID(event)
	if err != nil {
		return nil, matrix.InvalidParam("%v", err)
	}
	return &Send{Membership: membership, Room: roomID, Event: eventID}, nil
}

// Keys finds the key that a server signed an event with. It fails if the key
// is unknown or was not valid at originServerTS (milliseconds).
type Keys interface {
	EventKey(ctx context.Context, server matrix.ServerName, id matrix.KeyID, originServerTS int64) (matrix.PublicKey, error)
}

// Verifier reports whether sig is key's signature of message.
type Verifier func(key matrix.PublicKey, message, sig []byte) bool

// Checker checks signed knocks and leaves.
type Checker struct {
	Keys   Keys
	Verify Verifier
}

// Check returns the event of a request's body, checked in all that does not need
// the room's state: its format in the room's version, that it is a knock or
// leave, as the endpoint has it, of a user of origin and the room of the path,
// its ID, and its signature. An event whose content hash does not match is returned redacted,
// with ContentHashOK false.
//
// It fails with a [matrix.Error]: 400 M_BAD_JSON or 413 M_TOO_LARGE for the
// format, 400 M_INVALID_PARAM for the rest, 403 M_FORBIDDEN for an
// authorisation by another server that did not sign.
//
// Spec: Server-Server API, "PUT /send_knock", "PUT /send_leave", and "Checks
// performed on receipt of a PDU", 1 to 3.
func (c *Checker) Check(ctx context.Context, s *Send, doc *canonicaljson.Doc, v *matrix.RoomVersion, origin matrix.ServerName) (*pdu.Event, error) {
	ev, err := pdu.Parse(doc, v)
	if err != nil {
		return nil, err
	}
	if err := s.checkMember(ev, origin); err != nil {
		return nil, err
	}
	if got := ev.ID(); got != s.Event {
		return nil, matrix.InvalidParam("the event's ID is %s, not %s as in the path", got, s.Event)
	}
	if err := c.verify(ctx, ev, origin); err != nil {
		return nil, err
	}
	if v.RestrictedJoins {
		if err := c.checkAuthoriser(ctx, ev); err != nil {
			return nil, err
		}
	}
	if !ev.ContentHashOK() {
		return ev.Redacted(), nil
	}
	return ev, nil
}

// classes are room versions that stand for all that allow knocking, where the
// room's is not known: the ID of a knock is made by one of three ways of redacting.
// A room ID without a server is of version 12 alone.
var classes = [...]string{"12", "11", "10", "8"}

// Class returns a room version by whose rules the event has the ID of the path.
// The room's own version may be another one, whose redaction of this event is the
// same. It fails as pdu.Parse does, and with 400 M_INVALID_PARAM if there is none.
func (s *Send) Class(doc *canonicaljson.Doc) (*matrix.RoomVersion, error) {
	_, domain := s.Room.Server()
	for _, id := range classes {
		v, _ := matrix.LookupRoomVersion(id)
		if v.HashRoomID == domain {
			continue
		}
		ev, err := pdu.Parse(doc, v)
		if err != nil {
			return nil, err
		}
		if ev.ID() == s.Event {
			return v, nil
		}
	}
	return nil, matrix.InvalidParam("the event's ID is not %s, as in the path, by the rules of any room version", s.Event)
}

// checkMember fails unless ev is what s takes, of a user of origin and the room
// that s names.
func (s *Send) checkMember(ev *pdu.Event, origin matrix.ServerName) error {
	stateKey, isState := ev.StateKey()
	switch {
	case ev.Type() != "m.room.member" || !isState:
		return matrix.InvalidParam("not an m.room.member state event")
	case ev.Membership() != s.Membership:
		return matrix.InvalidParam("the membership is %q, not %q", ev.Membership(), s.Membership)
	case ev.RoomID() != s.Room:
		return matrix.InvalidParam("the event is for room %q, the path for %q", ev.RoomID(), s.Room)
	case ev.Sender().Server() != origin:
		return matrix.InvalidParam("the sender %q is not on %s, which sends the event", ev.Sender(), origin)
	case stateKey != string(ev.Sender()):
		return matrix.InvalidParam("the state_key %q is not the sender %q", stateKey, ev.Sender())
	}
	return nil
}

// maxSignatures bounds how many signatures of one server an event may carry.
// Servers sign with one key; two while they rotate.
const maxSignatures = 8

// verify fails unless at least one signature of server is by a key of it that
// was valid when the event was made, and every such signature is right.
// Signatures by keys that are unknown or were not valid then say nothing.
func (c *Checker) verify(ctx context.Context, ev *pdu.Event, server matrix.ServerName) error {
	var verified, seen int
	var unusable error
	for id, sig := range ev.Signatures(server) {
		if seen++; seen > maxSignatures {
			return matrix.InvalidParam("more than %d signatures by %s", maxSignatures, server)
		}
		key, err := c.Keys.EventKey(ctx, server, id, ev.OriginServerTS())
		if err != nil {
			unusable = errors.Join(unusable, err)
			continue
		}
		if !c.Verify(key, ev.SigningBytes(), sig) {
			return matrix.InvalidParam("the signature by %s with key %s is wrong", server, id)
		}
		verified++
	}
	switch {
	case seen == 0:
		return matrix.InvalidParam("the event has no signature by %s", server)
	case verified == 0:
		return matrix.InvalidParam("no signature by %s is by a key of it that was valid when the event was made", server).Because(unusable)
	}
	return nil
}

// checkAuthoriser holds the rule that an event naming a user in
// join_authorised_via_users_server is signed by that user's server. The rule
// speaks of joins; on a knock or leave the field means nothing, and one who sets it
// must still have been let to.
//
// Spec: Room version 8, authorisation rule 4.2.
func (c *Checker) checkAuthoriser(ctx context.Context, ev *pdu.Event) error {
	field := ev.Content().Get("join_authorised_via_users_server")
	if !field.Exists() {
		return nil
	}
	text, _ := field.Text()
	user, err := matrix.ParseUserID(text)
	if err != nil {
		return matrix.Forbidden("join_authorised_via_users_server is no user ID")
	}
	if err := c.verify(ctx, ev, user.Server()); err != nil {
		return matrix.Forbidden("join_authorised_via_users_server names %s, whose server did not sign the event", user).Because(err)
	}
	return nil
}
