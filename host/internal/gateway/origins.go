package gateway

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// Origins says which servers may ask and how often. Only authenticated names
// reach it, so no one can spend another server's share.
type Origins struct {
	allow, deny []string
	limit       rate.Limit
	burst       int

	mu       sync.Mutex
	limiters map[matrix.ServerName]*limiter // guarded by mu
}

type limiter struct {
	*rate.Limiter
	used time.Time
}

// The kinds of an origin's refusal, as the Kind of a matrix.Error has them.
const (
	OriginNotListed = "not_listed"
	OriginTooOften  = "too_often"
)

// maxLimiters bounds the memory that names can take, about 200 bytes each.
const maxLimiters = 20_000

// NewOrigins returns the list and the limits: globs on the server name without
// its port, as in the configuration; perSecond authenticated requests of each
// origin with bursts of burst.
func NewOrigins(allow, deny []string, perSecond float64, burst int) *Origins {
	return &Origins{allow: allow, deny: deny, limit: rate.Limit(perSecond), burst: burst, limiters: map[matrix.ServerName]*limiter{}}
}

// Admit fails with 403 M_FORBIDDEN for a server that may not ask, and with 429
// M_LIMIT_EXCEEDED for one that has asked too often.
func (o *Origins) Admit(origin matrix.ServerName, now time.Time) error {
	host := origin.Host()
	if matchAny(o.deny, host) || !matchAny(o.allow, host) {
		return matrix.Forbidden("This server does not federate with %s", origin).Of(OriginNotListed)
	}
	l := o.limiter(origin, now)
	if reservation := l.ReserveN(now, 1); !reservation.OK() {
		return matrix.LimitExceeded(time.Second).Of(OriginTooOften)
	} else if wait := reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return matrix.LimitExceeded(wait).Of(OriginTooOften)
	}
	return nil
}

func matchAny(globs []string, host string) bool {
	for _, g := range globs {
		if g == "*" || pdu.GlobMatch(g, host) {
			return true
		}
	}
	return false
}

func (o *Origins) limiter(origin matrix.ServerName, now time.Time) *limiter {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.limiters[origin]
	if l == nil {
		if len(o.limiters) >= maxLimiters {
			o.forget(now)
		}
		l = &limiter{Limiter: rate.NewLimiter(o.limit, o.burst)}
		o.limiters[origin] = l
	}
	l.used = now
	return l
}

// forget drops the limiters that are full again, which say nothing, and where
// that frees too little, any: a name loses at most the memory of one burst.
func (o *Origins) forget(now time.Time) {
	full := time.Duration(float64(o.burst) / float64(o.limit) * float64(time.Second))
	for name, l := range o.limiters {
		if now.Sub(l.used) >= full {
			delete(o.limiters, name)
		}
	}
	for name := range o.limiters {
		if len(o.limiters) < maxLimiters*9/10 {
			return
		}
		delete(o.limiters, name)
	}
}
