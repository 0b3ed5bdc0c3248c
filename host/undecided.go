package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/knockgate/knockgate/host/internal/appservice"
	"github.com/knockgate/knockgate/host/internal/store"
)

// listUndecided lists the knocks that came in without a decision, and says how
// many there were.
func listUndecided(ctx context.Context, w io.Writer, st *store.Store, filter store.UndecidedFilter, asJSON bool) error {
	list, err := st.UndecidedKnocks(ctx, filter)
	if err != nil {
		return err
	}
	if asJSON {
		for _, k := range list {
			if err := printJSON(w, undecidedJSON(k)); err != nil {
				return err
			}
		}
		return nil
	}
	totals, err := st.UndecidedTotals(ctx)
	if err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "seen\tby\tuser\troom\tevent")
	for _, k := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", k.SeenAt.Local().Format(time.DateTime), k.Kind,
			printableLine(k.User), printableLine(k.Room), printableLine(k.Event))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\nIn all: %d by the homeserver's own users, %d by way of another server\n",
		totals[appservice.OwnUser], totals[appservice.OtherServer])
	return err
}

// undecidedJSON is a knock without a decision as --json prints it. The event's time
// is what its server wrote, and may be none that a date can say.
func undecidedJSON(k store.Undecided) any {
	return struct {
		ID     int64     `json:"id"`
		Seen   time.Time `json:"seen_at"`
		Kind   string    `json:"kind"`
		Room   string    `json:"room_id"`
		User   string    `json:"user_id"`
		Event  string    `json:"event_id"`
		SentMS int64     `json:"origin_server_ts"`
	}{k.ID, k.SeenAt, k.Kind, k.Room, k.User, k.Event, k.At.UnixMilli()}
}
