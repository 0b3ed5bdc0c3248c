package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/store"
)

func newDecisions() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "decisions",
		Short: "List what was decided, newest first",
		Long: `Lists the stored decisions of the policy chain, newest first. What the
protocol itself refused was never put to the chain, and stands in the log only.
A decision is there a tenth of a second after its answer.

With --monitor, lists what policies with mode = "monitor" would have said of
each knock instead, beside what was decided. With --follow, lists the last ones
oldest first and then each new one as it comes, until it is interrupted.

With --undecided, lists the knocks that came into a room round this server
instead, those of the homeserver's own users included. [upstream.appservice] is
what sees them; the last 10,000 are kept.

Exit codes: 0 listed, 1 anything else.`,
		Example: "  knockgate decisions --verdict deny --last 20\n  knockgate decisions --since 24h --policy reasons --json\n" +
			"  knockgate decisions --monitor --verdict deny\n  knockgate decisions --follow\n  knockgate decisions --undecided",
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newDecisionsPurge())
	path := configFlag(cmd)
	flags := cmd.Flags()
	var filter store.DecisionFilter
	flags.IntVar(&filter.Limit, "last", 50, "list this `many`")
	flags.StringVar(&filter.Room, "room", "", "only of this room `ID`")
	flags.StringVar(&filter.User, "user", "", "only of this `user ID`")
	flags.StringVar(&filter.Origin, "origin", "", "only of this `server`")
	flags.StringVar(&filter.Policy, "policy", "", "only where this `policy` decided")
	flags.StringVar(&filter.Code, "code", "", "only with this `code` of a rule")
	flags.BoolVar(&filter.Faults, "faults", false, "only where a policy failed")
	since := flags.Duration("since", 0, "only of this `time` up to now, such as 24h")
	flags.StringVar(&filter.Verdict, "verdict", "", "only this `verdict`: allow, deny or incompatible")
	flags.BoolVar(&filter.Monitor, "monitor", false, "list what policies in monitor mode would have said")
	undecided := flags.Bool("undecided", false, "list the knocks that came in without a decision")
	asJSON := flags.Bool("json", false, "print one JSON object for each decision")
	follow := flags.Bool("follow", false, "go on listing new ones")
	for _, other := range []string{"monitor", "verdict", "user", "policy", "code", "faults", "since", "follow"} {
		cmd.MarkFlagsMutuallyExclusive("undecided", other)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if filter.Limit < 1 {
			return fmt.Errorf("--last %d: must be at least 1", filter.Limit)
		}
		if *since < 0 {
			return fmt.Errorf("--since %s: must not be below 0", *since)
		}
		if *since > 0 {
			filter.Since = time.Now().Add(-*since)
		}
		print := printDecisions
		switch {
		case *asJSON:
			print = printDecisionsJSON
		case filter.Monitor:
			print = printMonitored
		}
		return withStore(cmd, *path, func(_ *config.Config, st *store.Store) error {
			if *undecided {
				f := store.UndecidedFilter{Room: filter.Room, Origin: filter.Origin, Limit: filter.Limit}
				return listUndecided(cmd.Context(), cmd.OutOrStdout(), st, f, *asJSON)
			}
			if *follow {
				return followDecisions(cmd.Context(), st, filter, func(list []store.Decision) error { return print(cmd.OutOrStdout(), list) })
			}
			list, err := st.Decisions(cmd.Context(), filter)
			if err != nil {
				return err
			}
			return print(cmd.OutOrStdout(), list)
		})
	}
	return cmd
}

// followEvery is how often followDecisions looks for new ones.
const followEvery = 500 * time.Millisecond

// followDecisions hands the last decisions to print, oldest first, and then new
// ones as they come, until ctx is done.
func followDecisions(ctx context.Context, st *store.Store, f store.DecisionFilter, print func([]store.Decision) error) error {
	every := time.NewTicker(followEvery)
	defer every.Stop()
	for {
		list, err := st.Decisions(ctx, f)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if len(list) > 0 {
			f.After, f.Limit = list[0].ID, followLimit
			slices.Reverse(list)
			if err := print(list); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// followLimit is the most new decisions that one look takes. Where there are more,
// the oldest of them are not listed.
const followLimit = 10_000

// printDecisions lists what was decided.
func printDecisions(w io.Writer, list []store.Decision) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "time\trequest\tphase\tuser\troom\tverdict\tpolicy\tmessage\trevision")
	for _, d := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.12s\n", d.At.Local().Format(time.DateTime), d.RequestID, d.Phase,
			printableLine(d.User), printableLine(d.Room), verdictAndFault(d), orDefault(d.Policy), printableLine(d.Message), d.Revision)
	}
	return tw.Flush()
}

// printDecisionsJSON prints a JSON object a line.
func printDecisionsJSON(w io.Writer, list []store.Decision) error {
	for _, d := range list {
		if err := printJSON(w, decisionJSON(d)); err != nil {
			return fmt.Errorf("decision %d: %w", d.ID, err)
		}
	}
	return nil
}

// printMonitored lists what policies in monitor mode would have said.
func printMonitored(w io.Writer, list []store.Decision) error {
	would := map[string]string{
		"allow": "would have allowed", "deny": "would have denied",
		"incompatible": "would have answered incompatible", "pass": "would have passed",
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "time\trequest\tphase\tuser\troom\tpolicy\tmonitor\tdecided\tmessage\trevision")
	for _, d := range list {
		said := cmp.Or(would[d.Verdict], d.Verdict)
		if d.Fault != "" {
			said += " (fault: " + d.Fault + ")"
		}
		var detail struct {
			Decided string `json:"decided"`
		}
		if err := json.Unmarshal([]byte(d.Detail), &detail); err != nil {
			return fmt.Errorf("decision %d: %w", d.ID, err)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.12s\n", d.At.Local().Format(time.DateTime), d.RequestID, d.Phase,
			printable(d.User), printable(d.Room), d.Policy, said, detail.Decided, printable(d.Message), d.Revision)
	}
	return tw.Flush()
}

func verdictAndFault(d store.Decision) string {
	if d.Fault != "" {
		return d.Verdict + " (fault: " + d.Fault + ")"
	}
	return d.Verdict
}

func orDefault(policy string) string {
	if policy == "" {
		return "default"
	}
	return policy
}

// decisionJSON is a decision as --json prints it: as the admin API lists it, with the
// detail as it is stored.
func decisionJSON(d store.Decision) any {
	return struct {
		admin.Decision
		Detail json.RawMessage `json:"detail,omitempty"`
	}{listedDecision(&d), json.RawMessage(d.Detail)}
}
