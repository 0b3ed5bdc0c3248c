package matrix

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// ParsePublicKey returns the key that s holds: 32 bytes in standard base64,
// with or without its padding. There is one spelling only of each key: no line
// breaks, no stray low bits.
//
// Spec: Appendices, "Unpadded Base64".
func ParsePublicKey(s string) (PublicKey, error) {
	const raw = 43
	text := s
	if len(text) == raw+1 {
		text = strings.TrimSuffix(text, "=")
	}
	// The decoder skips line breaks: with them the size does not come out.
	b, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || len(text) != raw || len(b) != len(PublicKey{}) {
		return PublicKey{}, fmt.Errorf("public key %.60q: is not %d bytes in base64", s, len(PublicKey{}))
	}
	return PublicKey(b), nil
}

// String returns the key in unpadded base64, as it stands on the wire.
func (k PublicKey) String() string { return base64.RawStdEncoding.EncodeToString(k[:]) }

// Compromised reports whether the private half of the key is known to others,
// so that a signature under it says nothing.
func (k PublicKey) Compromised() bool { return compromised[k] }

// compromised holds the keys that have become known.
//
// ELEMENTSEC-2025-1670.
var compromised = map[PublicKey]bool{
	mustPublicKey("l/O9hxMVKB6Lg+3Hqf0FQQZhVESQcMzbPN1Cz2nM3og="): true,
}

func mustPublicKey(s string) PublicKey {
	k, err := ParsePublicKey(s)
	if err != nil {
		panic(err)
	}
	return k
}
