package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/knockgate/knockgate/plugins"
)

// PolicyCounts is what has been counted of a policy in force since it came, or since
// its mode changed.
type PolicyCounts struct {
	// Verdicts are those with which it decided or, in monitor mode, would have; those
	// of both phases together.
	Verdicts map[string]int64
	Faults   map[string]int64 // by class, without those that there were none of
	Seconds  Histogram
	Fuel     Histogram
}

// Histogram counts values up to each bound; the last count has no bound.
type Histogram struct {
	Bounds []float64
	Counts []int64 // one more than Bounds
}

// Policy returns the counts of a policy; nothing of one that is not in force.
func (m *Metrics) Policy(name string, mode plugins.Mode) PolicyCounts {
	c := PolicyCounts{Verdicts: map[string]int64{}, Faults: map[string]int64{}}
	s := (*m.series.Load())[policyMode{name, mode}]
	if s == nil {
		return c
	}
	for _, phase := range phases {
		for _, v := range verdicts[mode] {
			c.Verdicts[v.String()] += counted(s.decisions[phase][v])
		}
	}
	for class, faults := range s.faults {
		if n := counted(faults); n > 0 {
			c.Faults[string(class)] = n
		}
	}
	c.Seconds, c.Fuel = histogramOf(s.seconds), histogramOf(s.fuel)
	return c
}

func counted(c prometheus.Counter) int64 {
	var out dto.Metric
	if c == nil || c.Write(&out) != nil {
		return 0
	}
	return int64(out.GetCounter().GetValue())
}

// histogramOf returns the counts of a histogram's series.
func histogramOf(o prometheus.Observer) (h Histogram) {
	series, ok := o.(prometheus.Metric)
	var out dto.Metric
	if !ok || series.Write(&out) != nil {
		return h
	}
	before := int64(0)
	for _, b := range out.GetHistogram().GetBucket() {
		h.Bounds = append(h.Bounds, b.GetUpperBound())
		h.Counts = append(h.Counts, int64(b.GetCumulativeCount())-before)
		before = int64(b.GetCumulativeCount())
	}
	h.Counts = append(h.Counts, int64(out.GetHistogram().GetSampleCount())-before)
	return h
}
