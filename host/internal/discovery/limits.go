package discovery

import "time"

// What one lookup or request may use. They are constants, not settings: an
// admin has no reason to change them, and tests use shorter ones.
const (
	// DNSTimeout bounds one DNS lookup.
	DNSTimeout = 5 * time.Second
	// ConnectTimeout bounds connecting to all the addresses of one host.
	ConnectTimeout = 10 * time.Second
	// TLSTimeout bounds one TLS handshake.
	TLSTimeout = 10 * time.Second
	// HeaderTimeout bounds the wait for a response's header.
	HeaderTimeout = 30 * time.Second
	// RequestTimeout bounds a whole request, from the lookup of the name to
	// the last byte of the body.
	RequestTimeout = 60 * time.Second
	// WellKnownTimeout bounds a well-known lookup with all its redirects.
	WellKnownTimeout = 10 * time.Second
	// IdleTimeout is how long an unused connection is kept.
	IdleTimeout = 60 * time.Second

	// MaxWellKnown is the largest well-known file, in bytes.
	MaxWellKnown = 50 << 10
	// MaxRedirects is how many redirects a well-known lookup follows.
	MaxRedirects = 5
	// MaxHeader is the largest response header, in bytes.
	MaxHeader = 64 << 10

	maxAddresses  = 8    // addresses tried for one host
	maxTargets    = 8    // SRV records tried for one name
	maxTransports = 256  // targets with kept connections
	maxWellKnowns = 4096 // well-known answers remembered

	// attemptDelay is the head start of one address over the next.
	// RFC 8305, section 5.
	attemptDelay = 250 * time.Millisecond
)

// How long the answer to a well-known lookup is remembered.
//
// Spec: Server-Server API, "Resolving server names", step 3.
const (
	wellKnownDefault  = 24 * time.Hour
	wellKnownMax      = 48 * time.Hour
	wellKnownMin      = 5 * time.Minute // for max-age=0 too: a caller must not make us ask again and again
	wellKnownErrorMin = 2 * time.Minute // doubles with each failure
	wellKnownErrorMax = time.Hour
	// wellKnownGrace is how long after its end a good answer is still used if
	// the file cannot be fetched.
	wellKnownGrace = 2 * time.Hour
)

// timeouts are the waits of one Client, so that tests can shorten them.
type timeouts struct {
	dns, connect, tls, header, request, wellKnown time.Duration
}

var defaultTimeouts = timeouts{
	dns:       DNSTimeout,
	connect:   ConnectTimeout,
	tls:       TLSTimeout,
	header:    HeaderTimeout,
	request:   RequestTimeout,
	wellKnown: WellKnownTimeout,
}
