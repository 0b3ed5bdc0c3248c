package main

import (
	"fmt"
	"log"
	"log/slog"

	"github.com/knockgate/knockgate/host/internal/appservice"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/gateway"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/policylist"
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
	forget := forgetters{s.lists}
	if rooms := s.newRooms(); rooms != nil {
		o.Outlines, forget = rooms, append(forget, rooms)
	}
	if s.pushes != nil {
		o.Handed = s.store
		s.pushes.server = newPushServer(s, forget)
	}
	return gateway.NewFront(o)
}

// forgetters are all that remember something of rooms.
type forgetters []appservice.Facts

func (f forgetters) Forget(room matrix.RoomID) {
	for _, one := range f {
		one.Forget(room)
	}
}

// newRooms returns what policies are told of rooms from, and nil if nobody tells.
func (s *system) newRooms() *upstream.Rooms {
	var sources []upstream.Source
	if api := s.upstreamAPI(s.cfg.Upstream.Admin); api != nil {
		sources = append(sources, upstream.NewAdmin(*api))
	}
	if api := s.upstreamAPI(s.cfg.Upstream.Bot); api != nil {
		sources = append(sources, upstream.NewBot(*api))
	}
	if sources == nil {
		return nil
	}
	return upstream.NewRooms(upstream.RoomsOptions{Sources: sources, MaxAge: s.cfg.Upstream.FactsMaxAge, Now: s.now, Log: s.log})
}

// listRooms returns what the rooms that are lists are fetched from, nil in resident
// mode, where none is.
func (s *system) listRooms() policylist.Rooms {
	u := s.cfg.Upstream
	if u == nil {
		return nil
	}
	var states upstream.States
	if api := s.upstreamAPI(u.Bot); api != nil {
		states = append(states, upstream.NewBot(*api))
	}
	if api := s.upstreamAPI(u.Admin); api != nil {
		states = append(states, upstream.NewAdmin(*api))
	}
	return states
}

// upstreamAPI returns an API of the homeserver's, nil if it is not configured.
func (s *system) upstreamAPI(a *config.UpstreamAPI) *upstream.API {
	if a == nil {
		return nil
	}
	return &upstream.API{URL: a.URL, Token: upstream.TokenFile(a.TokenFile), Upstream: s.upstream}
}
