package serverkey

import (
	"sync/atomic"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// MinLifetime is the shortest validity that we publish, at the moment somebody
// asks.
//
// Spec: Server-Server API, "GET /_matrix/key/v2/server", valid_until_ts.
const MinLifetime = time.Hour

// Publisher keeps the document of our own keys signed and fresh. It is safe for
// concurrent use.
type Publisher struct {
	server   matrix.ServerName
	keys     func() *Keyset
	lifetime time.Duration
	now      func() time.Time

	current atomic.Pointer[published]
}

type published struct {
	keys    *Keyset
	body    []byte
	renewAt time.Time
}

// NewPublisher returns a Publisher of the keys that keys returns, such as
// [Own.Keys], whose document is valid for lifetime, held to between twice
// MinLifetime, so that one can be served for an hour, and MaxValidity. A nil now
// is [time.Now].
func NewPublisher(server matrix.ServerName, keys func() *Keyset, lifetime time.Duration, now func() time.Time) *Publisher {
	if now == nil {
		now = time.Now
	}
	return &Publisher{
		server:   server,
		keys:     keys,
		lifetime: min(max(lifetime, 2*MinLifetime), MaxValidity),
		now:      now,
	}
}

// Body returns the body of GET /_matrix/key/v2/server. It is valid for at least
// MinLifetime from now, and new as soon as the keys are. The caller must not
// change it.
func (p *Publisher) Body() []byte {
	now, keys := p.now(), p.keys()
	if c := p.current.Load(); c != nil && c.keys == keys && !now.After(c.renewAt) {
		return c.body
	}
	// Signed again at half of its life. The wire has whole milliseconds: one is
	// kept back for what they cut off. Two callers may sign at the same time;
	// either document will do.
	validUntil := now.Add(p.lifetime)
	c := &published{
		keys:    keys,
		body:    AppendDocument(nil, p.server, keys.Key, keys.Old, validUntil),
		renewAt: validUntil.Add(-p.lifetime/2 - time.Millisecond),
	}
	p.current.Store(c)
	return c.body
}
