package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/appservice"
	"github.com/knockgate/knockgate/host/internal/config"
)

func newAppservice() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "appservice",
		Short: "Print what the homeserver must know of this server as its application service",
		Long: `Prints the registration of this server as an application service of the
homeserver behind it, for a configuration with [upstream.appservice]. Synapse
reads it from a file that its app_service_config_files names, at its start.

The first call, or the first start of "serve", makes two tokens in the state
folder, mode 0600; after that the same are printed each time. What is printed
holds them: whoever has it can read along and speak as ` + "`sender_localpart`" + `.

With --rotate, makes new tokens. A running "serve" takes them at once, and what
Synapse pushes is refused until it has read the new registration; it tries again.

Run it as the user that the server runs as.

Exit codes: 0 printed, 1 anything else.`,
		Example: "  knockgate appservice | install -m 0640 -g matrix-synapse /dev/stdin /etc/matrix-synapse/knockgate.yaml\n" +
			"  knockgate appservice --rotate",
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	rotate := cmd.Flags().Bool("rotate", false, "make new tokens first")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		if cfg.Upstream == nil || cfg.Upstream.Appservice == nil {
			return fmt.Errorf("%s: upstream.appservice: missing; this server is an application service only where that is there, also if it is empty", cfg.Path)
		}
		if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
			return fmt.Errorf("%s: state_dir: %w", cfg.Path, err)
		}
		var tokens appservice.Tokens
		if *rotate {
			tokens, err = appservice.RotateTokens(cfg.StateDir)
		} else {
			tokens, _, err = appservice.OpenTokens(cfg.StateDir)
		}
		if err != nil {
			return err
		}
		a := cfg.Upstream.Appservice
		r := appservice.Registration{Server: cfg.ServerName, ID: a.ID, URL: a.URL.String(), SenderLocalpart: a.SenderLocalpart, Tokens: tokens}
		_, err = cmd.OutOrStdout().Write(r.YAML())
		return err
	}
	return cmd
}

// pushes is the listener for what the homeserver pushes.
type pushes struct {
	listener net.Listener
	since    time.Time
	server   *http.Server
}

// openPushes listens, if this server is an application service.
func (s *system) openPushes() error {
	if s.cfg.Upstream == nil || s.cfg.Upstream.Appservice == nil {
		return nil
	}
	ln, err := net.Listen("tcp", s.cfg.Upstream.Appservice.Listen.String())
	if err != nil {
		return fmt.Errorf("%s: upstream.appservice.listen: %w; stop what listens there, or name another address", s.cfg.Path, err)
	}
	s.pushes = &pushes{listener: ln}
	return nil
}

// startAppservice makes the tokens that are not there and notes that this server is
// an application service, or that it is none.
func (s *system) startAppservice(ctx context.Context) (err error) {
	if s.pushes == nil {
		return s.store.StopAppservice(ctx)
	}
	_, made, err := appservice.OpenTokens(s.cfg.StateDir)
	if err != nil {
		return err
	}
	s.note(made, "tokens of the application service")
	s.pushes.since, err = s.store.StartAppservice(ctx, s.now())
	return err
}

// newPushServer returns the server of the listener for pushes. facts are forgotten
// where a room changes.
func newPushServer(s *system, facts appservice.Facts) *http.Server {
	file := filepath.Join(s.cfg.StateDir, appservice.HSTokenFile)
	return &http.Server{
		Handler: appservice.New(appservice.Options{
			Server: s.cfg.ServerName,
			Token:  func() (string, error) { return appservice.ReadToken(file) },
			Facts:  facts, Store: noticedStore{s.store, s.notices}, Since: s.pushes.since, Now: s.now, Log: s.log,
		}),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// pingTime bounds the wait for the homeserver's ping.
const pingTime = 30 * time.Second

// pingHomeserver has the homeserver try to reach this server, for the log, and so
// that it pushes again if it had given up for a while. A homeserver that is not
// there yet, or whose client API is elsewhere, is no fault.
func (s *system) pingHomeserver(ctx context.Context) {
	base := s.cfg.Upstream.URL
	if admin := s.cfg.Upstream.Admin; admin != nil {
		base = admin.URL
	}
	token, err := appservice.ReadToken(filepath.Join(s.cfg.StateDir, appservice.ASTokenFile))
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, pingTime)
		defer cancel()
		err = appservice.Ping(ctx, s.upstream, base, s.cfg.Upstream.Appservice.ID, token)
	}
	var answer *appservice.PingError
	switch {
	case err == nil:
		s.log.InfoContext(ctx, "the homeserver reaches this server as its application service")
	case errors.As(err, &answer) && answer.Status != http.StatusNotFound:
		s.log.WarnContext(ctx, "the homeserver does not reach this server as its application service, or does not know it", "err", err)
	default:
		s.log.InfoContext(ctx, "the homeserver could not be asked whether it reaches this server", "url", base.String(), "err", err)
	}
}

// run serves until ctx is done, then lets the transaction under way finish.
func (p *pushes) run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- p.server.Serve(p.listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("application service listener: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := p.server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = p.server.Close() // the homeserver pushes again
	}
	<-ended
	return err
}

// Close closes the listener. It is safe twice.
func (p *pushes) Close() error {
	if err := p.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
