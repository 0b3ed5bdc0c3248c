package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
)

func newExplain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain REFERENCE",
		Short: "Say why a decision fell as it did",
		Long: `Prints all that is stored of a decision: who asked, what the peer was answered,
each policy that was asked with its verdict and what it asked of the host, and what
the policies were told. REFERENCE is the decision's request ID, which stands in the
log, in "knockgate decisions" and, with reference of [decisions], behind the message
to the knocker; its first characters do if no other decision has them.

Exit codes: 0 printed, 1 anything else.`,
		Example: "  knockgate explain 7KQ3ZL5YPA",
		Args:    cobra.ExactArgs(1),
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withStore(cmd, *path, func(_ *config.Config, st *store.Store) error {
			d, err := findDecision(cmd, st, args[0])
			if err != nil {
				return err
			}
			watched, err := st.Decisions(cmd.Context(), store.DecisionFilter{Monitor: true, Request: d.RequestID})
			if err != nil {
				return err
			}
			return explain(cmd.OutOrStdout(), d, watched)
		})
	}
	return cmd
}

// findDecision returns the decision whose request ID begins with reference, in
// either case.
func findDecision(cmd *cobra.Command, st *store.Store, reference string) (*store.Decision, error) {
	id := strings.ToUpper(strings.TrimSpace(reference))
	if id == "" {
		return nil, fmt.Errorf("the reference is empty; \"knockgate decisions\" shows them")
	}
	list, err := st.Decisions(cmd.Context(), store.DecisionFilter{Request: id, Limit: 2})
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, fmt.Errorf("no decision has the request ID %q; \"knockgate decisions\" shows them", reference)
	case len(list) > 1:
		return nil, fmt.Errorf("more than one decision begins with %q; give the whole request ID", reference)
	}
	return &list[0], nil
}

// explain prints all of a decision. Everything in it may be a stranger's.
func explain(w io.Writer, d *store.Decision, watched []store.Decision) error {
	p, err := decisionlog.Open(d)
	if err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, printableLine(fmt.Sprintf(format, args...)))
	}
	optional := func(name, text string) {
		if text != "" {
			row(name, "%s", text)
		}
	}
	row("decision", "%s of %s", d.RequestID, d.At.Local().Format("2006-01-02 15:04:05.000 -0700"))
	row("phase", "%s", d.Phase)
	row("user", "%s", d.User)
	row("room", "%s", d.Room)
	row("origin", "%s", d.Origin)
	optional("event", d.Event)
	row("verdict", "%s, by %s", verdictAndFault(*d), orDefault(d.Policy))
	if permit := p.Permit; permit != nil {
		row("permit", "the policies denied: %s; permit %d of %s let it in", chainWords(&permit.Chain), permit.ID, permit.Given.Local().Format(time.DateTime))
	}
	optional("code", d.Code)
	optional("note", d.Note)
	optional("fault", p.FaultText)
	row("answer", "%s", strings.TrimSpace(fmt.Sprintf("%d %s %s", d.Status, d.Errcode, d.Message)))
	row("revision", "%s", d.Revision)
	row("took", "%s: authentication %s, protocol %s, policies %s, acting %s", d.Total, d.Auth, d.Protocol, d.Policies, d.Act)
	row("fuel", "%d ticks", p.Fuel)
	if err := tw.Flush(); err != nil {
		return err
	}
	if err := explainSteps(w, p.Steps); err != nil {
		return err
	}
	for _, m := range slices.Backward(watched) {
		said := m.Verdict
		if m.Fault != "" {
			said += " (fault: " + m.Fault + ")"
		}
		fmt.Fprintf(w, "\nin monitor mode, %s would have said %s %s\n", printableLine(m.Policy), said, printableLine(m.Message))
	}
	for _, part := range []struct {
		name string
		json json.RawMessage
	}{{"the policy's detail", p.Detail}, {"what the policies were told", p.Facts}, {"the event", p.Event}} {
		if part.json == nil {
			continue
		}
		text, err := json.MarshalIndent(part.json, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "\n%s:\n", part.name)
		for line := range strings.Lines(string(text)) {
			fmt.Fprintln(w, printableJSON([]byte(strings.TrimSuffix(line, "\n"))))
		}
	}
	if p.Facts == nil {
		fmt.Fprintln(w, "\nwhat the policies were told is not stored: keep_facts of [decisions] was false")
	}
	return nil
}

// chainWords says what the policies decided where a permit let a knock in.
func chainWords(o *decisionlog.Outcome) string {
	words := orDefault(o.Policy)
	for _, part := range [...]struct{ before, text string }{{" (fault: ", o.Fault}, {" (code: ", o.Code}, {" (note: ", o.Note}} {
		if part.text != "" {
			words += part.before + part.text + ")"
		}
	}
	for _, text := range []string{o.FaultText, o.Message} {
		if text != "" {
			words += fmt.Sprintf(", %q", text)
		}
	}
	return words
}

// explainSteps prints the policies that were asked, in order, with their calls.
func explainSteps(w io.Writer, steps []plugins.Step) error {
	if len(steps) == 0 {
		fmt.Fprintln(w, "\nno policy was asked")
		return nil
	}
	fmt.Fprintln(w, "\nthe policies that were asked:")
	for i, s := range steps {
		outcome := s.Verdict.String()
		if s.Fault.Class != plugins.FaultNone {
			outcome = fmt.Sprintf("fault %s", s.Fault.Class)
		}
		fmt.Fprintf(w, "  %d. %s: %s, %d ticks, %s\n", i+1, printableLine(s.Policy), outcome, s.Fuel, time.Duration(s.Micros)*time.Microsecond)
		calls, err := plugins.DescribeTrace(s.Trace)
		if err != nil {
			return err
		}
		for _, call := range calls {
			fmt.Fprintf(w, "     %s\n", printableLine(call))
		}
	}
	return nil
}
