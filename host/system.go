package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/certificate"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/discovery"
	"github.com/knockgate/knockgate/host/internal/doctor"
	"github.com/knockgate/knockgate/host/internal/gateway"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/metrics"
	"github.com/knockgate/knockgate/host/internal/notices"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/permits"
	"github.com/knockgate/knockgate/host/internal/policykv"
	"github.com/knockgate/knockgate/host/internal/policylist"
	"github.com/knockgate/knockgate/host/internal/resident"
	"github.com/knockgate/knockgate/host/internal/revisions"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/host/internal/upstream"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
	"github.com/knockgate/knockgate/plugins"
)

// storeFile is what the state folder holds beside the keys and the certificate.
const storeFile = "knockgate.db"

// listDir is where the state folder keeps copies of lists that are fetched.
func listDir(cfg *config.Config) string { return filepath.Join(cfg.StateDir, "lists") }

// system is a running server, resident or a gateway: every component, wired. It is made by
// openSystem, run by Run and taken down by Close, and the tests use the same.
type system struct {
	cfg       *config.Config
	log       *slog.Logger
	now       func() time.Time
	listener  net.Listener
	drain     time.Duration // drainTime; a test's own
	kv        *policykv.KV
	lists     *policylist.Lists
	engine    *plugins.Engine
	gate      *plugins.Gate
	revisions *revisions.Store
	keys      *serverkey.Own // nil in gateway mode
	store     *store.Store
	permits   *permits.Permits
	notices   *notices.Notices   // nil where nobody is told
	rooms     *resident.Local    // nil in gateway mode
	upstream  *upstream.Upstream // nil in resident mode
	front     *gateway.Front     // nil in resident mode
	pushes    *pushes            // nil where this is no application service
	client    *discovery.Client
	ring      *serverkey.Ring
	recorder  *decisionlog.Log
	metrics   *metrics.Metrics
	server    *http.Server
	// adminListener and admin are the administrator's; nil without admin.listen.
	adminListener net.Listener
	admin         *http.Server

	// changing is held while the policies in force are changed: by a reload or through
	// the admin API.
	changing sync.Mutex
	// held is the string that says what holds them against the configuration; heldBy
	// reads it.
	held atomic.Value
	// asConfigured is the last configured chain that was loaded; nil: none yet.
	asConfigured atomic.Pointer[configuredChain]
	// lastReload is how the last ended; nil: there was none. reloads asks for one, and
	// its end.
	lastReload atomic.Pointer[admin.Reloaded]
	reloads    chan chan<- admin.Reloaded

	// fallback says what runs instead of configured policies that do not load;
	// "" where they did.
	fallback string
	// without is the revision of the chain without policies that on_bad_start put in
	// force; "" for none.
	without string
	// made lists what this start made in the state folder, and madeFolder says
	// that it made the folder.
	made       []string
	madeFolder bool
	// lobby are the configured rooms, in the order of the configuration.
	lobby []resident.Summary
}

// openSystem makes all components in the order in which a fault leaves the
// least behind: the port, the state folder with nothing but compiled modules, the
// policies, then what the state folder holds. On failure it takes down what it
// made, and removes the folder if that is new.
//
// listener is where to listen; nil: where the configuration says. now is the
// clock of everything that peers can see; certificates go by the real time.
func openSystem(ctx context.Context, cfg *config.Config, listener net.Listener, now func() time.Time, log *slog.Logger) (_ *system, err error) {
	s := &system{cfg: cfg, log: log, listener: listener, now: now, drain: drainTime, metrics: metrics.New(version()), reloads: make(chan chan<- admin.Reloaded)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			if s.madeFolder {
				os.RemoveAll(cfg.StateDir)
			}
		}
	}()
	if err := s.openNotices(); err != nil {
		return nil, err
	}
	if err := s.openListeners(); err != nil {
		return nil, err
	}
	if err := s.openPushes(); err != nil {
		return nil, err
	}
	if err := s.openFolder(); err != nil {
		return nil, err
	}
	if s.cfg.Upstream != nil {
		if err := s.openUpstream(); err != nil { // which lists may be fetched from
			return nil, err
		}
	}
	l, err := s.openPolicies(ctx)
	if err != nil {
		return nil, err
	}
	cert, err := s.openState(ctx)
	if err != nil {
		return nil, err
	}
	s.keep(l)
	if s.cfg.Upstream != nil {
		err = s.startAppservice(ctx)
	} else {
		err = s.openRooms(ctx)
	}
	if err != nil {
		return nil, err
	}
	s.openGateway(cert)
	s.openMetrics()
	if err := s.openAdmin(); err != nil {
		return nil, err
	}
	return s, nil
}

