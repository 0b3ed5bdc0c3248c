package main

import (
	"context"
	"log/slog"
	"runtime/debug"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/appservice"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/discovery"
	"github.com/knockgate/knockgate/host/internal/gateway"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/metrics"
	"github.com/knockgate/knockgate/host/internal/notices"
	"github.com/knockgate/knockgate/host/internal/permits"
	"github.com/knockgate/knockgate/host/internal/policykv"
	"github.com/knockgate/knockgate/host/internal/policylist"
	"github.com/knockgate/knockgate/host/internal/resident"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/host/internal/upstream"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// The seams between the packages, held at compile time.
var (
	_ gateway.Rooms     = (*resident.Local)(nil)
	_ gateway.Templates = (*resident.Local)(nil)
	_ gateway.Knocks    = (*resident.Local)(nil)
	_ gateway.Policies  = decider{}
	_ metrics.Recorder  = (*decisionlog.Log)(nil)
	_ gateway.Recorder  = metrics.Recorder(nil)
	_ gateway.Permits   = (*permits.Permits)(nil)
	_ gateway.Observer  = (*metrics.Metrics)(nil)
	_ gateway.Upstream  = (*upstream.Upstream)(nil)
	_ gateway.Outlines  = (*upstream.Rooms)(nil)
	_ gateway.Handed    = (*store.Store)(nil)
	_ appservice.Facts  = (*upstream.Rooms)(nil)
	_ appservice.Facts  = (*policylist.Lists)(nil)
	_ appservice.Store  = (*store.Store)(nil)
	_ appservice.Store  = noticedStore{}
	_ notices.Observer  = (*metrics.Metrics)(nil)
	_ decisionlog.Store = (*store.Store)(nil)
	_ serverkey.Cache   = (*store.Store)(nil)
	_ serverkey.Fetcher = (*discovery.Client)(nil)
	_ policykv.Store    = (*store.Store)(nil)
	_ plugins.KV        = (*policykv.KV)(nil)
	_ plugins.Lists     = (*policylist.Lists)(nil)
	_ policylist.Rooms  = (upstream.States)(nil)
	_ admin.Server      = (*control)(nil)
	_ admin.Policies    = (*control)(nil)
	_ admin.Decisions   = (*control)(nil)
	_ admin.Knocks      = (*control)(nil)
	_ plugins.KV        = keepsNothing{}
)

// decider asks whatever chain the gate holds at the moment of each decision.
type decider struct{ gate *plugins.Gate }

func (d decider) Decide(ctx context.Context, f *abi.Facts, out *plugins.Decision) {
	chain := d.gate.Acquire()
	defer chain.Release()
	chain.Evaluate(ctx, f, out)
}

// pinnedKeys are the keys that the configuration pins.
func pinnedKeys(f config.Federation) map[matrix.ServerName]map[matrix.KeyID]matrix.PublicKey {
	pinned := make(map[matrix.ServerName]map[matrix.KeyID]matrix.PublicKey, len(f.Pinned))
	for _, s := range f.Pinned {
		pinned[s.Server] = s.Keys
	}
	return pinned
}

// notaries are the notary servers of the configuration.
func notaries(f config.Federation) (list []serverkey.Notary) {
	for _, s := range f.Notaries {
		list = append(list, serverkey.Notary{Server: s.Server, Keys: s.Keys})
	}
	return list
}

// chainSpec turns the configured policies into what the engine loads.
func chainSpec(p config.Policies) plugins.ChainSpec {
	spec := plugins.ChainSpec{Default: verdict(p.Default)}
	for _, c := range p.Chain {
		policy := plugins.PolicySpec{
			Name: c.Name, Module: c.Module, Digest: c.Digest, Settings: c.Settings,
			OnError: verdict(c.OnError), Mode: plugins.Mode(c.Mode),
			Rooms: c.Rooms, Origins: c.Origins, Grants: c.Grants,
			Limits: plugins.Limits{Fuel: c.Fuel, Isolation: plugins.Isolation(c.Isolation)},
		}
		if len(p.Signers) > 0 {
			policy.Verify = func(path string, module []byte) error { return verifyModule(path, module, p.Signers) }
		}
		for _, word := range c.Phases {
			if phase, ok := plugins.ParsePhase(word); ok { // config has checked it
				policy.Phases = append(policy.Phases, phase)
			}
		}
		spec.Policies = append(spec.Policies, policy)
	}
	return spec
}

// verdict returns the verdict of a word that config has checked. Any other is
// the zero verdict, which the engine takes as deny.
func verdict(word string) abi.Verdict {
	v, _ := abi.ParseVerdict(word)
	return v
}

// release is the version of a release, which the linker sets (host/package).
var release string

// version returns what this binary was built from: a release, a module version,
// a commit, or "development".
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "development"
	}
	return info.Main.Version
}

// newLogger returns the program's log, on w.
func newLogger(l config.Log, w logWriter) *slog.Logger {
	options := &slog.HandlerOptions{Level: l.Level}
	if l.JSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
