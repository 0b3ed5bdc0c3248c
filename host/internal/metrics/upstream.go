package metrics

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/knockgate/knockgate/host/internal/gateway"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/upstream"
	"github.com/knockgate/knockgate/sdk/abi"
)

// upstreamFault is a kind of request to upstream with how it failed.
type upstreamFault struct{ request, reason string }

// Kinds of request to upstream.
const (
	handedOn      = "knock"
	passedThrough = "other"
)

func (m *Metrics) newUpstream() {
	took := m.histogramVec("upstream_seconds", "Time in which the homeserver answered a knock that was handed on, or failed to.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "phase")
	for _, phase := range phases {
		m.exchange[phase] = took.WithLabelValues(phase.String())
	}
	faults := m.counterVec("upstream_faults_total",
		"Requests that the homeserver did not answer, or with what cannot be handed on: knocks, and others, which are passed through.",
		"request", "reason")
	m.upstream = map[upstreamFault]prometheus.Counter{}
	for _, request := range []string{handedOn, passedThrough} {
		for _, reason := range []string{upstream.FaultUnreachable, upstream.FaultTimeout, upstream.FaultAnswer, other} {
			m.upstream[upstreamFault{request, reason}] = faults.WithLabelValues(request, reason)
		}
	}
}

// Upstream returns an upstream that counts how next fares.
func (m *Metrics) Upstream(next gateway.Upstream) gateway.Upstream { return homeserver{m, next} }

type homeserver struct {
	*Metrics
	next gateway.Upstream
}

func (h homeserver) Exchange(ctx context.Context, r *http.Request, target string, body []byte) (*upstream.Answer, error) {
	phase := abi.MakeKnock
	if r.Method == http.MethodPut {
		phase = abi.SendKnock
	}
	begin := time.Now()
	a, err := h.next.Exchange(ctx, r, target, body)
	if ctx.Err() != nil {
		return a, err // the peer left; that says nothing of the homeserver
	}
	h.exchange[phase].Observe(seconds(time.Since(begin)))
	if err != nil {
		h.fault(handedOn, err)
	}
	return a, err
}

// fault counts a fault by its kind.
func (m *Metrics) fault(request string, err error) {
	f := upstreamFault{request, other}
	var e *matrix.Error
	if errors.As(err, &e) && m.upstream[upstreamFault{request, e.Kind}] != nil {
		f.reason = e.Kind
	}
	m.upstream[f].Inc()
}

func (h homeserver) Stream(w http.ResponseWriter, r *http.Request, target string, fail func(*matrix.Error)) {
	h.next.Stream(w, r, target, func(e *matrix.Error) {
		if r.Context().Err() == nil {
			h.fault(passedThrough, e)
		}
		fail(e)
	})
}
