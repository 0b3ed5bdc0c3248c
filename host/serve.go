package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/plugins"
)

// logWriter is where the log goes.
type logWriter = io.Writer

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer knocks, as the resident server or before a homeserver",
		Long: `Reads the configuration, makes what is missing in the state folder (signing
key, TLS certificate, store, the configured rooms), loads the policies and
answers federation requests until it is interrupted. With [upstream] there is no
signing key and no room: allowed knocks are handed to that homeserver, and all
other requests are passed through to it.

The policies are loaded again when the configuration or a module changes, and
on SIGHUP. One that does not load leaves the running chain as it is. A start
whose policies do not load runs the last that were in force, and says so.

Under systemd, a unit of Type=notify is told when knocks are answered, when
policies are loaded and when the server stops.

Exit codes: 0 stopped by a signal, 1 anything else.`,
		Example: "  knockgate serve --config /etc/knockgate/config.toml",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		log := newLogger(cfg.Log, cmd.ErrOrStderr())
		s, err := openSystem(cmd.Context(), cfg, nil, time.Now, log)
		if err != nil {
			return err
		}
		defer s.Close()
		if s.fallback != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), "knockgate:", s.fallback)
		}
		s.describe(cmd.OutOrStdout(), programName())
		return s.Run(cmd.Context())
	}
	return cmd
}

// describe prints what a start did, where things are, and what to try next.
func (s *system) describe(w io.Writer, program string) {
	what := "resident server"
	if s.upstream != nil {
		what = "gateway before"
	}
	fmt.Fprintf(w, "Knockgate (%s), %s %s\n", version(), what, s.cfg.ServerName)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("config", "%s", s.cfg.Path)
	row("state", "%s", s.cfg.StateDir)
	if len(s.made) > 0 {
		row("made", "%s", strings.Join(s.made, ", "))
	}
	if s.upstream != nil {
		row("upstream", "%s", s.cfg.Upstream.URL)
	}
	if s.pushes != nil {
		row("pushes", "http://%s, from the homeserver as %s", s.pushes.listener.Addr(), s.cfg.Upstream.Appservice.URL)
	}
	s.describePolicies(row)
	row("", "where all pass: %s", s.cfg.Policies.Default)
	row("revision", "%s%s", s.gate.Revision(), heldWords(s.heldBy()))
	for _, r := range s.lobby {
		row("room", "%s  %s  version %s, join rule %s", r.ID, r.Alias, r.VersionID, r.JoinRule)
	}
	row("listening", "%s://%s", s.scheme(), s.address())
	if s.admin != nil {
		row("admin", "%s://%s", s.cfg.Admin.URL().Scheme, s.adminListener.Addr())
		if s.cfg.Admin.TokenFile != "" {
			row("", "token in %s", s.cfg.Admin.TokenFile)
		}
	}
	if len(s.lobby) > 0 {
		server := ""
		if name, ok := s.lobby[0].ID.Server(); !ok || name != s.address() {
			server = fmt.Sprintf("--server %s ", s.address())
		}
		fmt.Fprintf(w, "\nTo knock, in a second terminal:\n  %s knock --reason \"hello\" %s'%s'\n", program, server, s.lobby[0].ID)
	}
	fmt.Fprintln(w)
}

// describePolicies prints the chain in force: by its files, or, if it is not the
// configured one, by its modules' digests.
func (s *system) describePolicies(row func(name, format string, args ...any)) {
	chain := s.gate.Acquire()
	defer chain.Release()
	name := "policies"
	for i, p := range chain.Policies() {
		module := fmt.Sprintf("sha256:%.12s...", p.Module)
		if c := s.cfg.Policies.Chain; i < len(c) && s.fallback == "" && s.heldBy() == "" && c[i].Name == p.Name {
			module = relative(s.cfg.Policies.Dir, c[i].Module)
		}
		if p.Mode == plugins.Monitor {
			module += ", monitor mode"
		}
		row(name, "%s (%s)", p.Name, module)
		name = ""
	}
}

func relative(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

// programName returns how this program was started, as one would type it.
func programName() string {
	exe, err := os.Executable()
	if err == nil && strings.Contains(exe, string(filepath.Separator)+"go-build") {
		return "go run ./host"
	}
	return os.Args[0]
}
