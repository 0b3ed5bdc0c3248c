package main

import (
	"context"
	"time"
)

// retentionEvery is how often decisions that are too old or too many are deleted.
const retentionEvery = time.Hour

// retain keeps to what [decisions] says of age and number, at once and then every
// hour, until ctx is done.
func (s *system) retain(ctx context.Context) error {
	every := time.NewTicker(retentionEvery)
	defer every.Stop()
	for {
		s.prune(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// prune deletes what is too old or too much. That it cannot is no reason to stop:
// the next hour tries again.
func (s *system) prune(ctx context.Context) {
	d := s.cfg.Decisions
	var before time.Time
	if d.MaxAge > 0 {
		before = s.now().Add(-d.MaxAge)
	}
	deleted, err := s.store.Prune(ctx, before, d.MaxCount)
	if deleted > 0 {
		s.log.Info("old decisions deleted", "number", deleted)
	}
	if err == nil {
		err = s.store.PruneCounts(ctx, s.now(), before)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("old decisions are not deleted", "err", err)
	}
}
