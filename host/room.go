package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/resident"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/store"
)

func newRoom() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "room",
		Short: "The rooms of the resident server, and who knocks on them",
	}
	cmd.AddCommand(newRoomCreate(), newRoomList(), newRoomKnocks(), newRoomDecline())
	return cmd
}

func newRoomCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a room",
		Long: `Makes the room's first events, signed with the server's key: create, the
creator's membership, power levels, join rules and the rest of what is given.
A server that is running finds the room at once.

Exit codes: 0 created, 1 anything else.`,
		Example: "  knockgate room create --version 11 --name \"Reading circle\" --alias reading --join-rule knock",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	flags := cmd.Flags()
	version := flags.String("version", config.DefaultRoomVersion, "the room `version`: "+strings.Join(matrix.RoomVersionIDs(), ", "))
	name := flags.String("name", "", "the room's `name`")
	topic := flags.String("topic", "", "the room's `topic`")
	alias := flags.String("alias", "", "the `localpart` of its canonical alias")
	creator := flags.String("creator", "", "the `localpart` of the local user who creates it; default \"knockgate\"")
	joinRule := flags.String("join-rule", "knock", "the join `rule`: knock, knock_restricted, invite, public or restricted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, ok := matrix.LookupRoomVersion(*version)
		if !ok {
			return fmt.Errorf("--version %q: must be one of %s", *version, strings.Join(matrix.RoomVersionIDs(), ", "))
		}
		return withRooms(cmd, *path, func(ctx context.Context, rooms *resident.Local) error {
			id, err := rooms.CreateRoom(ctx, resident.RoomSpec{
				Version: v, Name: *name, Topic: *topic, Alias: strings.TrimPrefix(*alias, "#"), Creator: *creator, JoinRule: *joinRule,
			})
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), id)
			return nil
		})
	}
	return cmd
}

func newRoomList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the rooms",
		Example: "  knockgate room list",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withRooms(cmd, *path, func(ctx context.Context, rooms *resident.Local) error {
			list, err := rooms.Rooms(ctx)
			if err != nil {
				return err
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(tw, "room\talias\tversion\tjoin rule\tname")
			for _, r := range list {
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", r.ID, printable(r.Alias), r.VersionID, printable(r.JoinRule), printable(r.Name))
			}
			return tw.Flush()
		})
	}
	return cmd
}

// withRooms runs do with the rooms of the state folder that a configuration
// names. The folder must have been made by "serve": a command that looks must
// not make a server.
func withRooms(cmd *cobra.Command, path string, do func(context.Context, *resident.Local) error) error {
	return withStore(cmd, path, func(cfg *config.Config, st *store.Store) error {
		if err := residentOnly(cfg); err != nil {
			return err
		}
		keys, err := serverkey.LoadKeyset(cfg.StateDir)
		if err != nil {
			return err
		}
		rooms, err := newLocal(cfg, st, func() *serverkey.Keyset { return keys }, time.Now, newLogger(cfg.Log, cmd.ErrOrStderr()))
		if err != nil {
			return err
		}
		return do(cmd.Context(), rooms)
	})
}

// residentOnly fails in gateway mode, where rooms and keys are the homeserver's.
func residentOnly(cfg *config.Config) error {
	if cfg.Upstream != nil {
		return fmt.Errorf("%s: [upstream]: rooms and signing keys are those of the homeserver at %s; this command is for a server without [upstream]", cfg.Path, cfg.Upstream.URL)
	}
	return nil
}

func withStore(cmd *cobra.Command, path string, do func(*config.Config, *store.Store) error) (err error) {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	file := filepath.Join(cfg.StateDir, storeFile)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: no store there yet; start the server once with \"serve\", which makes it", file)
	}
	st, err := store.Open(cmd.Context(), file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return do(cfg, st)
}