// openFolder makes the state folder, which the policies' compiled modules are
// the first to need, and sees to it that files can be made there.
func (s *system) openFolder() error {
	dir := s.cfg.StateDir
	_, err := os.Stat(dir)
	s.madeFolder = errors.Is(err, os.ErrNotExist)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("%s: state_dir: %w", s.cfg.Path, err)
	}
	probe, err := os.CreateTemp(dir, ".writable-")
	if err != nil {
		return fmt.Errorf("%s: state_dir: the folder %s must be writable for this user: %w; give it to the user, or name another folder", s.cfg.Path, dir, errors.Unwrap(err))
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("%s: state_dir: %w", s.cfg.Path, err)
	}
	return nil
}

// openPolicies loads the policies. It writes nothing but compiled modules: what
// is in force is kept once all else is there.
func (s *system) openPolicies(ctx context.Context) (l loaded, err error) {
	if s.lists, err = policylist.Open(ctx, policylist.Options{Lists: s.cfg.Lists, Rooms: s.listRooms(), Dir: listDir(s.cfg), Log: s.log}); err != nil {
		return l, fmt.Errorf("%s: %w", s.cfg.Path, err)
	}
	s.kv = &policykv.KV{} // what the store has for it comes with the store
	s.revisions = revisions.Open(s.cfg.StateDir)
	s.engine, err = plugins.NewEngine(plugins.EngineOptions{
		Log: s.log, KV: s.kv, Lists: s.lists, Record: s.cfg.Decisions.KeepFacts, Monitored: s.monitored,
		Compiler: childCompiler(), CacheDir: filepath.Join(s.cfg.StateDir, compiledDir),
	})
	if err != nil {
		return l, err
	}
	if l, err = s.load(ctx, s.cfg, nil); err != nil {
		if l, err = s.fallBack(ctx, err); err != nil {
			return l, err
		}
	}
	s.loaded(l)
	s.metrics.Use(l.chain.Policies())
	s.gate = plugins.NewGate(l.chain)
	s.warnMonitored(l.chain)
	return l, nil
}

// monitored records what a policy in monitor mode would have said. Knocks come
// only once the recorder is there.
func (s *system) monitored(r *plugins.MonitorResult) {
	s.metrics.Monitored(r)
	s.recorder.Monitored(r)
}

// warnMonitored names the policies that are asked and not obeyed, so that one
// does not stay so by oversight.
func (s *system) warnMonitored(c *plugins.Chain) {
	var names []string
	for _, p := range c.Policies() {
		if p.Mode == plugins.Monitor {
			names = append(names, p.Name)
		}
	}
	for _, name := range names {
		s.notices.Note(notices.Item{Kind: notices.Monitor, Policy: name})
	}
	if len(names) > 0 {
		s.log.Warn("policies in monitor mode decide nothing; knockgate decisions --monitor lists what they would have said", "policies", names)
	}
}

