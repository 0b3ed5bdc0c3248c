package xmatrix

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

const (
	// MaxHeaders is how many Authorization headers a request may have.
	MaxHeaders = 8
	// MaxSignatures is how many of them may be X-Matrix: each can cost a fetch
	// of keys and a verification.
	MaxSignatures = 4
)

// Keys finds the key under which a server may sign a request now. An error says
// that there is none that can be used.
type Keys interface {
	RequestKey(ctx context.Context, server matrix.ServerName, id matrix.KeyID) (matrix.PublicKey, error)
}

// Verifier reports whether sig is the signature of message by key.
type Verifier func(key matrix.PublicKey, message, sig []byte) bool

// Authenticator finds out which server sent a request.
type Authenticator struct {
	// Server is our own name, which requests must be meant for.
	Server matrix.ServerName
	// Keys finds the keys of other servers.
	Keys Keys
	// Verify checks a signature.
	Verify Verifier
}

// Credentials are what a request says of its sender. Nothing of it is proven
// before Check.
type Credentials struct {
	// Origin is the server that claims to have sent the request.
	Origin matrix.ServerName
	// Destination is the server that the request says it is for; "" if it says
	// nothing.
	Destination matrix.ServerName
	// Signatures are the signatures of the request, at least one.
	Signatures []Signature
}

// Parse reads the Authorization headers of a request. It is cheap, and is meant
// to come before the body is read. Headers of other schemes are ignored.
//
// It fails with a [*matrix.Error] of status 401 if there is no X-Matrix header,
// too many, a malformed one, if they differ in origin or destination, if they
// are for another server, or if they claim to come from ourselves.
func (a *Authenticator) Parse(header http.Header) (Credentials, error) {
	values := header["Authorization"]
	if len(values) > MaxHeaders {
		return Credentials{}, matrix.Unauthorized("There are more than %d Authorization headers", MaxHeaders).Of(FailTooMany)
	}
	var c Credentials
	for _, value := range values {
		f, err := parseField(value)
		if errors.Is(err, errNotXMatrix) {
			continue
		}
		if err != nil {
			return Credentials{}, matrix.Unauthorized("Malformed X-Matrix Authorization header: %v", err).Of(FailMalformed)
		}
		if len(c.Signatures) == 0 {
			c.Origin, c.Destination = f.origin, f.destination
		}
		if f.origin != c.Origin || f.destination != c.Destination {
			return Credentials{}, matrix.Unauthorized("The Authorization headers differ in origin or destination").Of(FailDiffer)
		}
		if len(c.Signatures) == MaxSignatures {
			return Credentials{}, matrix.Unauthorized("There are more than %d X-Matrix Authorization headers", MaxSignatures).Of(FailTooMany)
		}
		c.Signatures = append(c.Signatures, f.signature)
	}
	switch {
	case len(c.Signatures) == 0:
		return Credentials{}, matrix.Unauthorized("Missing X-Matrix Authorization header").Of(FailMissing)
	case c.Destination != "" && c.Destination != a.Server:
		return Credentials{}, matrix.Unauthorized("The request is for %q, and this is %q", c.Destination, a.Server).Of(FailDestination)
	case c.Origin == a.Server:
		return Credentials{}, matrix.Unauthorized("The request claims to come from this server itself").Of(FailOrigin)
	}
	return c, nil
}

// messages are buffers for signed bytes.
var messages = sync.Pool{New: func() any { return new([]byte) }}

// maxPooled is the largest buffer that is kept.
const maxPooled = 256 << 10

// Check verifies the signatures of a request and returns the server that sent
// it. The method and the request-target are those on the wire
// ([http.Request.RequestURI]); content is the canonical JSON of the body, nil
// if the request has none.
//
// At least one signature must verify, and none under a usable key may be wrong;
// one under a key that is unknown or expired does not count. A destination
// that the sender left out is taken as signed with our name. It fails with a
// [*matrix.Error] of status 401.
func (a *Authenticator) Check(ctx context.Context, c Credentials, method, requestTarget string, content []byte) (origin matrix.ServerName, err error) {
	target, err := originForm(requestTarget)
	if err != nil {
		return "", matrix.Unauthorized("The request cannot be authenticated: %v", err).Of(FailTarget)
	}
	if c.Origin == a.Server || c.Destination != "" && c.Destination != a.Server {
		return "", matrix.Unauthorized("The request is not from another server to this one").Of(FailDestination)
	}
	buf := messages.Get().(*[]byte)
	message := AppendSigned((*buf)[:0], method, target, c.Origin, a.Server, content)
	defer func() {
		if cap(message) <= maxPooled {
			*buf = message
			messages.Put(buf)
		}
	}()

	verified := false
	var unusable error
	for i := range c.Signatures {
		s := &c.Signatures[i]
		key, err := a.Keys.RequestKey(ctx, c.Origin, s.Key)
		if err != nil {
			unusable = err
			continue
		}
		if !a.Verify(key, message, s.Sig[:]) {
			return "", matrix.Unauthorized("The signature of the request under %q is wrong", s.Key).Of(FailSignature)
		}
		verified = true
	}
	if !verified {
		return "", matrix.Unauthorized("No key that signed the request is known and valid for %q", c.Origin).Of(FailKey).Because(unusable)
	}
	return c.Origin, nil
}
