package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/resident"
)

func newRoomKnocks() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "knocks",
		Short: "List the knocks that nobody has answered",
		Long: `Lists the pending knocks, those of one room or of all, in the order in which
they came: neither taken back by the knocker, nor declined, nor answered with an
invite or a ban. The time is that of the knocker's server. In the table the
knocker's words are cut to one short line; --json has all of them.

Exit codes: 0 listed, 1 anything else.`,
		Example: "  knockgate room knocks --room '#lobby'\n  knockgate room knocks --json",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	room := cmd.Flags().String("room", "", "only of this room: its `ID` or alias")
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object for each knock")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withRooms(cmd, *path, func(ctx context.Context, rooms *resident.Local) error {
			list, err := rooms.Rooms(ctx)
			if err != nil {
				return err
			}
			if *room != "" {
				one, err := findRoom(list, rooms.Server, *room)
				if err != nil {
					return err
				}
				list = []resident.Summary{one}
			}
			if *asJSON {
				return printPendingJSON(ctx, cmd.OutOrStdout(), rooms, list)
			}
			return printPending(ctx, cmd.OutOrStdout(), rooms, list)
		})
	}
	return cmd
}

func newRoomDecline() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "decline --room ROOM [flags] USER",
		Short: "Decline a knock that nobody has answered",
		Long: `Ends a pending knock with a kick: a membership "leave" sent by that of the
room's own members with the most power, its creator as a rule. The user may knock
again, which policies decide. Their server is not told, as it is not in the room.

It works while "serve" runs and without it.

Exit codes: 0 declined, 1 anything else, also where no knock is pending.`,
		Example: "  knockgate room decline --room '#lobby' --reason 'not today' '@ada:example.org'",
		Args:    cobra.ExactArgs(1),
	}
	path := configFlag(cmd)
	room := cmd.Flags().String("room", "", "the room: its `ID` or alias; required")
	reason := cmd.Flags().String("reason", "", "the `text` that goes into the event")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		user, err := matrix.ParseUserID(args[0])
		if err != nil {
			return err
		}
		if *room == "" {
			return fmt.Errorf("--room: missing; the ID or alias of the room that %s knocked on", printableLine(args[0]))
		}
		return withRooms(cmd, *path, func(ctx context.Context, rooms *resident.Local) error {
			list, err := rooms.Rooms(ctx)
			if err != nil {
				return err
			}
			one, err := findRoom(list, rooms.Server, *room)
			if err != nil {
				return err
			}
			done, err := rooms.Decline(ctx, one.ID, user, *reason)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s declined the knock of %s on %s, event %s\n", done.By, printableLine(string(user)), one.ID, done.Event)
			return nil
		})
	}
	return cmd
}

// findRoom returns the room of this ID, or with this canonical alias of the
// server, which may be given as "#lobby:server", "#lobby" or "lobby".
func findRoom(list []resident.Summary, server matrix.ServerName, text string) (resident.Summary, error) {
	for _, r := range list {
		if string(r.ID) == text {
			return r, nil
		}
	}
	alias := "#" + strings.TrimPrefix(text, "#")
	for _, try := range []string{alias, alias + ":" + string(server)} {
		if r, ok := byAlias(list, try); ok {
			return r, nil
		}
	}
	return resident.Summary{}, fmt.Errorf("--room %q: no room has this ID or alias; \"knockgate room list\" lists them", text)
}

// eachPending calls do for the pending knocks of the rooms.
func eachPending(ctx context.Context, rooms *resident.Local, list []resident.Summary, do func(resident.Pending) error) error {
	for _, r := range list {
		for p, err := range rooms.Pending(ctx, r.ID) {
			if err == nil {
				err = do(p)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func printPending(ctx context.Context, w io.Writer, rooms *resident.Local, list []resident.Summary) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "since\troom\tuser\tdisplayname\treason")
	err := eachPending(ctx, rooms, list, func(p resident.Pending) error {
		_, err := fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", p.Since.Local().Format(time.DateTime), p.Room,
			printableLine(string(p.User)), short(p.Displayname), short(p.Reason))
		return err
	})
	if err != nil {
		return err
	}
	return tw.Flush()
}

func printPendingJSON(ctx context.Context, w io.Writer, rooms *resident.Local, list []resident.Summary) error {
	return eachPending(ctx, rooms, list, func(p resident.Pending) error {
		return printJSON(w, struct {
			Room        string    `json:"room_id"`
			User        string    `json:"user_id"`
			Event       string    `json:"event_id"`
			Displayname string    `json:"displayname,omitempty"`
			Reason      string    `json:"reason,omitempty"`
			Since       time.Time `json:"since"`
		}{string(p.Room), string(p.User), string(p.Event), p.Displayname, p.Reason, p.Since.UTC()})
	})
}

// shortRunes is how much of a knocker's text a table shows.
const shortRunes = 80

// short returns text as a table shows it.
func short(text string) string {
	runes := []rune(printableLine(text))
	if len(runes) > shortRunes {
		return string(runes[:shortRunes-1]) + "…"
	}
	return string(runes)
}

// printableLine is printable for what must stay on its line.
func printableLine(s string) string { return strings.ReplaceAll(printable(s), "\n", "�") }

// printJSON prints a value as one line of JSON that is safe for a terminal.
func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, printableJSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))))
	return err
}

// printableJSON returns JSON in which what a terminal might act on is escaped:
// encoding/json leaves DEL, C1 controls and bidi overrides as they are.
func printableJSON(line []byte) string {
	var b strings.Builder
	for _, r := range string(line) {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
