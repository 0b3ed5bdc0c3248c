package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/notices"
	"github.com/knockgate/knockgate/plugins"
)

// watch reloads the policies on hup and, unless the configuration says not to,
// when the configuration or a module changes. It returns when ctx is done.
func (s *system) watch(ctx context.Context, hup <-chan os.Signal) error {
	// One slot: a change during a reload leads to one more reload.
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	paths := s.watched(s.cfg)
	stop := s.startWatching(ctx, paths, poke)
	defer func() { stop() }()
	for {
		var ended chan<- admin.Reloaded // of who asked for it; nil: nobody waits
		why, tell := "SIGHUP", notifier{s.log}.ready
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			notifier{s.log}.reloading()
		case ended = <-s.reloads:
			why = "admin API"
			notifier{s.log}.reloading()
			if !s.cfg.Policies.Watch {
				s.lists.Reload()
			}
		case <-changed:
			why, tell = "a file changed", notifier{s.log}.running
		}
		cfg, status := s.reload(ctx, why)
		tell(status)
		if ended != nil {
			ended <- *s.lastReload.Load()
		}
		if cfg != nil && !slices.Equal(paths, s.watched(cfg)) {
			stop()
			paths = s.watched(cfg)
			stop = s.startWatching(ctx, paths, poke)
		}
	}
}

// watchLists keeps lists up to date: it fetches those with a URL, and reads files
// again when they change, or on SIGHUP alone if the configuration says not to watch.
// It returns when ctx is done.
func (s *system) watchLists(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.lists.Watch(ctx, s.cfg.Policies.Watch) })
	if !s.cfg.Policies.Watch {
		group.Go(func() error {
			s.reloadListsOnHup(ctx)
			return nil
		})
	}
	return group.Wait()
}

func (s *system) reloadListsOnHup(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			s.lists.Reload()
		}
	}
}

// startWatching starts the file watcher, which calls changed. stop ends it and
// waits for it.
func (s *system) startWatching(ctx context.Context, paths []string, changed func()) (stop func()) {
	if !s.cfg.Policies.Watch {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := plugins.Watch(ctx, paths, changed); err != nil {
			s.log.Error("file watcher stopped; SIGHUP still reloads", "err", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// watched returns the files that make the chain: the configuration, each module,
// and what a rollback changes.
func (s *system) watched(cfg *config.Config) []string {
	paths := []string{cfg.Path, s.revisions.ActiveFile()}
	for _, p := range cfg.Policies.Chain {
		if slices.Contains(paths, p.Module) {
			continue
		}
		paths = append(paths, p.Module)
		if len(cfg.Policies.Signers) > 0 {
			paths = append(paths, p.Module+signatureSuffix)
		}
	}
	return paths
}

// reload loads the policies anew and swaps the chain. Any fault leaves the
// running chain as it is and says why. It returns the configuration it has
// read, nil if that is faulty, and a line for people on how it ended.
func (s *system) reload(ctx context.Context, why string) (cfg *config.Config, status string) {
	s.changing.Lock()
	defer s.changing.Unlock()
	well := false
	defer func() {
		s.lastReload.Store(&admin.Reloaded{At: s.now().UTC(), OK: well, Text: status})
	}()
	if s.keys != nil {
		s.keys.Keys() // read again if they have changed
	}
	cfg, err := config.Load(s.cfg.Path)
	if err == nil {
		err = s.swap(ctx, cfg, why)
	}
	well = err == nil
	s.metrics.Reloaded(well, s.now())
	if err != nil {
		s.notices.Note(notices.Item{Kind: notices.Reload, Detail: oneLine(err)})
		s.log.Error("reload failed; the running policies stay", "why", why, "revision", s.gate.Revision(), "err", err)
		return cfg, fmt.Sprintf("reload failed; the policies before stay: %v", err)
	}
	return cfg, s.status()
}

func (s *system) swap(ctx context.Context, cfg *config.Config, why string) error {
	if keys := needRestart(s.cfg, cfg); len(keys) > 0 {
		s.log.Warn("these changes take effect at the next start", "keys", keys)
	}
	running := s.gate.Acquire()
	defer running.Release()
	l, err := s.load(ctx, cfg, running)
	if err != nil {
		return err
	}
	s.putInForce(l, running, why)
	return nil
}

// putInForce swaps in a chain and keeps it. The caller holds s.changing and a reference
// to the running chain.
func (s *system) putInForce(l loaded, running *plugins.Chain, why string) {
	revision := l.chain.Revision()
	s.loaded(l)
	if revision == running.Revision() {
		s.keep(l) // what held it may be over, or a fallback good again
		l.chain.Release()
		s.log.Debug("reload: nothing that can change a decision has changed", "why", why)
		return
	}
	s.warnMonitored(l.chain)
	s.metrics.Use(l.chain.Policies())
	s.gate.Swap(l.chain)
	s.log.Info("policies swapped", "why", why, "revision", revision, "was", running.Revision(), "held", l.held)
	s.keep(l)
}

// needRestart names the tables that differ and that a reload does not apply.
func needRestart(was, is *config.Config) (keys []string) {
	compare := func(key string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			keys = append(keys, key)
		}
	}
	compare("server_name", was.ServerName, is.ServerName)
	compare("state_dir", was.StateDir, is.StateDir)
	compare("listen", was.Listen, is.Listen)
	compare("admin", was.Admin, is.Admin)
	compare("federation", was.Federation, is.Federation)
	compare("log", was.Log, is.Log)
	compare("upstream", was.Upstream, is.Upstream)
	compare("room", was.Rooms, is.Rooms)
	compare("list", was.Lists, is.Lists)
	compare("decisions", was.Decisions, is.Decisions)
	compare("notices", was.Notices, is.Notices)
	compare("policies.watch", was.Policies.Watch, is.Policies.Watch)
	return keys
}
