package pdu

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"sync"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

var (
	standard = base64.RawStdEncoding.Strict()
	urlSafe  = base64.RawURLEncoding
)

// decodeBase64 decodes standard base64, with or without padding, which must
// fill dst exactly.
//
// Spec: Appendices, "Unpadded Base64".
func decodeBase64(dst, src []byte) bool {
	n := standard.EncodedLen(len(dst))
	if len(src) == base64.StdEncoding.EncodedLen(len(dst)) && len(bytes.Trim(src[n:], "=")) == 0 {
		src = src[:n]
	}
	if len(src) != n {
		return false
	}
	// The decoder skips line breaks, and then finds too little.
	m, err := standard.Decode(dst, src)
	return err == nil && m == len(dst)
}

// scratch holds the bytes that are hashed and then forgotten.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// contentHash returns the hash over all of the event but its hashes,
// signatures and unsigned.
//
// Spec: Server-Server API, "Calculating the content hash for an event".
func contentHash(root canonicaljson.Value) [32]byte {
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	*buf = appendMembers((*buf)[:0], root, keyHashes, keySignatures, keyUnsigned)
	return sha256.Sum256(*buf)
}

// ID returns the identifier of the event in doc, whose format is not checked.
// It fails with a [*matrix.Error], 400 M_BAD_JSON, if doc is no object.
func ID(doc *canonicaljson.Doc, v *matrix.RoomVersion) (matrix.EventID, error) {
	f := &fields{root: doc.Root()}
	if err := f.collect(); err != nil {
		return "", err
	}
	id := hashID(appendRedacted(nil, f, v, false))
	return matrix.EventID(id[:]), nil
}

// Signer signs with a server's key.
type Signer interface {
	// KeyID names the key.
	KeyID() matrix.KeyID
	// Sign returns the 64 bytes of the signature of message.
	Sign(message []byte) []byte
}

// Sign returns the event in canonical form with its content hash and the
// signature of server. What event has under unsigned, signatures and hashes is
// dropped. The format is not checked.
//
// It fails with a [*matrix.Error], 400 M_BAD_JSON, if event is no object.
//
// Spec: Server-Server API, "Signing Events".
func Sign(event *canonicaljson.Doc, v *matrix.RoomVersion, server matrix.ServerName, s Signer) (signed []byte, err error) {
	root := event.Root()
	if !root.IsObject() {
		return nil, matrix.BadJSON("the event is not an object")
	}
	sum := contentHash(root)
	hashes := append([]byte(`{"sha256":"`), standard.EncodeToString(sum[:])...)
	hashes = append(hashes, `"}`...)
	hashed := appendWith(nil, root, keyHashes, "hashes", hashes, keySignatures, keyUnsigned)

	var doc canonicaljson.Doc
	if err := doc.Parse(hashed); err != nil {
		return nil, jsonError(err)
	}
	f := &fields{root: doc.Root()}
	if err := f.collect(); err != nil {
		return nil, err
	}
	sig := s.Sign(appendRedacted(nil, f, v, false))
	signatures := canonicaljson.AppendKey([]byte{'{'}, string(server))
	signatures = canonicaljson.AppendKey(append(signatures, '{'), string(s.KeyID()))
	signatures = canonicaljson.AppendString(signatures, standard.EncodeToString(sig))
	signatures = append(signatures, "}}"...)
	return appendWith(nil, doc.Root(), keySignatures, "signatures", signatures), nil
}

// appendWith appends root in canonical form with one member set to value, and
// without the given keys.
func appendWith(dst []byte, root canonicaljson.Value, set key, name string, value []byte, without ...key) []byte {
	drop := setOf(append(without, set)...)
	dst = append(dst, '{')
	done := false
	put := func() {
		dst = append(append(canonicaljson.AppendKey(dst, name), value...), ',')
		done = true
	}
	for member, old := range root.Members() {
		if !done && string(member) > name {
			put()
		}
		if !drop.has(lookupKey(member)) {
			dst = append(append(dst, old.CanonicalMember()...), ',')
		}
	}
	if !done {
		put()
	}
	dst[len(dst)-1] = '}'
	return dst
}
