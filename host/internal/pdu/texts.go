package pdu

import (
	"crypto/sha256"
	"strings"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// idLen is the length of an event ID.
const idLen = 44

// texts makes the strings of one event, which share one allocation: a Builder
// never writes again where it has written, so a part of what it holds stays.
type texts struct{ b strings.Builder }

// newTexts returns texts with room for the given number of event IDs and the
// short fields of f.
func newTexts(f *fields, ids int) *texts {
	size := min(ids, 1+MaxPrevEvents+MaxAuthEvents) * idLen
	for _, k := range [...]key{keyType, keySender, keyRoomID} {
		b, _ := f.known[k].TextBytes()
		size += min(len(b), matrix.MaxID)
	}
	t := new(texts)
	t.b.Grow(size)
	return t
}

func (t *texts) add(b []byte) string {
	from := t.b.Len()
	t.b.Write(b)
	return t.b.String()[from:]
}

// short returns a string that must be at most 255 bytes.
func (t *texts) short(v canonicaljson.Value, name string) (string, error) {
	b, _ := v.TextBytes()
	if len(b) > matrix.MaxID {
		return "", matrix.TooLarge("%s is %d bytes; at most %d are allowed", name, len(b), matrix.MaxID)
	}
	if string(b) == typeMember {
		return typeMember, nil
	}
	return t.add(b), nil
}

// eventIDs appends the event IDs in v to dst and returns them.
func (t *texts) eventIDs(dst []matrix.EventID, v canonicaljson.Value, name string, most int) ([]matrix.EventID, error) {
	if v.Len() > most {
		return nil, matrix.BadJSON("%s has %d entries; at most %d are allowed", name, v.Len(), most)
	}
	for elem := range v.Elems() {
		b, ok := elem.TextBytes()
		if !ok {
			return nil, matrix.BadJSON("%s has an entry that is no string", name)
		}
		if len(b) > matrix.MaxID {
			return nil, matrix.InvalidParam("%s has an entry of %d bytes, which is no event ID", name, len(b))
		}
		id, err := matrix.ParseEventID(t.add(b))
		if err != nil {
			return nil, matrix.InvalidParam("%s: %v", name, err)
		}
		dst = append(dst, id)
	}
	return dst[:len(dst):len(dst)], nil
}

// id returns the event ID that the bytes that are signed make.
func (t *texts) id(signing []byte) matrix.EventID {
	id := hashID(signing)
	return matrix.EventID(t.add(id[:]))
}

// hashID returns the event ID: the reference hash, which is that of the bytes
// that are signed.
//
// Spec: Server-Server API, "Calculating the reference hash for an event"; room
// version 4, "Event IDs".
func hashID(signing []byte) (id [idLen]byte) {
	sum := sha256.Sum256(signing)
	id[0] = '$'
	urlSafe.Encode(id[1:], sum[:])
	return id
}
