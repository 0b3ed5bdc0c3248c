package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/knockgate/knockgate/host/internal/policylist"
	"github.com/knockgate/knockgate/plugins"
)

func (m *Metrics) newState() {
	m.batches = register(m, prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: "store_batch_seconds", Help: "Time of a transaction of the store, on disk included.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}))
	m.batchesLost = m.counter("store_batch_failures_total", "Transactions of the store that failed as a whole.")
	reloads := m.counterVec("config_reloads_total", "Reloads of the configuration and the policies.", "result")
	m.reloads = map[bool]prometheus.Counter{true: reloads.WithLabelValues("ok"), false: reloads.WithLabelValues("failed")}
	m.notices = m.counterVec("notices_total", "Attempts to send a digest to a target of [notices].", "target", "result")
	for _, target := range []string{"webhook", "room"} {
		for _, result := range []string{"sent", "failed", "lost"} {
			m.notices.WithLabelValues(target, result)
		}
	}
	m.reloadedWell = m.gauge("config_reload_success", "1 if the last start or reload put the configured policies in force, else 0.")
	m.reloadedAt = m.gauge("config_reload_timestamp_seconds", "When the configuration was last taken up without a fault.")
}

// Notice counts an attempt to send a digest. It is what [notices.Observer] has.
func (m *Metrics) Notice(target, result string) { m.notices.WithLabelValues(target, result).Inc() }

// Committed counts a transaction of the store. It is what [store.Store.Observe]
// takes.
func (m *Metrics) Committed(took time.Duration, committed bool) {
	m.batches.Observe(seconds(took))
	if !committed {
		m.batchesLost.Inc()
	}
}

// Started notes whether a start put the configured policies in force.
func (m *Metrics) Started(configured bool, at time.Time) {
	m.reloadedWell.Set(0)
	if configured {
		m.reloadedWell.Set(1)
		m.reloadedAt.Set(float64(at.UnixMilli()) / 1e3)
	}
}

// Reloaded counts a reload and notes its outcome.
func (m *Metrics) Reloaded(ok bool, at time.Time) {
	m.reloads[ok].Inc()
	m.Started(ok, at)
}

// Sources are asked when the metrics are read. All are required.
type Sources struct {
	// Revision and Policies are those of the chain in force.
	Revision func() string
	Policies func() []plugins.PolicyStatus
	Engine   func() plugins.Stats
	Lists    func() []policylist.Status
	// DecisionsDropped are the decisions that the store has lost.
	DecisionsDropped func() int64
}

// Read adds what is read from s. It is called once.
func (m *Metrics) Read(s Sources) { m.registry.MustRegister(collector{s}) }

// collector reads the sources each time that it is collected, so that what is
// not there any more has no series.
type collector struct{ Sources }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var (
	descRevision   = desc("policies_info", "Always 1; the label is the revision of the chain in force.", "revision")
	descInstances  = desc("policy_instances", "Instances of a policy: busy with a knock or being made, or idle.", "policy", "state")
	descMost       = desc("policy_instances_max", "The most instances that a policy may have.", "policy")
	descResting    = desc("policy_resting", "1 while a policy is not asked because of too many faults, else 0.", "policy")
	descStarted    = desc("instances_started_total", "Instances that were made.")
	descDiscarded  = desc("instances_discarded_total", "Instances that were closed because of a fault.")
	descRecycled   = desc("instances_recycled_total", "Instances that were closed because of their age or memory.")
	descUnwatched  = desc("monitor_dropped_total", "Knocks that policies in monitor mode were not asked about, because too many waited.")
	descEntries    = desc("policy_list_entries", "Entries of a list.", "list")
	descModified   = desc("policy_list_modified_timestamp_seconds", "When the file of a list, as it was read, had been changed.", "list")
	descReadable   = desc("policy_list_read_success", "1 if the file of a list could be read the last time, else 0.", "list")
	descDropped    = desc("decisions_dropped_total", "Decisions that are in no store: its queue was full, or it failed.")
	descsOfSources = []*prometheus.Desc{
		descRevision, descInstances, descMost, descResting, descStarted, descDiscarded, descRecycled, descUnwatched,
		descEntries, descModified, descReadable, descDropped,
	}
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descsOfSources {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value))
	}
	gauge(descRevision, 1, c.Revision())
	for _, p := range c.Policies() {
		gauge(descInstances, float64(p.Busy), p.Name, "busy")
		gauge(descInstances, float64(p.Idle), p.Name, "idle")
		gauge(descMost, float64(p.MaxInstances), p.Name)
		gauge(descResting, number(p.Resting), p.Name)
	}
	stats := c.Engine()
	counter(descStarted, stats.Started)
	counter(descDiscarded, stats.Discarded)
	counter(descRecycled, stats.Recycled)
	counter(descUnwatched, stats.MonitorDropped)
	for _, l := range c.Lists() {
		gauge(descEntries, float64(l.Entries), l.Name)
		gauge(descModified, float64(l.Modified.UnixMilli())/1e3, l.Name)
		gauge(descReadable, number(!l.Stale), l.Name)
	}
	counter(descDropped, c.DecisionsDropped())
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
