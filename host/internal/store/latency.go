package store

import (
	"slices"
	"time"
)

// LatencyBounds returns the upper bounds of what [Latencies] counts, but for the last
// of them, which has none.
func LatencyBounds() []time.Duration { return slices.Clone(latencyBounds[:]) }
