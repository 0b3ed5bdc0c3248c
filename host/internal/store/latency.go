package store

import (
	"slices"
	"time"
)

// latencyBounds are the upper bounds of [Latencies], but for the last, which has none.
var latencyBounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second,
}

// Latencies counts decisions by how long they took: up to 0.5, 1, 2, 5, 10, 20, 50, 100, 200
// and 500 milliseconds, 1 and 5 seconds, and more.
type Latencies [len(latencyBounds) + 1]int64

// Add adds those of another count.
func (l *Latencies) Add(other Latencies) {
	for i, n := range other {
		l[i] += n
	}
}

func (l *Latencies) note(took time.Duration) {
	i := 0
	for i < len(latencyBounds) && took.Truncate(time.Microsecond) > latencyBounds[i] {
		i++
	}
	l[i]++
}

// Quantile returns a time that a share q of the decisions did not exceed: the upper
// bound of the range that it falls into. It is false where there is no decision, or
// where it is beyond the last bound, 5 seconds, which is returned then.
func (l Latencies) Quantile(q float64) (time.Duration, bool) {
	var all, seen int64
	for _, n := range l {
		all += n
	}
	if all == 0 {
		return 0, false
	}
	for i, bound := range latencyBounds {
		if seen += l[i]; float64(seen) >= q*float64(all) {
			return bound, true
		}
	}
	return latencyBounds[len(latencyBounds)-1], false
}

// LatencyBounds returns the upper bounds of what [Latencies] counts, but for the last
// of them, which has none.
func LatencyBounds() []time.Duration { return slices.Clone(latencyBounds[:]) }
