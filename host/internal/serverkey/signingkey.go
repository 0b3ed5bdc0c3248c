package serverkey

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/ed25519"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// SigningKey is a private key of our own with its ID. Make one with [Generate],
// [Load] or [LoadOrCreate]. It is safe for concurrent use.
type SigningKey struct {
	id      matrix.KeyID
	private ed25519.PrivateKey
}

// Generate returns a new random key with an ID like "ed25519:a_Gpgj", in the
// shape that Synapse gives its own.
func Generate() (*SigningKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	id := []byte("ed25519:a_")
	var pick [4]byte // an ID needs to be different, not uniform
	rand.Read(pick[:])
	for _, b := range pick {
		id = append(id, letters[int(b)%len(letters)])
	}
	return &SigningKey{matrix.KeyID(id), private}, nil
}

// NewSigningKey returns the key of a 32-byte seed.
func NewSigningKey(id matrix.KeyID, seed [32]byte) *SigningKey {
	return &SigningKey{id, ed25519.NewKeyFromSeed(seed[:])}
}

// KeyID returns the key's ID, such as "ed25519:a_Gpgj".
func (k *SigningKey) KeyID() matrix.KeyID { return k.id }

// Sign returns the signature of message, 64 bytes.
func (k *SigningKey) Sign(message []byte) []byte { return ed25519.Sign(k.private, message) }

// Public returns the public key.
func (k *SigningKey) Public() matrix.PublicKey {
	return matrix.PublicKey(k.private.Public().(ed25519.PublicKey))
}

// String returns the ID, so that the private half is in no log.
func (k *SigningKey) String() string { return string(k.id) }

// GoString returns the ID, so that the private half is in no log.
func (k *SigningKey) GoString() string { return "serverkey.SigningKey(" + string(k.id) + ")" }

// marshal returns the key as a line of Synapse's signing key file.
func (k *SigningKey) marshal() []byte {
	version := strings.TrimPrefix(string(k.id), "ed25519:")
	return fmt.Appendf(nil, "ed25519 %s %s\n", version, base64.RawStdEncoding.EncodeToString(k.private.Seed()))
}

// parseSigningKey reads a signing key file. Errors say nothing of its content:
// it is secret.
func parseSigningKey(data []byte) (*SigningKey, error) {
	var fields []string
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if fields != nil {
			return nil, fmt.Errorf("holds more than one key: leave only the one to sign with")
		}
		fields = f
	}
	if len(fields) != 3 || fields[0] != "ed25519" {
		return nil, fmt.Errorf("is not a signing key: want one line of the form %q", "ed25519 a_abcd <seed in base64>")
	}
	id, err := matrix.ParseKeyID("ed25519:" + fields[1])
	if err != nil {
		return nil, fmt.Errorf("the second word is not a key version: only letters, digits and '_' may stand in it")
	}
	// Not strict: the seed of the specification's own examples has stray low
	// bits.
	seed, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(fields[2], "="))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("the third word is not %d bytes in base64", ed25519.SeedSize)
	}
	return NewSigningKey(id, [32]byte(seed)), nil
}
