package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/metrics"
	"github.com/knockgate/knockgate/plugins"
)

// control is what the admin API and the pages show and change of a running server.
type control struct {
	*system
	ready     *admin.Readiness
	staged    *staged
	began     time.Time
	replaying chan struct{} // one slot for each at a time
	judging   chan struct{}

	mu sync.Mutex
	// failed is the digest of a configured chain that did not load at a time; both
	// guarded by mu.
	failed   string
	failedAt time.Time
	about    map[string]*plugins.Metadata // guarded by mu; by the module's digest, nil for none
}

func newControl(s *system, ready *admin.Readiness) *control {
	return &control{
		system: s, ready: ready, staged: newStaged(s.cfg.StateDir), began: s.now().UTC(),
		replaying: make(chan struct{}, 1), judging: make(chan struct{}, 2), about: map[string]*plugins.Metadata{},
	}
}

// Status implements [admin.Server].
func (c *control) Status(ctx context.Context) (*admin.Status, error) {
	chain := c.gate.Acquire()
	if chain == nil {
		return nil, errors.New("the server stops")
	}
	defer chain.Release()
	s := &admin.Status{
		Version: version(), ServerName: string(c.cfg.ServerName), Mode: "resident", Started: c.began,
		Revision: chain.Revision(), LastReload: c.lastReload.Load(), Policies: []admin.PolicyState{}, Checks: c.ready.Results(), Dropped: c.store.DecisionsDropped(),
	}
	if c.upstream != nil {
		s.Mode = "gateway"
	}
	active, err := c.revisions.Active()
	if err != nil {
		return nil, err
	}
	s.Previous = active.Previous
	if cfg, err := c.config(); err == nil {
		digest := configuredDigest(cfg.Policies)
		s.Held = active.HeldBy(digest)
		s.Configured = c.configured(ctx, cfg, digest)
	}
	spec, err := plugins.ParseManifest(chain.Manifest(), c.revisions.ModuleFile)
	if err != nil {
		return nil, err
	}
	s.Default = spec.Default.String()
	for i, p := range chain.Policies() {
		s.Policies = append(s.Policies, c.policyState(&p, &spec.Policies[i]))
	}
	if c.pushes != nil {
		if s.Undecided, err = c.store.UndecidedTotals(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// tryAgain is how long a configured chain that did not load is not tried again, if
// nothing of it has changed.
const tryAgain = 30 * time.Second

// configured returns the revision that the configured chain with a digest makes, ""
// where it does not load. Where it is not known it is loaded, beside the one in force.
func (c *control) configured(ctx context.Context, cfg *config.Config, digest string) string {
	if known := c.asConfigured.Load(); known != nil && known.digest == digest {
		return known.revision
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == digest && time.Since(c.failedAt) < tryAgain {
		return ""
	}
	revision, err := tryLoad(ctx, cfg, chainSpec(cfg.Policies))
	switch {
	case err == nil:
		c.asConfigured.Store(&configuredChain{digest, revision})
	case ctx.Err() == nil:
		c.failed, c.failedAt = digest, time.Now()
	}
	return revision
}

func (c *control) policyState(p *plugins.PolicyStatus, spec *plugins.PolicySpec) admin.PolicyState {
	s := admin.PolicyState{
		Name: p.Name, Module: p.Module, Revision: p.Revision, Mode: string(p.Mode), OnError: p.OnError.String(),
		Phases: []string{}, Rooms: orNone(spec.Rooms), Origins: orNone(spec.Origins), Grants: orNone(spec.Grants), Settings: spec.Settings,
		Resting: p.Resting, NextTry: p.NextTry, Busy: p.Busy, Idle: p.Idle, Most: p.MaxInstances, Memory: p.Memory,
	}
	if !s.Resting {
		s.NextTry = time.Time{}
	}
	for _, phase := range spec.Phases {
		s.Phases = append(s.Phases, phase.String())
	}
	if m := c.metadata(p.Module, spec.Module); m != nil {
		s.Title, s.Version, s.Description = m.Name, m.Version, m.Description
	}
	counts := c.metrics.Policy(p.Name, p.Mode)
	s.Verdicts, s.Faults = counts.Verdicts, counts.Faults
	s.Fuel, s.Micros = histogram(counts.Fuel, 1), histogram(counts.Seconds, 1e6)
	return s
}

// metadata returns what the module with a digest says of itself, nil for nothing.
func (c *control) metadata(digest, path string) *plugins.Metadata {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, ok := c.about[digest]
	if ok {
		return m
	}
	text, err := readWhole(path, plugins.MaxModule)
	if err != nil || sha256Hex(text) != digest {
		return nil // not kept
	}
	m, _ = plugins.ReadMetadata(text) // it was loaded
	if len(c.about) >= 4*plugins.MaxPolicies {
		clear(c.about)
	}
	c.about[digest] = m
	return m
}

func histogram(h metrics.Histogram, scale float64) admin.Histogram {
	out := admin.Histogram{Bounds: make([]float64, len(h.Bounds)), Counts: h.Counts}
	if out.Counts == nil {
		out.Counts = []int64{}
	}
	for i, bound := range h.Bounds {
		out.Bounds[i] = bound * scale
	}
	return out
}

func orNone(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// take takes a slot, or fails with the words of what is under way. free gives it back.
func take(slots chan struct{}, what string) (free func(), err error) {
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	default:
		return nil, fmt.Errorf("%w: %s is under way: try again when it is through", admin.ErrConflict, what)
	}
}
