package main

import (
	"fmt"
	"log"
	"log/slog"

	"github.com/knockgate/knockgate/host/internal/appservice"
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
	for _, f := range []struct {
		key string
		api *config.UpstreamAPI
	}{{"admin", u.Admin}, {"bot", u.Bot}} {
		if f.api == nil {
			continue
		}
		if _, err := upstream.TokenFile(f.api.TokenFile)(); err != nil {
			return fmt.Errorf("%s: upstream.%s.token_file: %w", s.cfg.Path, f.key, err)
		}
	}
	if s.cfg.Listen.Plain && len(u.TrustedProxies) == 0 {
		s.log.Warn("no upstream.trusted_proxies: the homeserver is told the address of the reverse proxy as everybody's")
	}
	s.upstream, err = newUpstream(s.cfg, slog.NewLogLogger(s.log.Handler(), slog.LevelDebug))
	return err
}

// newFront returns the handler of gateway mode, and makes that of the application
// service, if this server is one.
func (s *system) newFront(stages gateway.Stages) *gateway.Front {
	o := gateway.FrontOptions{Stages: stages, Upstream: s.metrics.Upstream(s.upstream)}
	var forget appservice.Facts
	if rooms := s.newRooms(); rooms != nil {
		o.Outlines, forget = rooms, rooms
	}
	if s.pushes != nil {
		o.Handed = s.store
		s.pushes.server = newPushServer(s, forget)
	}
	return gateway.NewFront(o)
}

// newRooms returns what policies are told of rooms from, and nil if nobody tells.
func (s *system) newRooms() *upstream.Rooms {
	u := s.cfg.Upstream
	api := func(a *config.UpstreamAPI) upstream.API {
		return upstream.API{URL: a.URL, Token: upstream.TokenFile(a.TokenFile), Upstream: s.upstream}
	}
	var sources []upstream.Source
	if u.Admin != nil {
		sources = append(sources, upstream.NewAdmin(api(u.Admin)))
	}
	if u.Bot != nil {
		sources = append(sources, upstream.NewBot(api(u.Bot)))
	}
	if sources == nil {
		return nil
	}
	return upstream.NewRooms(upstream.RoomsOptions{Sources: sources, MaxAge: u.FactsMaxAge, Now: s.now, Log: s.log})
}
