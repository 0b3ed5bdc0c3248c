package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
)

func newReplay() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay [REQUEST_ID]",
		Short: "Judge a stored decision again, or all of some time",
		Long: `Judges a stored decision again with the policies of the configuration, and says
whether the outcome is the same. The policies are told what they were told then,
and what they ask of the host (lists, what they remember, random numbers, the
time) is answered as it was answered then. Nothing is written.

It needs a decision that was stored with keep_facts of [decisions]. With the
policies as they were, the outcome is the same; with changed ones, this is what
they would have decided.

Without REQUEST_ID it judges all decisions since a time, or those of a file, and
says how many come out otherwise, and which. --policy puts a module in the place of
the configured policy of its file name, or of the policy of that name; if there is
none, it is asked before all others, without settings.

Exit codes: 0 the same, 2 another outcome, 1 anything else.`,
		Example: "  knockgate replay 7KQ3ZL5YPA\n  knockgate replay --since 7d --policy ./my_rule.wasm\n  knockgate replay --against decisions.jsonl --policy ./my_rule.wasm --json",
		Args:    cobra.MaximumNArgs(1),
	}
	path := configFlag(cmd)
	many := replayFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return replayMany(cmd, *path, many)
		}
		if name := many.given(cmd); name != "" {
			return fmt.Errorf("--%s stands beside a REQUEST_ID; it is for replays of many decisions", name)
		}
		return withStore(cmd, *path, func(cfg *config.Config, st *store.Store) error {
			d, err := findDecision(cmd, st, args[0])
			if err != nil {
				return err
			}
			was, err := decisionlog.Restore(d)
			if err != nil {
				return err
			}
			if p, err := decisionlog.Open(d); err == nil && p.Permit != nil {
				fmt.Fprintf(cmd.OutOrStdout(), "permit %d let it in; the policies' own verdict is judged again\n", p.Permit.ID)
			}
			return replay(cmd.Context(), cmd.OutOrStdout(), cfg, was)
		})
	}
	return cmd
}

func replay(ctx context.Context, w io.Writer, cfg *config.Config, was *plugins.Recorded) (err error) {
	chain, end, err := loadAside(ctx, cfg, chainSpec(cfg.Policies))
	if err != nil {
		return fmt.Errorf("%s: %w", cfg.Path, err)
	}
	defer func() { err = errors.Join(err, end()) }()

	var d plugins.Decision
	differences := chain.Replay(ctx, was, &d)
	fmt.Fprintf(w, "decision %s, %s of %s on %s\n", was.Facts.RequestID, was.Facts.Phase, printable(was.Facts.UserID), printable(was.Facts.RoomID))
	fmt.Fprintf(w, "  chain     was %.12s, is %.12s\n", was.Revision, d.Revision)
	for _, s := range d.Steps {
		fmt.Fprintf(w, "  policy    %s: %s\n", s.Policy, stepOutcome(s))
		calls, err := plugins.DescribeTrace(s.Trace)
		if err != nil {
			return err
		}
		for _, call := range calls {
			fmt.Fprintf(w, "            %s\n", call)
		}
	}
	fmt.Fprintf(w, "  verdict   %s, by %s\n", d.Verdict, orDefault(d.Policy))
	if len(differences) == 0 {
		fmt.Fprintln(w, "the same as it was")
		return nil
	}
	fmt.Fprintln(w, "another outcome:")
	for _, x := range differences {
		where := "chain"
		if x.Policy != "" {
			where = "policy " + x.Policy
		}
		fmt.Fprintf(w, "  %s: %s\n", where, strings.ToValidUTF8(x.What, "\ufffd"))
	}
	return exitCode(exitDenied)
}

func stepOutcome(s plugins.Step) string {
	if s.Fault.Class != plugins.FaultNone {
		return fmt.Sprintf("fault %s: %s", s.Fault.Class, s.Fault.Text)
	}
	return s.Verdict.String()
}
