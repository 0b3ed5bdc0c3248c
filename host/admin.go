package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/admin/web"
	"github.com/knockgate/knockgate/host/internal/certificate"
)

// openListeners listens where the configuration says. It accepts nothing yet.
func (s *system) openListeners() (err error) {
	if s.cfg.Admin.Listen.IsValid() {
		s.adminListener, err = net.Listen("tcp", s.cfg.Admin.Listen.String())
		if err != nil {
			return fmt.Errorf("%s: admin.listen: %w; stop what listens there, or name another address", s.cfg.Path, err)
		}
	}
	if s.listener != nil {
		return nil
	}
	if s.cfg.Listen.Plain {
		if err := s.cfg.Listen.CheckPlain(ownAddresses()); err != nil {
			return fmt.Errorf("%s: %w", s.cfg.Path, err)
		}
	}
	s.listener, err = net.Listen("tcp", s.cfg.Listen.Federation.String())
	if err != nil {
		return fmt.Errorf("%s: listen.federation: %w; stop what listens there, or name another address", s.cfg.Path, err)
	}
	return nil
}

// ownAddresses returns the addresses of this machine, as far as it says them.
func ownAddresses() (list []netip.Addr) {
	found, _ := net.InterfaceAddrs()
	for _, a := range found {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Addr())
		}
	}
	return list
}

// openAdmin makes the admin listener's server, if there is one, and its token where
// that is missing.
func (s *system) openAdmin() error {
	if s.adminListener == nil {
		return nil
	}
	checks := []admin.Check{{Name: "policies", Run: s.checkPolicies}, {Name: "store", Run: s.checkStore}}
	if s.upstream != nil {
		checks = append(checks, admin.Check{Name: "upstream", Run: s.upstream.Version})
	}
	o := admin.Options{Ready: admin.NewReadiness(checks, time.Now), Metrics: s.metrics.Handler(), Hosts: s.cfg.Admin.Hosts, Log: s.log}
	if s.cfg.Admin.TokenFile != "" {
		if err := s.openControl(&o); err != nil {
			return err
		}
	}
	s.admin = &http.Server{
		Handler:           admin.New(o),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	if s.cfg.Admin.Certificate != "" {
		cert, err := certificate.Load(s.cfg.Admin.Certificate, s.cfg.Admin.Key)
		if err != nil {
			return fmt.Errorf("%s: admin: %w", s.cfg.Path, err)
		}
		s.admin.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	return nil
}

// openControl adds the API and the pages, and makes its token where that is missing.
func (s *system) openControl(o *admin.Options) error {
	token, made, err := admin.OpenToken(s.cfg.Admin.TokenFile)
	if err != nil {
		return fmt.Errorf("%s: admin.token_file: %w", s.cfg.Path, err)
	}
	s.note(made, "token of the admin API")
	c := newControl(s, o.Ready)
	o.Token, o.MetricsGuarded = token, !s.cfg.Admin.Listen.Addr().Unmap().IsLoopback()
	o.Audit = admin.NewAudit(s.log, time.Now)
	o.Server, o.Policies, o.Decisions = o.Audit.Server(c), o.Audit.Policies(c), c
	if s.rooms != nil {
		o.Knocks = o.Audit.Knocks(c)
	}
	o.Pages = web.New(web.Options{
		Server: o.Server, Policies: o.Policies, Decisions: o.Decisions, Knocks: o.Knocks, Token: token.Read, Log: s.log,
	})
	return nil
}

// serveAdmin answers on the admin listener until its server is closed.
func (s *system) serveAdmin() error {
	if s.admin.TLSConfig != nil {
		return s.admin.ServeTLS(s.adminListener, "", "")
	}
	return s.admin.Serve(s.adminListener)
}

// checkPolicies fails where a start found no policies that load, and answers
// without any.
func (s *system) checkPolicies(context.Context) (string, error) {
	chain := s.gate.Acquire()
	defer chain.Release()
	switch {
	case chain == nil:
		return "", errors.New("the server stops")
	case chain.Revision() == s.without:
		return "", fmt.Errorf("no policy: the configured ones do not load, and every knock is answered %s, as policies.default says", s.cfg.Policies.Default)
	}
	return fmt.Sprintf("%d in force, revision %s", len(chain.Policies()), chain.Revision()), nil
}

func (s *system) checkStore(ctx context.Context) (string, error) {
	return "takes writes", s.store.CheckWritable(ctx)
}
