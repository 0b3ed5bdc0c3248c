package pdu

import (
	"unicode/utf8"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

const typeMember = "m.room.member"

// key is a known top-level key of an event. The set of keys below is a bit
// set of them.
type key uint8

const (
	keyAuthEvents key = iota
	keyContent
	keyDepth
	keyHashes
	keyOrigin
	keyOriginServerTS
	keyPrevEvents
	keyRoomID
	keySender
	keySignatures
	keyStateKey
	keyType
	keyUnsigned
	keyMembership // of early room versions; redaction keeps it up to version 10
	keyPrevState  // likewise
	keyRedacts    // of m.room.redaction, up to version 10
	keyEventID
	keyOutlier
	keyDestinations
	keyAgeTS
	keyCount // how many there are; also what an unknown key is
)

type keySet uint32

func setOf(keys ...key) (s keySet) {
	for _, k := range keys {
		s |= 1 << k
	}
	return s
}

func (s keySet) has(k key) bool { return s>>k&1 != 0 }

// lookupKey returns the known key that b is, or keyCount.
func lookupKey(b []byte) key {
	switch string(b) {
	case "auth_events":
		return keyAuthEvents
	case "content":
		return keyContent
	case "depth":
		return keyDepth
	case "hashes":
		return keyHashes
	case "origin":
		return keyOrigin
	case "origin_server_ts":
		return keyOriginServerTS
	case "prev_events":
		return keyPrevEvents
	case "room_id":
		return keyRoomID
	case "sender":
		return keySender
	case "signatures":
		return keySignatures
	case "state_key":
		return keyStateKey
	case "type":
		return keyType
	case "unsigned":
		return keyUnsigned
	case "membership":
		return keyMembership
	case "prev_state":
		return keyPrevState
	case "redacts":
		return keyRedacts
	case "event_id":
		return keyEventID
	case "outlier":
		return keyOutlier
	case "destinations":
		return keyDestinations
	case "age_ts":
		return keyAgeTS
	}
	return keyCount
}

// isMemberField reports whether b is a known field of a member event's content.
func isMemberField(b []byte) bool {
	switch string(b) {
	case "membership", "reason", "displayname", "avatar_url", "is_direct",
		"join_authorised_via_users_server", "third_party_invite":
		return true
	}
	return false
}

// maxName is longer than every known name.
const maxName = 48

// fold appends key in lower case to dst, which has room for every known name: a
// parser that ignores case would take key for the name it folds to. Beside A to
// Z, two characters fold to a letter of ASCII: the long s (U+017F) and the
// Kelvin sign (U+212A). It returns false for a key that folds to no known name.
func fold(dst, key []byte) (folded []byte, ok bool) {
	for i := 0; i < len(key); {
		c := key[i]
		size := 1
		switch {
		case len(dst) == cap(dst):
			return nil, false
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c >= utf8.RuneSelf:
			var r rune
			switch r, size = utf8.DecodeRune(key[i:]); r {
			case '\u017f':
				c = 's'
			case '\u212a':
				c = 'k'
			default:
				return nil, false
			}
		}
		dst = append(dst, c)
		i += size
	}
	return dst, true
}

// fields is an event's top level.
type fields struct {
	root  canonicaljson.Value
	known [keyCount]canonicaljson.Value
	hash  [32]byte // hashes.sha256
}

// read fills in the fields of the event f.root, and checks its format but for
// the identifiers and sizes.
func (f *fields) read(v *matrix.RoomVersion) error {
	if err := f.collect(); err != nil {
		return err
	}
	if err := f.checkForm(v); err != nil {
		return err
	}
	sum, _ := f.known[keyHashes].Get("sha256").TextBytes()
	if !f.known[keyHashes].IsObject() || !decodeBase64(f.hash[:], sum) {
		return matrix.InvalidParam("hashes must be an object with sha256, 32 bytes in base64")
	}
	return nil
}

// collect sorts out the members.
func (f *fields) collect() error {
	if !f.root.IsObject() {
		return matrix.BadJSON("the event is not an object")
	}
	var buf [maxName]byte
	for name, value := range f.root.Members() {
		if k := lookupKey(name); k < keyCount {
			f.known[k] = value
		} else if folded, ok := fold(buf[:0], name); ok && lookupKey(folded) < keyCount {
			return matrix.BadJSON("the key %q differs from a known one only by case", string(name))
		}
	}
	return nil
}

// forms says which kind each field must be of.
var forms = [...]struct {
	key      key
	name     string
	kind     canonicaljson.Kind
	optional bool
}{
	{keyType, "type", canonicaljson.String, false},
	{keySender, "sender", canonicaljson.String, false},
	{keyRoomID, "room_id", canonicaljson.String, true},
	{keyStateKey, "state_key", canonicaljson.String, true},
	{keyOrigin, "origin", canonicaljson.String, true},
	{keyContent, "content", canonicaljson.Object, false},
	{keyOriginServerTS, "origin_server_ts", canonicaljson.Int, false},
	{keyDepth, "depth", canonicaljson.Int, false},
	{keyPrevEvents, "prev_events", canonicaljson.Array, false},
	{keyAuthEvents, "auth_events", canonicaljson.Array, false},
	{keySignatures, "signatures", canonicaljson.Object, false},
}

func (f *fields) checkForm(v *matrix.RoomVersion) error {
	for k := keyEventID; k <= keyAgeTS; k++ {
		if f.known[k].Exists() {
			return matrix.BadJSON("%s", "event_id, outlier, destinations and age_ts are not fields of an event between servers")
		}
	}
	for i := range forms {
		form := &forms[i]
		value := f.known[form.key]
		if value.Kind() != form.kind && !(form.optional && !value.Exists()) {
			return matrix.BadJSON("%s must be of type %s", form.name, form.kind)
		}
	}
	if n, _ := f.known[keyDepth].Int(); n < 0 {
		return matrix.BadJSON("depth must not be negative")
	}
	if n, _ := f.known[keyOriginServerTS].Int(); n < 0 {
		return matrix.BadJSON("origin_server_ts must not be negative")
	}
	eventType, _ := f.known[keyType].TextBytes()
	if err := f.checkRoomID(v, string(eventType) == typeCreate); err != nil {
		return err
	}
	if string(eventType) == typeMember {
		var buf [maxName]byte
		for name := range f.known[keyContent].Members() {
			if folded, ok := fold(buf[:0], name); ok && !isMemberField(name) && isMemberField(folded) {
				return matrix.BadJSON("the key %q in content differs from a known one only by case", string(name))
			}
		}
	}
	return f.checkSignatures()
}

// checkRoomID holds that every event names its room, but for the create event
// where the room is named after it.
func (f *fields) checkRoomID(v *matrix.RoomVersion, create bool) error {
	key, isState := f.known[keyStateKey].TextBytes()
	nameless := v.HashRoomID && create && isState && len(key) == 0
	switch has := f.known[keyRoomID].Exists(); {
	case !has && !nameless:
		return matrix.BadJSON("room_id must be of type string")
	case has && nameless:
		return matrix.BadJSON("a create event of room version %s has no room_id", v.ID)
	}
	return nil
}

func (f *fields) checkSignatures() error {
	for _, keys := range f.known[keySignatures].Members() {
		if !keys.IsObject() {
			return matrix.BadJSON("signatures must be an object of objects")
		}
		for _, sig := range keys.Members() {
			if !sig.IsString() {
				return matrix.BadJSON("a signature must be of type string")
			}
		}
	}
	return nil
}
