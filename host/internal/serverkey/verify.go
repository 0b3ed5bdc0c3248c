package serverkey

import (
	"encoding/base64"
	"strings"

	"golang.org/x/crypto/ed25519"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Verify reports whether sig is the Ed25519 signature of message by key. It is
// the one function value through which this host verifies. A signature of the
// wrong length is no signature.
var Verify = func(key matrix.PublicKey, message, sig []byte) bool {
	return len(sig) == ed25519.SignatureSize && ed25519.Verify(key[:], message, sig)
}

// compromised reports whether others know the private half of a key, so that
// it is taken from nobody and for nothing. Tests put in keys of their own.
var compromised = matrix.PublicKey.Compromised

// decodeBase64 returns the size bytes that s holds in standard base64, with or
// without its padding, and false if it holds anything else. There is one
// spelling only: no line breaks, no stray low bits.
func decodeBase64(s string, size int) ([]byte, bool) {
	if raw := base64.RawStdEncoding.EncodedLen(size); len(s) > raw {
		if s[raw:] != strings.Repeat("=", base64.StdEncoding.EncodedLen(size)-raw) {
			return nil, false
		}
		s = s[:raw]
	}
	// The decoder skips line breaks: with them the size would not come out.
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	return b, err == nil && len(b) == size
}
