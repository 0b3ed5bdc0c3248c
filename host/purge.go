package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/store"
)

func newDecisionsPurge() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "purge --user USER_ID",
		Short: "Delete what is stored of a user's knocks",
		Long: `Deletes every stored decision on a user's knocks, with what the policies were
told and what those in monitor mode said, and the user's permits that have ended,
under a running server or not. What a policy remembers of the user by itself, lines
in the log, and backups are not touched; rooms keep their events. Counts of
decisions, which name nobody, stay.

Exit codes: 0 deleted, or there was nothing, 1 anything else.`,
		Example: "  knockgate decisions purge --user @alice:example.org",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	user := cmd.Flags().String("user", "", "the user's `ID`")
	_ = cmd.MarkFlagRequired("user")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := matrix.ParseUserID(*user); err != nil {
			return fmt.Errorf("--user: %w", err)
		}
		return withStore(cmd, *path, func(_ *config.Config, st *store.Store) error {
			n, err := st.PurgeUser(cmd.Context(), *user)
			fmt.Fprintf(cmd.OutOrStdout(), "%d decisions deleted\n", n)
			return err
		})
	}
	return cmd
}
