package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

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
each knock instead, beside what was decided.

With --undecided, lists the knocks that came into a room round this server
instead, those of the homeserver's own users included. [upstream.appservice] is
what sees them; the last 10,000 are kept.

Exit codes: 0 listed, 1 anything else.`,
		Example: "  knockgate decisions --verdict deny --last 20\n  knockgate decisions --monitor --verdict deny\n  knockgate decisions --json\n  knockgate decisions --undecided --last 20",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	flags := cmd.Flags()
	var filter store.DecisionFilter
	flags.IntVar(&filter.Limit, "last", 50, "list this `many`")
	flags.StringVar(&filter.Room, "room", "", "only of this room `ID`")
	flags.StringVar(&filter.Origin, "origin", "", "only of this `server`")
	flags.StringVar(&filter.Verdict, "verdict", "", "only this `verdict`: allow, deny or incompatible")
	flags.BoolVar(&filter.Monitor, "monitor", false, "list what policies in monitor mode would have said")
	undecided := flags.Bool("undecided", false, "list the knocks that came in without a decision")
	asJSON := flags.Bool("json", false, "print one JSON object for each decision")
	cmd.MarkFlagsMutuallyExclusive("undecided", "monitor")
	cmd.MarkFlagsMutuallyExclusive("undecided", "verdict")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if filter.Limit < 1 {
			return fmt.Errorf("--last %d: must be at least 1", filter.Limit)
		}
		return withStore(cmd, *path, func(_ *config.Config, st *store.Store) error {
			if *undecided {
				f := store.UndecidedFilter{Room: filter.Room, Origin: filter.Origin, Limit: filter.Limit}
				return listUndecided(cmd.Context(), cmd.OutOrStdout(), st, f, *asJSON)
			}
			list, err := st.Decisions(cmd.Context(), filter)
			if err != nil {
				return err
			}
			if *asJSON {
				for _, d := range list {
					if err := printJSON(cmd.OutOrStdout(), decisionJSON(d)); err != nil {
						return err
					}
				}
				return nil
			}
			if filter.Monitor {
				return printMonitored(cmd.OutOrStdout(), list)
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(tw, "time\tphase\tuser\troom\tverdict\tpolicy\tmessage\trevision")
			for _, d := range list {
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.12s\n", d.At.Local().Format(time.DateTime), d.Phase,
					printable(d.User), printable(d.Room), verdictAndFault(d), orDefault(d.Policy), printable(d.Message), d.Revision)
			}
			return tw.Flush()
		})
	}
	return cmd
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

// decisionJSON is a decision as --json prints it.
func decisionJSON(d store.Decision) any {
	type took struct {
		Auth     int64 `json:"auth"`
		Protocol int64 `json:"protocol"`
		Policies int64 `json:"policies"`
		Act      int64 `json:"act"`
		Total    int64 `json:"total"`
	}
	return struct {
		ID        int64           `json:"id"`
		RequestID string          `json:"request_id"`
		At        time.Time       `json:"at"`
		Phase     string          `json:"phase"`
		Room      string          `json:"room_id"`
		User      string          `json:"user_id"`
		Origin    string          `json:"origin"`
		Event     string          `json:"event_id,omitempty"`
		Verdict   string          `json:"verdict"`
		Mode      string          `json:"mode,omitempty"`
		Policy    string          `json:"policy"`
		Revision  string          `json:"revision"`
		Fault     string          `json:"fault,omitempty"`
		Message   string          `json:"message,omitempty"`
		Note      string          `json:"note,omitempty"`
		Code      string          `json:"code,omitempty"`
		Status    int             `json:"status"`
		Errcode   string          `json:"errcode,omitempty"`
		Detail    json.RawMessage `json:"detail,omitempty"`
		Micros    took            `json:"us"`
	}{
		d.ID, d.RequestID, d.At, d.Phase, d.Room, d.User, d.Origin, d.Event, d.Verdict, d.Mode, d.Policy, d.Revision,
		d.Fault, d.Message, d.Note, d.Code, d.Status, d.Errcode, json.RawMessage(d.Detail),
		took{d.Auth.Microseconds(), d.Protocol.Microseconds(), d.Policies.Microseconds(), d.Act.Microseconds(), d.Total.Microseconds()},
	}
}
