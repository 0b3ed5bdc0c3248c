package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/certificate"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/store"
)

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find what would stop a start, without starting",
		Long: `Reads the configuration and everything it names, as a start would: the policies
are compiled and loaded, the lists and keys read, the store read through. Nothing
is made, changed or sent, and a running server is not disturbed. It does not look
whether a port is free.

Exit codes: 0 a start would work, 1 it would not, or would run other policies than
the configured ones.`,
		Example: "  knockgate check --config /etc/knockgate/config.toml",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
		fmt.Fprintf(tw, "config\tok\t%s\n", cfg.Path)
		faults := 0
		for _, c := range checks(cfg) {
			says, err := c.look(cmd.Context(), cfg)
			word := "ok"
			if err != nil {
				word, says = "FAULT", strings.ReplaceAll(err.Error(), "\n", "; ")
				faults++
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\n", c.name, word, printableLine(says))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		if faults > 0 {
			return exitCode(exitFailed)
		}
		return nil
	}
	return cmd
}

// check is one part of a start. look says what it found.
type check struct {
	name string
	look func(context.Context, *config.Config) (says string, err error)
}

func checks(cfg *config.Config) []check {
	list := []check{{"state", checkState}, {"policies", checkPolicies}, {"store", checkStore}}
	if !cfg.Listen.Plain {
		list = append(list, check{"certificate", checkCertificate})
	}
	if cfg.Upstream != nil {
		return append(list, check{"upstream", checkUpstream})
	}
	return append(list, check{"key", checkKey})
}

// madeAtStart is what a look says of what the first start makes.
const madeAtStart = "not there yet; the first start makes it"

func checkState(_ context.Context, cfg *config.Config) (string, error) {
	info, err := os.Stat(cfg.StateDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return madeAtStart, nil
	case err != nil:
		return "", fmt.Errorf("state_dir: %w", err)
	case !info.IsDir():
		return "", fmt.Errorf("state_dir: %s is not a folder; name one", cfg.StateDir)
	}
	return cfg.StateDir, nil
}

func checkPolicies(ctx context.Context, cfg *config.Config) (string, error) {
	revision, err := tryLoad(ctx, cfg, chainSpec(cfg.Policies))
	if err != nil {
		return "", err
	}
	n := len(cfg.Policies.Chain)
	if n == 1 {
		return fmt.Sprintf("1 policy, revision %s", revision), nil
	}
	return fmt.Sprintf("%d policies, revision %s", n, revision), nil
}

func checkStore(ctx context.Context, cfg *config.Config) (string, error) {
	path := filepath.Join(cfg.StateDir, storeFile)
	there, err := store.Check(ctx, path)
	if err != nil || there {
		return path, err
	}
	return madeAtStart, nil
}

func checkCertificate(_ context.Context, cfg *config.Config) (string, error) {
	if cfg.Listen.Certificate != "" {
		cert, err := certificate.Load(cfg.Listen.Certificate, cfg.Listen.Key)
		if err != nil {
			return "", err
		}
		if end := cert.Leaf.NotAfter; time.Now().After(end) {
			return "", fmt.Errorf("%s: expired on %s; renew it", cfg.Listen.Certificate, end.Format(time.DateOnly))
		}
		return "until " + cert.Leaf.NotAfter.Format(time.DateOnly), nil
	}
	if _, err := os.Stat(filepath.Join(cfg.StateDir, certificate.CertificateFile)); err == nil {
		// It is there, so nothing is made.
		cert, _, err := certificate.LoadOrCreate(cfg.StateDir, cfg.ServerName.Host(), time.Now())
		if err != nil {
			return "", err
		}
		return "self-signed, until " + cert.Leaf.NotAfter.Format(time.DateOnly), nil
	}
	return madeAtStart, nil
}

func checkKey(_ context.Context, cfg *config.Config) (string, error) {
	keys, err := serverkey.LoadKeyset(cfg.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return madeAtStart, nil
	}
	if err != nil {
		return "", err
	}
	return string(keys.Key.KeyID()), nil
}

// checkUpstream reads the files of [upstream]. Whether the homeserver answers is
// no reason not to start.
func checkUpstream(_ context.Context, cfg *config.Config) (string, error) {
	s := &system{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	if err := s.openUpstream(); err != nil {
		return "", err
	}
	s.upstream.Close()
	return cfg.Upstream.URL.String(), nil
}
