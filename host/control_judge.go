package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/rejudge"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// maxChanged is how many decisions that come out otherwise a replay names.
const maxChanged = 200

// aside loads what a change makes of the chain in force, or that itself, into an
// engine of its own: what is judged there takes no instance from a knock, and brings
// no policy to rest. A policy that the change adds, replaces or has in another mode is
// enforced, as one wants to know what it would do. end takes it down.
func (c *control) aside(ctx context.Context, change *admin.Change, o plugins.EngineOptions) (chain *plugins.Chain, end func() error, err error) {
	running := c.gate.Acquire()
	defer running.Release()
	var spec plugins.ChainSpec
	if change == nil {
		spec, err = plugins.ParseManifest(running.Manifest(), c.revisions.ModuleFile)
	} else {
		var cfg *config.Config
		if cfg, err = c.config(); err == nil {
			spec, _, err = c.changed(cfg, running, change)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	for i := range spec.Policies {
		p := &spec.Policies[i]
		restless(p)
		if change != nil && p.Name == change.Policy {
			p.Mode = plugins.Enforce
		}
	}
	o.Compiler = childCompiler()
	engine, err := engineAside(c.cfg, o)
	if err != nil {
		return nil, nil, err
	}
	closeEngine := func() error { return engine.Close(context.WithoutCancel(ctx)) }
	if chain, err = engine.Load(ctx, spec, nil); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%w: %w", admin.ErrInvalid, err), closeEngine())
	}
	gate := plugins.NewGate(chain) // which waits for the policies in monitor mode
	return chain, func() error {
		return errors.Join(gate.Close(context.WithoutCancel(ctx)), closeEngine())
	}, nil
}

// Judge implements [admin.Policies]. Policies find what those in force remember and
// what the lists hold; what they write is forgotten.
func (c *control) Judge(ctx context.Context, facts, event json.RawMessage, change *admin.Change) (j *admin.Judged, err error) {
	free, err := take(c.judging, "another judgement")
	if err != nil {
		return nil, err
	}
	defer free()
	f, err := madeUpFacts(facts, event)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	var mu sync.Mutex
	var watched []admin.Step // guarded by mu
	chain, end, err := c.aside(ctx, change, plugins.EngineOptions{
		KV: plugins.NewOverlay(c.kv), Lists: c.lists, Record: true,
		Monitored: func(r *plugins.MonitorResult) {
			mu.Lock()
			defer mu.Unlock()
			watched = append(watched, admin.Step{
				Policy: r.Policy, Mode: string(plugins.Monitor), Verdict: r.Verdict.String(), Fault: string(r.Fault.Class),
				Note: r.Note, Code: r.Code, Fuel: r.Fuel, Micros: r.Took.Microseconds(), Calls: []string{},
			})
		},
	})
	if err != nil {
		return nil, err
	}
	var d plugins.Decision
	chain.Evaluate(ctx, f, &d)
	j = &admin.Judged{
		Verdict: d.Verdict.String(), Policy: d.Policy, Message: d.Message, Note: d.Note, Code: d.Code, Fault: string(d.Fault.Class), Fuel: d.Fuel,
	}
	j.Steps, err = stepsOf(d.Steps)
	d.Answered() // the others are asked now
	if err = errors.Join(err, end()); err != nil {
		return nil, err
	}
	j.Steps = append(j.Steps, watched...) // nobody adds to them any more
	return j, nil
}

// madeUpFacts reads facts that a person wrote. What is missing is absent; what no
// policy would be told of such a knock is refused.
func madeUpFacts(facts, event json.RawMessage) (*abi.Facts, error) {
	if event != nil {
		if text := bytes.TrimSpace(event); len(text) == 0 || string(text) == "null" {
			event = nil
		}
	}
	f, err := plugins.DecodeFacts(facts, event)
	if err != nil {
		return nil, err
	}
	var given, told map[string]any
	if err := json.Unmarshal(facts, &given); err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	if err := json.Unmarshal(abi.AppendJSON(nil, f), &told); err != nil {
		return nil, err
	}
	if name := untold(given, told); name != "" {
		return nil, fmt.Errorf("facts: %q: no policy is told this of a %s, or of a room that is not known", name, f.Phase)
	}
	return f, nil
}

// untold returns the path of a key that is given and not told, "" if there is none.
func untold(given, told map[string]any) string {
	for key, value := range given {
		is, ok := told[key]
		if !ok && value != nil {
			return key
		}
		inner, object := value.(map[string]any)
		if toldInner, ok := is.(map[string]any); object && ok {
			if name := untold(inner, toldInner); name != "" {
				return key + "." + name
			}
		}
	}
	return ""
}

// Rejudge implements [admin.Policies].
func (c *control) Rejudge(ctx context.Context, change admin.Change, since time.Time, done func(done, all int64)) (_ *admin.Rejudged, err error) {
	free, err := take(c.replaying, "another replay")
	if err != nil {
		return nil, err
	}
	defer free()
	chain, end, err := c.aside(ctx, &change, plugins.EngineOptions{KV: keepsNothing{}, Lists: c.lists})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	total, err := c.store.CountDecisions(ctx, since)
	if err != nil {
		return nil, err
	}
	var through atomic.Int64
	stop := tell(&through, total, done)
	s, err := rejudge.RunNewest(ctx, chain, func(ctx context.Context, each func(store.Decision) error) error {
		return c.store.EachDecision(ctx, since, each)
	}, &through, maxChanged)
	stop()
	if err != nil {
		return nil, err
	}
	r := &admin.Rejudged{Decisions: s.Decisions, Same: s.Same, NoFacts: s.NoFacts, Others: s.Others, Verdicts: s.Verdicts, Changes: []admin.Changed{}}
	for _, x := range slices.Backward(s.Changes) {
		r.Changes = append(r.Changes, admin.Changed{
			RequestID: x.RequestID, At: x.At, Phase: x.Phase, Room: x.Room, User: x.User, Was: x.Was, Is: x.Is, IsBy: x.IsBy, Message: x.Message,
		})
	}
	return r, nil
}

// tellEvery is how often tell says how far it is.
const tellEvery = 500 * time.Millisecond

// tell calls done with how many are through, now and then, until stop is called.
func tell(through *atomic.Int64, all int64, done func(done, all int64)) (stop func()) {
	if done == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		every := time.NewTicker(tellEvery)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				done(through.Load(), all)
			case <-end:
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}

// keepsNothing is a [plugins.KV] that forgets what it is told, so that many decisions
// are judged each by itself.
type keepsNothing struct{}

// Get implements [plugins.KV].
func (keepsNothing) Get(_ string, _ []byte, _ int64, dst []byte) ([]byte, bool) { return dst, false }

// Put implements [plugins.KV].
func (keepsNothing) Put(string, []byte, []byte, int64, int64) bool { return true }

// Incr implements [plugins.KV].
func (keepsNothing) Incr(_ string, _ []byte, delta, _, _ int64) int64 { return max(0, delta) }
