package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/permits"
	"github.com/knockgate/knockgate/host/internal/resident"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/store"
)

func newAllow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "allow {USER_ID --room ROOM | --list | --revoke ID}",
		Short: "Let one knock in although the policies deny it",
		Long: `Gives a permit: one knock of the user into the room is let in although a policy
denies it or is at fault. make_knock is let through while the permit lasts, and the
send_knock that is answered 200 uses it up. What the protocol refuses (a ban, the
server ACL, the join rule) it does not change, nor a verdict that the room version
is incompatible. The decision is recorded as the policy "permit", with what the
policies said.

It works while "serve" runs, which takes it up within a second, and without it.
--list shows the permits that are live, and with --all also the last that were used,
revoked or have expired. In gateway mode --room is the room's ID, since aliases are
the homeserver's.

Exit codes: 0 given, listed or revoked, 1 anything else.`,
		Example: "  knockgate allow @ada:example.org --room '#lobby' --for 2h --note 'asked by mail'\n" +
			"  knockgate allow --list\n  knockgate allow --revoke 7",
		Args: cobra.MaximumNArgs(1),
	}
	path := configFlag(cmd)
	flags := cmd.Flags()
	room := flags.String("room", "", "the room: its `ID` or alias")
	lasts := flags.String("for", "1d", "how long it lasts, a `time` such as 1h or 7d; at most 30d")
	note := flags.String("note", "", "a `text` that is kept with it")
	list := flags.Bool("list", false, "list the permits that are live")
	all := flags.Bool("all", false, "list also those that have ended")
	asJSON := flags.Bool("json", false, "print one JSON object for each")
	revoke := flags.Int64("revoke", 0, "end the permit with this `ID`")
	for _, name := range []string{"room", "for", "note"} {
		cmd.MarkFlagsMutuallyExclusive("list", name)
		cmd.MarkFlagsMutuallyExclusive("revoke", name)
	}
	cmd.MarkFlagsMutuallyExclusive("list", "revoke")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		revoking := flags.Changed("revoke")
		switch {
		case (*all || *asJSON) && !*list:
			return fmt.Errorf("--all and --json go with --list")
		case (*list || revoking) && len(args) > 0:
			return fmt.Errorf("%s: no user goes with --list or --revoke", printableLine(args[0]))
		case !*list && !revoking && len(args) == 0:
			return fmt.Errorf("say who may knock, such as @ada:example.org, or --list or --revoke ID")
		}
		return withStore(cmd, *path, func(cfg *config.Config, st *store.Store) error {
			p := permits.New(st, time.Now, slog.New(slog.DiscardHandler)) // the server logs what it sees
			switch {
			case *list:
				return listPermits(cmd.Context(), cmd.OutOrStdout(), p, *all, *asJSON)
			case revoking:
				permit, err := p.Revoke(cmd.Context(), *revoke)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "permit %d of %s for %s is revoked\n", permit.ID, printableLine(permit.User), printableLine(permit.Room))
				return nil
			}
			return givePermit(cmd, cfg, st, p, args[0], *room, *lasts, *note)
		})
	}
	return cmd
}

func givePermit(cmd *cobra.Command, cfg *config.Config, st *store.Store, p *permits.Permits, userText, roomText, lasts, note string) error {
	spec := permits.Spec{Note: note, By: whoami()}
	var err error
	if spec.User, err = matrix.ParseUserID(userText); err != nil {
		return err
	}
	if spec.Room, err = permitRoom(cmd, cfg, st, roomText); err != nil {
		return err
	}
	if spec.For, err = parseAge(lasts); err != nil {
		return fmt.Errorf("--for %q: %v", lasts, err)
	}
	permit, err := p.Give(cmd.Context(), spec)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "permit %d: one knock of %s into %s until %s\n", permit.ID,
		printableLine(permit.User), printableLine(permit.Room), permit.Until.Local().Format(time.DateTime))
	return nil
}

// permitRoom returns the room that --room names.
func permitRoom(cmd *cobra.Command, cfg *config.Config, st *store.Store, text string) (matrix.RoomID, error) {
	switch {
	case text == "":
		return "", fmt.Errorf("--room: missing; the ID or alias of the room that the user may knock on")
	case strings.HasPrefix(text, "!"):
		id, err := matrix.ParseRoomID(text)
		if err != nil {
			return "", fmt.Errorf("--room: %w", err)
		}
		return id, nil
	case cfg.Upstream != nil:
		return "", fmt.Errorf("--room %q: before a homeserver, the ID of the room, such as \"!abc:example.org\": aliases are the homeserver's", text)
	}
	keys, err := serverkey.LoadKeyset(cfg.StateDir)
	if err != nil {
		return "", err
	}
	rooms, err := newLocal(cfg, st, func() *serverkey.Keyset { return keys }, time.Now, newLogger(cfg.Log, cmd.ErrOrStderr()))
	if err != nil {
		return "", err
	}
	list, err := rooms.Rooms(cmd.Context())
	if err != nil {
		return "", err
	}
	var one resident.Summary
	one, err = findRoom(list, rooms.Server, text)
	return one.ID, err
}

// whoami returns the name of the operating system's user that runs this.
func whoami() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid " + strconv.Itoa(os.Getuid())
}

// listLimit is how many permits --list --all goes back.
const listLimit = 1000

func listPermits(ctx context.Context, w io.Writer, p *permits.Permits, all, asJSON bool) error {
	list, err := p.ListLive(ctx)
	if all && err == nil {
		if list, err = p.List(ctx, listLimit); err == nil {
			slices.Reverse(list)
		}
	}
	if err != nil {
		return err
	}
	if asJSON {
		for i := range list {
			if err := printJSON(w, permitJSON(&list[i])); err != nil {
				return err
			}
		}
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "id\tuser\troom\tuntil\tstate\tby\tgiven\tnote")
	for _, p := range list {
		state := cmp.Or(p.End, "live")
		if p.Request != "" {
			state += " by " + p.Request
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.ID, printableLine(p.User), printableLine(p.Room),
			p.Until.Local().Format(time.DateTime), state, printableLine(p.By), p.Given.Local().Format(time.DateTime), printableLine(p.Note))
	}
	return tw.Flush()
}

// permitJSON is a permit as --json prints it.
func permitJSON(p *store.Permit) any {
	out := struct {
		ID      int64      `json:"id"`
		User    string     `json:"user_id"`
		Room    string     `json:"room_id"`
		Note    string     `json:"note,omitempty"`
		By      string     `json:"given_by"`
		Given   time.Time  `json:"given_at"`
		Until   time.Time  `json:"until"`
		State   string     `json:"state"`
		Ended   *time.Time `json:"ended_at,omitempty"`
		Request string     `json:"request_id,omitempty"`
	}{p.ID, p.User, p.Room, p.Note, p.By, p.Given, p.Until, cmp.Or(p.End, "live"), nil, p.Request}
	if p.End != "" {
		out.Ended = &p.Ended
	}
	return out
}

// watchPermits takes up what other processes gave and revoked, until ctx is done.
func (s *system) watchPermits(ctx context.Context) error {
	every := time.NewTicker(permits.Every)
	defer every.Stop()
	s.permits.Watch(ctx, every.C)
	return nil
}