// openState opens or makes the signing key, unless a homeserver has it, the
// certificate, unless there is no TLS, and the store.
func (s *system) openState(ctx context.Context) (cert tls.Certificate, err error) {
	dir := s.cfg.StateDir
	var made bool
	if s.cfg.Upstream == nil {
		if s.keys, made, err = serverkey.OpenOwn(dir, s.log); err != nil {
			return cert, err
		}
		s.note(made, "signing key "+string(s.keys.Keys().Key.KeyID()))
	}
	switch {
	case s.cfg.Listen.Plain:
	case s.cfg.Listen.Certificate != "":
		cert, err = certificate.Load(s.cfg.Listen.Certificate, s.cfg.Listen.Key)
	default:
		cert, made, err = certificate.LoadOrCreate(dir, s.cfg.ServerName.Host(), time.Now())
		s.note(made, "self-signed TLS certificate")
	}
	if err != nil {
		return cert, err
	}

	path := filepath.Join(dir, storeFile)
	_, statErr := os.Stat(path)
	if s.store, err = store.Open(ctx, path); err != nil {
		return cert, err
	}
	s.store.Observe(s.metrics.Committed)
	s.note(errors.Is(statErr, os.ErrNotExist), "store")
	s.permits = permits.New(s.store, s.now, s.log)
	if err := s.permits.Refresh(ctx); err != nil {
		return cert, err
	}
	return cert, s.kv.Open(ctx, s.store, s.now().UnixMilli(), s.log)
}

func (s *system) note(made bool, what string) {
	if made {
		s.made = append(s.made, what)
	}
}

// openRooms makes the configured rooms that are not there.
func (s *system) openRooms(ctx context.Context) (err error) {
	if s.rooms, err = newLocal(s.cfg, s.store, s.keys.Keys, s.now, s.log); err != nil {
		return err
	}
	there, err := s.rooms.Rooms(ctx)
	if err != nil {
		return err
	}
	for _, r := range s.cfg.Rooms {
		alias := "#" + r.Alias + ":" + string(s.cfg.ServerName)
		room, ok := byAlias(there, alias)
		if !ok {
			_, err := s.rooms.CreateRoom(ctx, resident.RoomSpec{
				Version: r.Version, Alias: r.Alias, Name: r.Name, JoinRule: r.JoinRule,
			})
			if err != nil {
				return fmt.Errorf("room %s: %w", alias, err)
			}
			if there, err = s.rooms.Rooms(ctx); err != nil {
				return err
			}
			room, _ = byAlias(there, alias)
			s.note(true, "room "+alias)
		}
		s.lobby = append(s.lobby, room)
	}
	return nil
}

func byAlias(rooms []resident.Summary, alias string) (resident.Summary, bool) {
	for _, r := range rooms {
		if r.Alias == alias {
			return r, true
		}
	}
	return resident.Summary{}, false
}

// newLocal returns the rooms of a store.
func newLocal(cfg *config.Config, st *store.Store, keys func() *serverkey.Keyset, now func() time.Time, log *slog.Logger) (*resident.Local, error) {
	return resident.NewLocal(resident.Options{
		Store: st, Server: cfg.ServerName, Now: now, Log: log,
		Signer: func() pdu.Signer { return keys().Key },
		Answer: resident.Format(cfg.Federation.KnockRoomState),
	})
}

