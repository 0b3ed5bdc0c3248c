package main

import (
	"fmt"
	"log"
	"log/slog"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/gateway"
	"github.com/knockgate/knockgate/host/internal/upstream"
)

// newUpstream returns the way to the homeserver. It does not ask whether that runs.
func newUpstream(cfg *config.Config, errorLog *log.Logger) (*upstream.Upstream, error) {
	u := cfg.Upstream
	o := upstream.Options{
		URL: u.URL, ConnectTimeout: u.ConnectTimeout, AnswerTimeout: u.AnswerTimeout, TrustedProxies: u.TrustedProxies,
		ErrorLog: errorLog,
	}
	if u.CAFile != "" {
		var err error
		if o.Roots, err = upstream.LoadRoots(u.CAFile); err != nil {
			return nil, fmt.Errorf("%s: upstream.ca_file: %w", cfg.Path, err)
		}
	}
	return upstream.New(o), nil
}

// openUpstream makes the way to the homeserver.
func (s *system) openUpstream() (err error) {
	u := s.cfg.Upstream
	if u.Admin != nil {
		if _, err := upstream.TokenFile(u.Admin.TokenFile)(); err != nil {
			return fmt.Errorf("%s: upstream.admin.token_file: %w", s.cfg.Path, err)
		}
	}
	if s.cfg.Listen.Plain && len(u.TrustedProxies) == 0 {
		s.log.Warn("no upstream.trusted_proxies: the homeserver is told the address of the reverse proxy as everybody's")
	}
	s.upstream, err = newUpstream(s.cfg, slog.NewLogLogger(s.log.Handler(), slog.LevelDebug))
	return err
}

// newFront returns the handler of gateway mode.
func (s *system) newFront(stages gateway.Stages) *gateway.Front {
	o := gateway.FrontOptions{Stages: stages, Upstream: s.metrics.Upstream(s.upstream)}
	if admin := s.cfg.Upstream.Admin; admin != nil {
		o.Outlines = upstream.NewAdmin(upstream.AdminOptions{
			URL: admin.URL, Token: upstream.TokenFile(admin.TokenFile), Upstream: s.upstream,
			MaxAge: admin.MaxAge, Now: s.now, Log: s.log,
		})
	}
	return gateway.NewFront(o)
}
