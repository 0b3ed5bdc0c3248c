package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/serverkey"
)

func newKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "See the server's signing key, and replace it",
	}
	cmd.AddCommand(newKeyShow(), newKeyRotate())
	return cmd
}

func newKeyShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the public keys, and the document that other servers get",
		Long: `Prints the ID and the public half of the signing key, the keys of before with
the time until when they signed, and the document that the server publishes at
/_matrix/key/v2/server, signed now. Nothing secret is printed.

Exit codes: 0 printed, 1 anything else.`,
		Example: "  knockgate key show\n  knockgate key show --json",
		Args:    cobra.NoArgs,
	}
	return withKeys(cmd, serverkey.LoadKeyset)
}

func newKeyRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new signing key",
		Long: `Makes a new signing key and keeps the public half of the one before, with the
time until when it signed, so that other servers can still check events from
before. The private half of the one before is deleted for good.

A running server signs with the new key from its next signature on; nothing has
to be restarted. Other servers learn it when they next see a signature under it.

A key that is known to be compromised is not kept as an old one. Of any other
key that was stolen, remove the line from ` + serverkey.OldKeysFile + ` in the state folder.

Exit codes: 0 done, 1 anything else.`,
		Example: "  knockgate key rotate",
		Args:    cobra.NoArgs,
	}
	return withKeys(cmd, func(dir string) (*serverkey.Keyset, error) { return serverkey.Rotate(dir, time.Now) })
}

// withKeys gives a command its flags, and has it print the keys that get takes
// from the state folder.
func withKeys(cmd *cobra.Command, get func(stateDir string) (*serverkey.Keyset, error)) *cobra.Command {
	path := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		if err := residentOnly(cfg); err != nil {
			return err
		}
		keys, err := get(cfg.StateDir)
		if err != nil {
			return err
		}
		return printKeys(cmd.OutOrStdout(), cfg, keys, *asJSON)
	}
	return cmd
}

// shownKeys is what "key show --json" prints.
type shownKeys struct {
	ServerName string `json:"server_name"`
	File       string `json:"file"`
	KeyID      string `json:"key_id"`
	Key        string `json:"key"`
	// Old are the keys of before, by their IDs.
	Old map[string]shownOldKey `json:"old"`
	// Document is the published one, as it would be signed now.
	Document json.RawMessage `json:"document"`
}

type shownOldKey struct {
	Key       string `json:"key"`
	ExpiredTS int64  `json:"expired_ts"`
}

func printKeys(w io.Writer, cfg *config.Config, keys *serverkey.Keyset, asJSON bool) error {
	document := serverkey.AppendDocument(nil, cfg.ServerName, keys.Key, keys.Old, time.Now().Add(keyLifetime))
	file := filepath.Join(cfg.StateDir, serverkey.SigningKeyFile)
	if asJSON {
		shown := shownKeys{
			ServerName: string(cfg.ServerName), File: file, KeyID: string(keys.Key.KeyID()), Key: keys.Key.Public().String(),
			Old: map[string]shownOldKey{}, Document: document,
		}
		for _, old := range keys.Old {
			shown.Old[string(old.ID)] = shownOldKey{old.Key.String(), old.ExpiredAt.UnixMilli()}
		}
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(shown)
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tw, "server\t%s\n", cfg.ServerName)
	fmt.Fprintf(tw, "file\t%s\n", file)
	fmt.Fprintf(tw, "key\t%s\t%s\tsigns now\n", keys.Key.KeyID(), keys.Key.Public())
	for _, old := range keys.Old {
		fmt.Fprintf(tw, "old\t%s\t%s\tuntil %s\n", old.ID, old.Key, old.ExpiredAt.Local().Format(time.DateTime))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", document)
	return err
}
