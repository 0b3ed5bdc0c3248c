package main

import (
	"github.com/knockgate/knockgate/host/internal/metrics"
	"github.com/knockgate/knockgate/plugins"
)

// openMetrics has the metrics read what the components say of themselves.
func (s *system) openMetrics() {
	s.metrics.Started(s.fallback == "", s.now())
	s.metrics.Read(metrics.Sources{
		Revision: s.gate.Revision,
		Policies: func() []plugins.PolicyStatus {
			chain := s.gate.Acquire()
			defer chain.Release()
			return chain.Policies()
		},
		Engine:           s.engine.Stats,
		Lists:            s.lists.Status,
		DecisionsDropped: s.store.DecisionsDropped,
	})
}
