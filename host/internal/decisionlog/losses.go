package decisionlog

import (
	"sync"
	"time"
)

// lossEvery is how often the log says that decisions are not stored, while that lasts.
const lossEvery = time.Minute

// losses counts decisions that no store has.
type losses struct {
	mu    sync.Mutex
	since int64     // guarded by mu; lost since the store last took writes
	said  time.Time // guarded by mu; when the log last said so
}

// Lost notes that the store has lost n decisions, whose lines in the log are then the
// only record, and why. The first is said at once, and then their number once a minute.
func (l *Log) Lost(n int, why string) {
	l.losses.mu.Lock()
	defer l.losses.mu.Unlock()
	l.losses.since += int64(n)
	now := l.now()
	if !l.losses.said.IsZero() && now.Sub(l.losses.said) < lossEvery {
		return
	}
	l.losses.said = now
	l.log.Error("decisions are not stored; their lines in the log are the only record", "number", l.losses.since, "err", why)
}

// Stored notes that the store has stored decisions, and says so once after a loss.
func (l *Log) Stored() {
	l.losses.mu.Lock()
	defer l.losses.mu.Unlock()
	if l.losses.since == 0 {
		return
	}
	l.log.Warn("decisions are stored again", "not_stored", l.losses.since)
	l.losses.since, l.losses.said = 0, time.Time{}
}
