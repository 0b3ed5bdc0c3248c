package pdu_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"testing"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// specSeed is the seed of the key that the specification's examples are signed
// with, as "domain", "ed25519:1".
const specSeed = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"

type signer struct {
	id  matrix.KeyID
	key ed25519.PrivateKey
}

func (s signer) KeyID() matrix.KeyID       { return s.id }
func (s signer) Sign(msg []byte) []byte    { return ed25519.Sign(s.key, msg) }
func (s signer) public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

func specSigner(tb testing.TB) signer {
	tb.Helper()
	seed, err := base64.RawStdEncoding.DecodeString(specSeed)
	if err != nil {
		tb.Fatal(err)
	}
	return signer{id: "ed25519:1", key: ed25519.NewKeyFromSeed(seed)}
}

func version(tb testing.TB, id string) *matrix.RoomVersion {
	tb.Helper()
	v, ok := matrix.LookupRoomVersion(id)
	if !ok {
		tb.Fatalf("no room version %q", id)
	}
	return v
}

func parseJSON(tb testing.TB, src string) *canonicaljson.Doc {
	tb.Helper()
	doc, err := canonicaljson.Parse([]byte(src))
	if err != nil {
		tb.Fatalf("%s: %v", src, err)
	}
	return doc
}

// sign returns the event src, signed with the specification's key.
func sign(tb testing.TB, v, src string) []byte {
	tb.Helper()
	signed, err := pdu.Sign(parseJSON(tb, src), version(tb, v), "domain", specSigner(tb))
	if err != nil {
		tb.Fatalf("Sign(%s): %v", src, err)
	}
	return signed
}

// event returns the event src, signed and parsed.
func event(tb testing.TB, v, src string) *pdu.Event {
	tb.Helper()
	e, err := pdu.ParseStored(sign(tb, v, src), version(tb, v))
	if err != nil {
		tb.Fatalf("version %s: %s: %v", v, src, err)
	}
	return e
}

// verified reports whether one signature or more by server is right and none
// is wrong.
func verified(e *pdu.Event, server matrix.ServerName, key ed25519.PublicKey) bool {
	n := 0
	for _, sig := range e.Signatures(server) {
		if len(sig) != ed25519.SignatureSize || !ed25519.Verify(key, e.SigningBytes(), sig) {
			return false
		}
		n++
	}
	return n > 0
}
