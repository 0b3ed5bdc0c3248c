package serverkey

import (
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// need is what a key is wanted for.
type need struct {
	id    matrix.KeyID
	event bool  // else a request, now
	ts    int64 // the event's origin_server_ts
}

// outcome is what a document says to a need.
type outcome uint8

const (
	missing outcome = iota // not in it; a newer document may have it
	refused                // no newer document will change it
	stale                  // usable, but the document is out of date
	usable
)

// in looks for the key in a document, which may be nil.
//
// A request is only authenticated by a current key of a document that is valid
// now. An event may be signed with an old key from before it expired, and with a
// current key up to the document's end.
//
// Spec: Server-Server API, "Publishing Keys"; Room version 5, "Signing key
// validity period".
func (n need) in(d *Document, now time.Time) (matrix.PublicKey, outcome) {
	var none matrix.PublicKey
	if d == nil {
		return none, missing
	}
	fresh := !now.After(d.ValidUntil)
	key, current := d.Keys[n.id]
	old, retired := d.Old[n.id]
	switch {
	case !n.event && current && fresh:
		return key, usable
	case !n.event && retired && !current && fresh:
		return none, refused
	case !n.event:
		return none, missing
	case current && n.ts <= d.ValidUntil.UnixMilli():
		if fresh {
			return key, usable
		}
		return key, stale
	case retired && n.ts < old.ExpiredAt.UnixMilli():
		return old.Key, usable
	case retired && !current:
		return none, refused
	case n.ts > now.Add(MaxValidity).UnixMilli():
		return none, refused
	}
	return none, missing
}
