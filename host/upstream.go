package main

import (
	"fmt"
	"log/slog"

	"github.com/knockgate/knockgate/host/internal/gateway"
	"github.com/knockgate/knockgate/host/internal/upstream"
)

// openUpstream makes the way to the homeserver. It does not ask whether that runs.
func (s *system) openUpstream() error {
	u := s.cfg.Upstream
	o := upstream.Options{
		URL: u.URL, ConnectTimeout: u.ConnectTimeout, AnswerTimeout: u.AnswerTimeout, TrustedProxies: u.TrustedProxies,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	if u.CAFile != "" {
		var err error
		if o.Roots, err = upstream.LoadRoots(u.CAFile); err != nil {
			return fmt.Errorf("%s: upstream.ca_file: %w", s.cfg.Path, err)
		}
	}
	if u.Admin != nil {
		if _, err := upstream.TokenFile(u.Admin.TokenFile)(); err != nil {
			return fmt.Errorf("%s: upstream.admin.token_file: %w", s.cfg.Path, err)
		}
	}
	s.upstream = upstream.New(o)
	return nil
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
