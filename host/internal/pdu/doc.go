// Package pdu knows events as servers exchange them: their format, redaction,
// hashes, identifiers and signatures, and the rules that let one knock on a
// room. It needs no state but what it is given, and no cryptographic keys but
// through the interface Signer.
//
// Spec: Server-Server API, "PDUs" and "Signing Events"; room versions 7 to 12.
package pdu

import (
	"iter"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// The limits on an event.
//
// Spec: Client-Server API, "Size limits"; Server-Server API, "PDUs".
const (
	// MaxSize is the longest event in canonical form, with its hashes and
	// signatures and without unsigned, in bytes.
	MaxSize = 65536
	// MaxPrevEvents and MaxAuthEvents are the most events that an event names.
	MaxPrevEvents = 20
	MaxAuthEvents = 10
)

// Event is an event whose format was checked. It is immutable and owns its
// bytes.
type Event struct {
	version *matrix.RoomVersion
	id      matrix.EventID

	eventType  string
	stateKey   string
	isState    bool
	sender     matrix.UserID
	room       matrix.RoomID
	membership string
	originTS   int64
	depth      int64
	prev, auth []matrix.EventID
	signatures []signature
	hashOK     bool

	json    []byte
	signing []byte
	content canonicaljson.Doc
}

// signature is one entry of an event's signatures. The sig is nil if it is not
// 64 bytes in base64.
type signature struct {
	server matrix.ServerName
	key    matrix.KeyID
	sig    []byte
}

// ID returns the event's identifier: its reference hash.
func (e *Event) ID() matrix.EventID { return e.id }

// Version returns the room version that the event was read under.
func (e *Event) Version() *matrix.RoomVersion { return e.version }

// Type returns the event's type, such as "m.room.member".
func (e *Event) Type() string { return e.eventType }

// StateKey returns the state key, and false if this is no state event.
func (e *Event) StateKey() (string, bool) { return e.stateKey, e.isState }

// Sender returns the user who sent the event.
func (e *Event) Sender() matrix.UserID { return e.sender }

// RoomID returns the event's room. A create event of room version 12 names
// none; its room ID is its own hash.
func (e *Event) RoomID() matrix.RoomID { return e.room }

// OriginServerTS returns when the event was made, by its server's clock, in
// milliseconds since 1970.
func (e *Event) OriginServerTS() int64 { return e.originTS }

// Depth returns the depth in the graph that the event claims.
func (e *Event) Depth() int64 { return e.depth }

// PrevEvents returns the events before this one. Do not change the slice.
func (e *Event) PrevEvents() []matrix.EventID { return e.prev }

// AuthEvents returns the events that allow this one. Do not change the slice.
func (e *Event) AuthEvents() []matrix.EventID { return e.auth }

// Membership returns the membership of an m.room.member event; "" if it is no
// string, or the event is of another type.
func (e *Event) Membership() string { return e.membership }

// Content returns the event's content, an object.
func (e *Event) Content() canonicaljson.Value { return e.content.Root() }

// JSON returns the event in canonical form with its hashes and signatures and
// without unsigned. Do not change it.
func (e *Event) JSON() []byte { return e.json }

// ContentHashOK reports whether hashes.sha256 is the hash of the event. If it
// is not, only what redaction keeps was vouched for by the signature.
//
// Spec: Server-Server API, "Calculating the content hash for an event".
func (e *Event) ContentHashOK() bool { return e.hashOK }

// SigningBytes returns what the signatures of the event sign: its redaction in
// canonical form, without signatures. Do not change it.
//
// Spec: Server-Server API, "Validating hashes and signatures on received
// events".
func (e *Event) SigningBytes() []byte { return e.signing }

// Signatures returns the Ed25519 signatures by server, in the order of their
// key IDs. The signature is nil where what stands there is not 64 bytes in
// base64. Signatures of other algorithms are left out. Do not change them.
func (e *Event) Signatures(server matrix.ServerName) iter.Seq2[matrix.KeyID, []byte] {
	return func(yield func(matrix.KeyID, []byte) bool) {
		for _, s := range e.signatures {
			if s.server == server && !yield(s.key, s.sig) {
				return
			}
		}
	}
}
