package pdu

import (
	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// The types of the state events that this package knows.
const (
	typeCreate      = "m.room.create"
	typePowerLevels = "m.room.power_levels"
	typeJoinRules   = "m.room.join_rules"
)

// keptAlways are the top-level keys that redaction keeps in every room
// version; the event_id among them is refused before it comes to that.
// keptBefore11 are kept in addition up to version 10.
var (
	keptAlways = setOf(keyType, keyRoomID, keySender, keyStateKey, keyContent, keyHashes, keySignatures,
		keyDepth, keyPrevEvents, keyAuthEvents, keyOriginServerTS, keyEventID)
	keptBefore11 = setOf(keyOrigin, keyMembership, keyPrevState)
)

// Redacted returns the event with only what redaction keeps, under the same
// ID. Its content hash is checked anew, and is right only if redaction left out
// nothing of what was hashed.
//
// Spec: room versions 7 to 12, "Redactions".
func (e *Event) Redacted() *Event {
	// Every field but those below is kept by redaction.
	out := &Event{
		version: e.version, id: e.id, eventType: e.eventType, stateKey: e.stateKey, isState: e.isState,
		sender: e.sender, room: e.room, membership: e.membership, originTS: e.originTS, depth: e.depth,
		prev: e.prev, auth: e.auth, signatures: e.signatures, signing: e.signing,
	}
	// The bytes are our own and strict. Did they not parse all the same, the
	// event would be left with nothing to say.
	doc, err := canonicaljson.Parse(e.json)
	if err != nil {
		return out
	}
	f := &fields{root: doc.Root()}
	if err := f.collect(); err != nil {
		return out
	}
	out.json = appendRedacted(nil, f, e.version, true)
	if doc, err = canonicaljson.Parse(out.json); err != nil {
		return out
	}
	doc.Root().Get("content").CopyTo(&out.content)
	var want [32]byte
	sum, _ := doc.Root().Get("hashes").Get("sha256").TextBytes()
	out.hashOK = decodeBase64(want[:], sum) && contentHash(doc.Root()) == want
	return out
}

// appendRedacted appends the event's redaction in canonical form. It has the
// signatures, or else is what is signed.
func appendRedacted(dst []byte, f *fields, v *matrix.RoomVersion, signatures bool) []byte {
	kept := keptAlways
	if !v.RedactV11 {
		kept |= keptBefore11
	}
	if !signatures {
		kept &^= setOf(keySignatures)
	}
	dst = append(dst, '{')
	first := true
	for name, value := range f.root.Members() {
		k := lookupKey(name)
		if !kept.has(k) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if k != keyContent {
			dst = append(dst, value.CanonicalMember()...)
			continue
		}
		eventType, _ := f.known[keyType].TextBytes()
		dst = append(dst, `"content":`...)
		dst = appendRedactedContent(dst, value, string(eventType), v)
	}
	return append(dst, '}')
}

// appendRedactedContent appends what redaction keeps of the content of an
// event of this type.
func appendRedactedContent(dst []byte, content canonicaljson.Value, eventType string, v *matrix.RoomVersion) []byte {
	if eventType == typeCreate && v.RedactV11 {
		return append(dst, content.Canonical()...)
	}
	dst = append(dst, '{')
	first := true
	for name, value := range content.Members() {
		if !keepsContent(v, eventType, name) {
			continue
		}
		thirdParty := eventType == typeMember && string(name) == "third_party_invite"
		if thirdParty && !value.IsObject() {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if !thirdParty {
			dst = append(dst, value.CanonicalMember()...)
			continue
		}
		dst = append(dst, `"third_party_invite":{`...)
		dst = append(dst, value.Get("signed").CanonicalMember()...)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// keepsContent reports whether redaction keeps this key of the content.
func keepsContent(v *matrix.RoomVersion, eventType string, key []byte) bool {
	switch eventType {
	case typeMember:
		switch string(key) {
		case "membership":
			return true
		case "join_authorised_via_users_server":
			return v.RedactKeepsAuthorised
		case "third_party_invite":
			return v.RedactV11
		}
	case typeCreate:
		return string(key) == "creator"
	case typeJoinRules:
		return string(key) == "join_rule" || string(key) == "allow" && v.RestrictedJoins
	case typePowerLevels:
		switch string(key) {
		case "ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default":
			return true
		case "invite":
			return v.RedactV11
		}
	case "m.room.history_visibility":
		return string(key) == "history_visibility"
	case "m.room.redaction":
		return string(key) == "redacts" && v.RedactV11
	}
	return false
}

// appendMembers appends root in canonical form without the given keys.
func appendMembers(dst []byte, root canonicaljson.Value, without ...key) []byte {
	drop := setOf(without...)
	dst = append(dst, '{')
	first := true
	for name, value := range root.Members() {
		if drop.has(lookupKey(name)) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, value.CanonicalMember()...)
	}
	return append(dst, '}')
}
