package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/policykv"
	"github.com/knockgate/knockgate/host/internal/policylist"
	"github.com/knockgate/knockgate/host/internal/revisions"
	"github.com/knockgate/knockgate/plugins"
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Make and test policies, see which are in force, go back to the ones before",
	}
	cmd.AddCommand(newPolicyStatus(), newPolicyRollback(), newPolicyInspect(), newPolicyAnnotate(), newPolicyKey(), newPolicySign(), newPolicyVerify(),
		newPolicyNew(), newPolicyBuild(), newPolicyTest(), newPolicyBench(), newPolicyDev())
	return cmd
}

func newPolicyStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print the current and the previous revision, and what the configuration would load now",
		Long: `Prints the revision of the policies that was last put in force, the one before
it, and the one that the configuration makes now, which it loads to find out.

Exit codes: 0 printed and the configuration loads, 1 anything else.`,
		Example: "  knockgate policy status",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, revs, active, err := activeRevisions(*path)
		if err != nil {
			return err
		}
		configured, loadErr := tryLoad(cmd.Context(), cfg, chainSpec(cfg.Policies))
		tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
		row := func(name, revision string) {
			since := "none yet"
			if revision != "" {
				since = "not kept"
				if at, err := revs.Time(revision); err == nil {
					since = "kept since " + at.Local().Format(time.DateTime)
				}
			}
			if name == "current" {
				since += heldWords(active.HeldBy(configuredDigest(cfg.Policies)))
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\n", name, revision, since)
		}
		row("current", active.Current)
		row("previous", active.Previous)
		switch {
		case loadErr != nil:
			fmt.Fprintf(tw, "configured\t\tdoes not load\n")
		case configured == active.Current:
			fmt.Fprintf(tw, "configured\t%s\tthe current one\n", configured)
		default:
			fmt.Fprintf(tw, "configured\t%s\tloads\n", configured)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		if loadErr != nil {
			return fmt.Errorf("%s: %w", cfg.Path, loadErr)
		}
		return nil
	}
	return cmd
}

// heldWords says what holds a revision against the configuration, if anything does.
func heldWords(by string) string {
	switch by {
	case revisions.RolledBack:
		return ", by a rollback that holds until the configuration or a module changes"
	case revisions.Changed:
		return ", held by a change through the admin API until the configuration or a module changes"
	}
	return ""
}

func newPolicyRollback() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Put the previous revision of the policies in force",
		Long: `Makes the previous revision the current one, from what the state folder keeps of
it, if it still loads. It stays in force, also over a restart, until the
configured policies or one of their modules change. A second rollback undoes the
first.

A running server takes it up by itself; with policies.watch = false, or where it
does not, send it SIGHUP.

Exit codes: 0 done, 1 anything else.`,
		Example: "  knockgate policy rollback",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, revs, active, err := activeRevisions(*path)
		if err != nil {
			return err
		}
		if active.Previous == "" {
			return fmt.Errorf("%s: no previous revision is kept: the policies have not changed since the first start", cfg.StateDir)
		}
		spec, err := revs.Spec(active.Previous)
		if err == nil {
			_, err = tryLoad(cmd.Context(), cfg, spec)
		}
		if err != nil {
			return fmt.Errorf("the previous revision %.12s: %w", active.Previous, err)
		}
		err = revs.SetActive(revisions.Active{
			Current: active.Previous, Previous: active.Current, RolledBack: configuredDigest(cfg.Policies),
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "current   %s\nprevious  %s\n", active.Previous, active.Current)
		if !cfg.Policies.Watch {
			fmt.Fprintln(cmd.OutOrStdout(), "policies.watch is false: send the server SIGHUP, and it takes this up")
		}
		return nil
	}
	return cmd
}

// tryLoad loads a chain beside the server and returns its revision.
func tryLoad(ctx context.Context, cfg *config.Config, spec plugins.ChainSpec) (revision string, err error) {
	chain, end, err := loadAside(ctx, cfg, spec)
	if err != nil {
		return "", err
	}
	revision = chain.Revision()
	return revision, end()
}

