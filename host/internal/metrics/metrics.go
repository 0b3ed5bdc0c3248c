// Package metrics counts for Prometheus what a server does, in a registry of its
// own, under the names that host/README.md lists.
//
// No label holds a server, a user or a room. The values of all labels are fixed,
// or are names of the configuration that is in force.
package metrics

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/knockgate/knockgate/sdk/abi"
)

// namespace begins each name of ours.
const namespace = "knockgate"

// maxScrapes is how many requests of /metrics are answered at one time; the next
// gets 503.
const maxScrapes = 4

// Metrics is what is counted. It is safe for concurrent use, and what it costs a
// knock is some atomic additions.
type Metrics struct {
	registry *prometheus.Registry

	inFlight prometheus.Gauge
	// took is the time of a decision's request, by its phase.
	took [abi.SendKnock + 1]prometheus.Observer

	decisions *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	fuel      *prometheus.HistogramVec
	faults    *prometheus.CounterVec
	// series are those of the policies in force. They are replaced as a whole.
	series atomic.Pointer[map[policyMode]*policySeries]
	mu     sync.Mutex // held while series are replaced

	refused  map[refusal]prometheus.Counter
	xmatrix  map[string]prometheus.Counter
	origins  map[string]prometheus.Counter
	fetches  map[fetch]prometheus.Counter
	exchange [abi.SendKnock + 1]prometheus.Observer
	upstream map[upstreamFault]prometheus.Counter

	batches      prometheus.Histogram
	batchesLost  prometheus.Counter
	notices      *prometheus.CounterVec
	reloads      map[bool]prometheus.Counter
	reloadedWell prometheus.Gauge
	reloadedAt   prometheus.Gauge
}

// New returns metrics of a program of this version, in which nothing has
// happened yet.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	info := m.gaugeVec("build_info", "Always 1; the labels say what this program is.", "version", "go_version")
	info.WithLabelValues(version, runtime.Version()).Set(1)
	m.inFlight = m.gauge("requests_in_flight", "Requests of other servers that are not answered yet, those that are passed through included.")

	m.newDecisions()
	m.newRefusals()
	m.newUpstream()
	m.newState()
	return m
}

// Handler returns the handler of /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}

// Gatherer returns what the handler serves, for those who read it here.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// InFlight returns a handler that counts the requests that next is answering.
func (m *Metrics) InFlight(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.inFlight.Inc()
		defer m.inFlight.Dec()
		next.ServeHTTP(w, r)
	})
}

// register makes c one of the metrics that are served.
func register[C prometheus.Collector](m *Metrics, c C) C {
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	return register(m, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}))
}

func (m *Metrics) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(m, prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels))
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	return register(m, prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}))
}

func (m *Metrics) counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return register(m, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels))
}

func (m *Metrics) histogramVec(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return register(m, prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels))
}

// counters returns the counter of each value of a vector's one label, and of
// other, for a value that is none of them.
func counters(v *prometheus.CounterVec, values ...string) map[string]prometheus.Counter {
	all := make(map[string]prometheus.Counter, len(values)+1)
	for _, value := range append(values, other) {
		all[value] = v.WithLabelValues(value)
	}
	return all
}

// other is the value of a label for what has no value of its own.
const other = "other"

func seconds(d time.Duration) float64 { return d.Seconds() }
