package metrics

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/knockgate/knockgate/host/internal/gateway"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// refusal is a kind of request with the errcode that refused it.
type refusal struct{ endpoint, errcode string }

// errcodes are those of the error contract.
var errcodes = []string{
	"M_BAD_JSON", "M_FORBIDDEN", "M_INCOMPATIBLE_ROOM_VERSION", "M_INVALID_PARAM", "M_LIMIT_EXCEEDED", "M_MISSING_PARAM",
	"M_NOT_FOUND", "M_NOT_JSON", "M_TOO_LARGE", "M_UNAUTHORIZED", "M_UNKNOWN", other,
}

// fetch is who was asked for keys, and how that ended.
type fetch struct{ source, result string }

// Values of the labels of fetches.
const (
	fromServer = "server" // of the server whose keys they are
	fromNotary = "notary" // of a notary server
	fetched    = "ok"
	failed     = "failed"
)

func (m *Metrics) newRefusals() {
	refused := m.counterVec("refused_total",
		"Requests that the protocol refused, before any decision, or that failed (M_UNKNOWN), by endpoint and errcode.", "phase", "errcode")
	m.refused = map[refusal]prometheus.Counter{}
	for _, endpoint := range append(gateway.Endpoints(), other) {
		for _, errcode := range errcodes {
			m.refused[refusal{endpoint, errcode}] = refused.WithLabelValues(endpoint, errcode)
		}
	}
	m.xmatrix = counters(m.counterVec("xmatrix_failures_total", "Requests whose sender could not be authenticated, by reason.", "reason"), xmatrix.Failures...)
	m.origins = counters(m.counterVec("origins_refused_total",
		"Authenticated requests of servers that are not in the federation list, or that asked too often.", "reason"),
		gateway.OriginNotListed, gateway.OriginTooOften)
	fetches := m.counterVec("key_fetches_total", "Fetches of other servers' keys, by who was asked.", "source", "result")
	m.fetches = map[fetch]prometheus.Counter{}
	for _, source := range []string{fromServer, fromNotary} {
		for _, result := range []string{fetched, failed} {
			m.fetches[fetch{source, result}] = fetches.WithLabelValues(source, result)
		}
	}
}

// Refused counts a request that has no decision.
func (m *Metrics) Refused(endpoint string, e *matrix.Error) {
	c := m.refused[refusal{endpoint, e.Code}]
	if c == nil {
		c = m.refused[refusal{other, other}]
	}
	c.Inc()
	switch {
	case e.Status == http.StatusUnauthorized:
		count(m.xmatrix, e.Kind)
	case e.Kind == gateway.OriginNotListed || e.Kind == gateway.OriginTooOften:
		count(m.origins, e.Kind)
	}
}

func count(m map[string]prometheus.Counter, value string) {
	c := m[value]
	if c == nil {
		c = m[other]
	}
	c.Inc()
}

// Fetcher returns a fetcher of keys that counts what next does.
func (m *Metrics) Fetcher(next serverkey.Fetcher) serverkey.Fetcher { return fetcher{m, next} }

type fetcher struct {
	*Metrics
	next serverkey.Fetcher
}

func (f fetcher) Get(ctx context.Context, server matrix.ServerName, target string, maxBytes int64) (int, []byte, error) {
	status, body, err := f.next.Get(ctx, server, target, maxBytes)
	f.fetched(fromServer, status, err)
	return status, body, err
}

func (f fetcher) Post(ctx context.Context, server matrix.ServerName, target string, body []byte, maxBytes int64) (int, []byte, error) {
	status, answer, err := f.next.Post(ctx, server, target, body, maxBytes)
	f.fetched(fromNotary, status, err)
	return status, answer, err
}

func (m *Metrics) fetched(source string, status int, err error) {
	result := fetched
	if err != nil || status != http.StatusOK {
		result = failed
	}
	m.fetches[fetch{source, result}].Inc()
}