// loadAside loads a chain for a command that looks: its policies have what they
// may be granted, with nothing in the key-value store and the configured lists.
// end takes the chain down.
func loadAside(ctx context.Context, cfg *config.Config, spec plugins.ChainSpec) (_ *plugins.Chain, end func() error, err error) {
	lists, err := policylist.Open(ctx, policylist.Options{Lists: cfg.Lists, Dir: listDir(cfg), Offline: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	engine, err := engineAside(cfg, plugins.EngineOptions{KV: &policykv.KV{}, Lists: lists, Compiler: childCompiler()})
	if err != nil {
		return nil, nil, err
	}
	closeEngine := func() error { return engine.Close(context.WithoutCancel(ctx)) }
	chain, err := engine.Load(ctx, spec, nil)
	if err != nil {
		return nil, nil, errors.Join(err, closeEngine())
	}
	return chain, func() error {
		chain.Release()
		return closeEngine()
	}, nil
}

// engineAside returns an engine that shares the server's compiled modules if they
// are there and ours to use, and else has a temporary folder: a command that
// looks must not make one that the server is then refused.
func engineAside(cfg *config.Config, o plugins.EngineOptions) (*plugins.Engine, error) {
	dir := filepath.Join(cfg.StateDir, compiledDir)
	if _, err := os.Stat(dir); err == nil {
		o.CacheDir = dir
		if engine, err := plugins.NewEngine(o); err == nil {
			return engine, nil
		}
		o.CacheDir = ""
	}
	return plugins.NewEngine(o)
}

// activeRevisions reads the configuration and what the state folder that it
// names says is in force.
func activeRevisions(path string) (cfg *config.Config, revs *revisions.Store, active revisions.Active, err error) {
	if cfg, err = config.Load(path); err != nil {
		return nil, nil, active, err
	}
	revs = revisions.Open(cfg.StateDir)
	active, err = revs.Active()
	return cfg, revs, active, err
}

// configuredDigest identifies the configured chain, whether it loads or not:
// the SHA-256 of what the configuration says of it, with its modules' digests.
func configuredDigest(p config.Policies) string {
	modules := make([]string, len(p.Chain))
	for i, c := range p.Chain {
		modules[i] = "unreadable"
		if info, err := os.Stat(c.Module); err != nil || !info.Mode().IsRegular() || info.Size() > plugins.MaxModule {
			continue
		}
		if text, err := os.ReadFile(c.Module); err == nil {
			modules[i] = sha256Hex(text)
		}
	}
	// What is here has no value that JSON cannot hold.
	text, _ := json.Marshal(struct {
		Default string
		Chain   []config.Policy
		Modules []string
	}{p.Default, p.Chain, modules})
	return sha256Hex(text)
}

// loaded is a chain with where it came from.
type loaded struct {
	chain      *plugins.Chain
	spec       plugins.ChainSpec
	configured string // the configuredDigest it was loaded under
	// held is what holds it against the configured chain, "" for nothing.
	held string
	// instead is set if it stands in for what does not load.
	instead bool
}

// load loads the chain that is to be in force: the configured one, or the one
// that a rollback or a change holds if the configured one has not changed since.
func (s *system) load(ctx context.Context, cfg *config.Config, running *plugins.Chain) (l loaded, err error) {
	l.configured = configuredDigest(cfg.Policies)
	active, err := s.revisions.Active()
	if err != nil {
		s.log.Error("no rollback is known of", "err", err)
	}
	if l.held = active.HeldBy(l.configured); l.held != "" {
		if l.chain, l.spec, err = s.loadRevision(ctx, active.Current, running); err != nil {
			return l, fmt.Errorf("the revision %.12s, held by a %s: %w", active.Current, l.held, err)
		}
		return l, nil
	}
	l.spec = chainSpec(cfg.Policies)
	if l.chain, err = s.engine.Load(ctx, l.spec, running); err != nil {
		return l, fmt.Errorf("%s: %w", cfg.Path, err)
	}
	return l, nil
}

func (s *system) loadRevision(ctx context.Context, revision string, running *plugins.Chain) (*plugins.Chain, plugins.ChainSpec, error) {
	spec, err := s.revisions.Spec(revision)
	if err != nil {
		return nil, spec, err
	}
	chain, err := s.engine.Load(ctx, spec, running)
	return chain, spec, err
}

// fallBack loads what runs instead of policies that do not load at a start:
// the last that were in force, else, where the configuration says so, none but
// the chain's default. If there is nothing it returns the cause.
func (s *system) fallBack(ctx context.Context, cause error) (l loaded, err error) {
	if ctx.Err() != nil {
		return l, cause
	}
	l.instead = true
	active, err := s.revisions.Active()
	errs := []error{cause, err}
	for _, revision := range [...]string{active.Current, active.Previous} {
		if revision == "" {
			continue
		}
		if l.chain, l.spec, err = s.loadRevision(ctx, revision, nil); err == nil {
			s.sayFallBack(cause, fmt.Sprintf("revision %s, the last that was in force and loads", revision))
			return l, nil
		}
		errs = append(errs, fmt.Errorf("last known good %.12s: %w", revision, err))
	}
	cause = errors.Join(errs...)
	if s.cfg.Policies.OnBadStart != "default" {
		return l, cause
	}
	l.spec = plugins.ChainSpec{Default: verdict(s.cfg.Policies.Default)}
	if l.chain, err = s.engine.Load(ctx, l.spec, nil); err != nil {
		return l, errors.Join(cause, err)
	}
	s.without = l.chain.Revision()
	s.sayFallBack(cause, fmt.Sprintf("no policy: every knock is answered %s, as policies.default says", s.cfg.Policies.Default))
	return l, nil
}

func (s *system) sayFallBack(cause error, instead string) {
	s.fallback = fmt.Sprintf("THE CONFIGURED POLICIES DO NOT LOAD: %v; what runs instead is %s", cause, instead)
	s.log.Error("the configured policies do not load", "err", cause, "instead", instead)
}

// configuredChain is the revision that the configured chain with a digest makes.
type configuredChain struct{ digest, revision string }

// heldBy says what holds the chain in force against the configuration, "" for nothing.
func (s *system) heldBy() string {
	by, _ := s.held.Load().(string)
	return by
}

// loaded notes where a chain came from that is put in force.
func (s *system) loaded(l loaded) {
	s.held.Store(l.held)
	if l.held == "" && !l.instead {
		s.asConfigured.Store(&configuredChain{l.configured, l.chain.Revision()})
	}
}

// keep notes a chain that has been put in force, for a later start and for a
// rollback. That it cannot be is no reason to stop.
func (s *system) keep(l loaded) {
	var err error
	switch {
	case l.instead:
	case l.held != "":
		err = s.revisions.Renamed(l.chain, l.spec)
	default:
		err = s.revisions.Activate(l.chain, l.spec, l.configured)
	}
	if err != nil {
		s.log.Error("the policies in force are not kept: a start that fails and a rollback will not find them", "revision", l.chain.Revision(), "err", err)
	}
}