func (s *system) openGateway(cert tls.Certificate) {
	fed := s.cfg.Federation
	s.client = discovery.NewClient(discovery.Options{AllowPrivate: fed.AllowPrivate, LoopbackSelfSigned: fed.LoopbackSelfSigned, Now: s.now})
	ring := serverkey.RingOptions{
		Fetch: s.metrics.Fetcher(s.client), Cache: s.store, Own: s.cfg.ServerName,
		Pinned: pinnedKeys(fed), Notaries: notaries(fed), Now: s.now, Log: s.log,
	}
	if s.keys != nil {
		ring.OwnKeys = s.keys.Keys
	}
	s.ring = serverkey.NewRing(ring)
	s.recorder = decisionlog.New(s.store, s.log, s.cfg.Decisions.KeepFacts)
	s.store.ObserveLost(func(n int, err error) {
		if err != nil {
			s.recorder.Lost(n, err.Error())
		} else {
			s.recorder.Stored()
		}
	})
	stages := gateway.Stages{
		Auth:      &xmatrix.Authenticator{Server: s.cfg.ServerName, Keys: s.ring, Verify: serverkey.Verify},
		Events:    &knock.Checker{Keys: s.ring, Verify: serverkey.Verify},
		Policies:  decider{s.gate},
		Permits:   s.permits,
		Recorder:  s.metrics.Recorder(s.notices.Recorder(s.recorder)),
		Observer:  s.metrics,
		Origins:   gateway.NewOrigins(fed.Allow, fed.Deny, fed.RequestsPerSecond, fed.Burst),
		Reference: s.cfg.Decisions.Reference,
		Now:       s.now,
		Log:       s.log,
	}
	s.server = &http.Server{
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	probes := &doctor.Echo{Dir: s.cfg.StateDir, Server: s.cfg.ServerName}
	s.server.Handler = probes
	if s.upstream != nil {
		// Uploads and long polls pass through and may take as long as they want.
		s.front = s.newFront(stages)
		probes.Next = s.metrics.InFlight(s.front)
		return
	}
	s.server.ReadTimeout, s.server.WriteTimeout = 30*time.Second, 60*time.Second
	probes.Next = s.metrics.InFlight(gateway.New(gateway.Options{
		Stages:      stages,
		Rooms:       s.rooms,
		Templates:   s.rooms,
		Knocks:      s.rooms,
		KeyDocument: serverkey.NewPublisher(s.cfg.ServerName, s.keys.Keys, keyLifetime, s.now).Body,
		Version:     version(),
	}))
}

// keyLifetime is how long the document of our keys promises them.
const keyLifetime = 24 * time.Hour

// drainTime is how long a stop waits for requests that are under way.
const drainTime = 10 * time.Second

// Run serves until ctx is done, then lets the requests under way finish. A
// listener that ends by itself is an error.
func (s *system) Run(ctx context.Context) error {
	// Before the manager knows that there is something to reload: to a process that
	// does not listen, the signal is the end.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	manager := notifier{s.log}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.serve(); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("federation listener lost: %w", err)
		}
		return nil
	})
	if s.admin != nil {
		group.Go(func() error {
			if err := s.serveAdmin(); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("admin listener lost: %w", err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			return s.admin.Close() // nothing there is worth a wait
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		manager.stopping()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
		defer cancel()
		err := s.server.Shutdown(drain)
		if s.upstream != nil && errors.Is(err, context.DeadlineExceeded) {
			// What is passed through may take for ever, and its sender tries again.
			s.log.Warn("requests that were passed through are cut off by the stop")
			err = s.server.Close()
			s.front.Stop()
		}
		return err
	})
	manager.ready(cmp.Or(s.fallback, s.status())) // the first that it is told
	if s.pushes != nil {
		group.Go(func() error { return s.pushes.run(ctx) })
		group.Go(func() error { s.pingHomeserver(ctx); return nil })
	}
	group.Go(func() error { return s.watch(ctx, hup) })
	group.Go(func() error { return s.watchLists(ctx) })
	group.Go(func() error { return s.retain(ctx) })
	group.Go(func() error { return s.watchPermits(ctx) })
	group.Go(func() error { return s.sendNotices(ctx) })
	return group.Wait()
}

// serve answers on the federation listener until the server is shut down.
func (s *system) serve() error {
	if s.cfg.Listen.Plain {
		return s.server.Serve(s.listener)
	}
	return s.server.ServeTLS(s.listener, "", "")
}

// Close takes the components down in the reverse order of their making. It is
// safe on a system that openSystem did not finish, and safe twice.
func (s *system) Close() error {
	var errs []error
	for _, ln := range []net.Listener{s.listener, s.adminListener} {
		if ln == nil {
			continue
		}
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.pushes != nil {
		errs = append(errs, s.pushes.Close())
	}
	if s.ring != nil {
		s.ring.Close()
	}
	if s.client != nil {
		s.client.Close()
	}
	if s.upstream != nil {
		s.upstream.Close()
	}
	// The gate waits for the policies in monitor mode, whose verdicts the store
	// keeps.
	if s.gate != nil {
		errs = append(errs, s.gate.Close(context.Background()))
	}
	if s.kv != nil {
		s.kv.Close()
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.engine != nil {
		errs = append(errs, s.engine.Close(context.Background()))
	}
	return errors.Join(errs...)
}

// scheme returns what the federation listener speaks.
func (s *system) scheme() string {
	if s.cfg.Listen.Plain {
		return "http"
	}
	return "https"
}

// address returns where the server listens.
func (s *system) address() matrix.ServerName { return matrix.ServerName(s.listener.Addr().String()) }
