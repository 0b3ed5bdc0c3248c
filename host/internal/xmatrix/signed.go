package xmatrix

import (
	"fmt"
	"strings"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// AppendSigned appends the bytes that the signature of a request covers to dst:
// canonical JSON of content, destination, method, origin and uri. The target is
// the raw request-target, path and query. Content is the canonical JSON of the
// body and is inserted as it is; nil if the request has no body.
//
// Spec: Server-Server API, "Request Authentication".
func AppendSigned(dst []byte, method, target string, origin, destination matrix.ServerName, content []byte) []byte {
	dst = append(dst, '{')
	if content != nil {
		dst = append(dst, `"content":`...)
		dst = append(dst, content...)
		dst = append(dst, ',')
	}
	dst = append(dst, `"destination":`...)
	dst = canonicaljson.AppendString(dst, string(destination))
	dst = append(dst, `,"method":`...)
	dst = canonicaljson.AppendString(dst, method)
	dst = append(dst, `,"origin":`...)
	dst = canonicaljson.AppendString(dst, string(origin))
	dst = append(dst, `,"uri":`...)
	dst = canonicaljson.AppendString(dst, target)
	return append(dst, '}')
}

// Signer signs with a private key of ours.
type Signer interface {
	KeyID() matrix.KeyID
	Sign(message []byte) []byte
}

// Header returns the value of the Authorization header for a request of ours,
// as Synapse writes it. The arguments are those of AppendSigned.
func Header(s Signer, origin, destination matrix.ServerName, method, target string, content []byte) string {
	f := field{origin: origin, destination: destination, signature: Signature{Key: s.KeyID()}}
	copy(f.signature.Sig[:], s.Sign(AppendSigned(nil, method, target, origin, destination, content)))
	return string(f.append(nil))
}

// originForm returns the path and query of a raw request-target. Of the absolute
// form, which a proxy may be sent, scheme and authority are cut off: they are
// not signed. It fails for other forms and for bytes that no request-target
// has, which others might drop or rewrite on the way.
//
// Spec: RFC 9112, section 3.2.
func originForm(target string) (string, error) {
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return "", fmt.Errorf("the byte %#02x stands in the request-target", c)
		}
	}
	if !strings.HasPrefix(target, "/") {
		scheme, rest, ok := strings.Cut(target, "://")
		if !ok || !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") {
			return "", fmt.Errorf("the request-target %.40q is neither a path nor a URL", target)
		}
		slash := strings.IndexByte(rest, '/')
		if slash <= 0 || strings.IndexByte(rest[:slash], '?') >= 0 {
			return "", fmt.Errorf("the request-target %.40q has no path", target)
		}
		target = rest[slash:]
	}
	return target, nil
}
