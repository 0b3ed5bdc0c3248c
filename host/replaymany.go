package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/rejudge"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
)

// manyFlags are the flags of a replay of many decisions.
type manyFlags struct {
	since, policy, against string
	list                   int
	asJSON                 bool
}

func replayFlags(cmd *cobra.Command) *manyFlags {
	f := &manyFlags{}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "judge all decisions of this `time` up to now, such as 7d or 12h; default all")
	flags.StringVar(&f.against, "against", "", "judge the decisions of this `file`, as \"decisions --json\" prints them, and not those of the store")
	flags.StringVar(&f.policy, "policy", "", "the `module` to judge with, in the place of the configured policy of its name")
	flags.IntVar(&f.list, "list", 20, "list this `many` of the decisions with another verdict")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object with all that come out otherwise")
	return f
}

// given returns the name of a flag that was given, "" if none was.
func (*manyFlags) given(cmd *cobra.Command) string {
	for _, name := range [...]string{"since", "against", "policy", "list", "json"} {
		if cmd.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

func replayMany(cmd *cobra.Command, path string, f *manyFlags) error {
	if f.since != "" && f.against != "" {
		return errors.New("--since stands beside --against; a file is judged as a whole")
	}
	var since time.Time
	if f.since != "" {
		age, err := parseAge(f.since)
		if err != nil {
			return fmt.Errorf("--since %q: %w", f.since, err)
		}
		since = time.Now().Add(-age)
	}
	if f.against != "" {
		file, err := os.Open(f.against)
		if err != nil {
			return err
		}
		defer file.Close()
		cfg, err := config.Load(path)
		if err != nil {
			return err
		}
		source := func(ctx context.Context, each func(store.Decision) error) error {
			if err := rejudge.File(file)(ctx, each); err != nil {
				return fmt.Errorf("%s: %w", f.against, err)
			}
			return nil
		}
		return replayAll(cmd, cfg, f, source, 0)
	}
	return withStore(cmd, path, func(cfg *config.Config, st *store.Store) error {
		total, err := st.CountDecisions(cmd.Context(), since)
		if err != nil {
			return err
		}
		source := func(ctx context.Context, each func(store.Decision) error) error {
			return st.EachDecision(ctx, since, each)
		}
		return replayAll(cmd, cfg, f, source, total)
	})
}

// parseAge reads a time such as "7d", "36h" or "1d12h".
func parseAge(s string) (time.Duration, error) {
	days, rest := int64(0), s
	if before, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseInt(before, 10, 64)
		if err != nil || n < 0 || n > 36500 {
			return 0, errors.New("must be like 7d, 36h or 1d12h")
		}
		days, rest = n, after
	}
	d := time.Duration(days) * 24 * time.Hour
	if rest != "" {
		more, err := time.ParseDuration(rest)
		if err != nil || more < 0 {
			return 0, errors.New("must be like 7d, 36h or 1d12h")
		}
		d += more
	}
	if d <= 0 {
		return 0, errors.New("must be above 0")
	}
	return d, nil
}

// replaySpec is the configured chain with f.policy in it, and what was done with that.
func replaySpec(cfg *config.Config, module string) (spec plugins.ChainSpec, did string, err error) {
	spec = chainSpec(cfg.Policies)
	for i := range spec.Policies {
		restless(&spec.Policies[i])
	}
	if module == "" {
		return spec, "the configured policies", nil
	}
	base := filepath.Base(module)
	found := -1
	for i, p := range spec.Policies {
		if filepath.Base(p.Module) != base && p.Name+".wasm" != base {
			continue
		}
		if found >= 0 {
			return spec, "", fmt.Errorf("--policy %s: it could stand for the policies %s and %s; call the file NAME.wasm after the one that is meant", module, spec.Policies[found].Name, p.Name)
		}
		found = i
	}
	if found >= 0 {
		p := &spec.Policies[found]
		p.Module, p.Digest, p.Mode = module, "", plugins.Enforce
		return spec, fmt.Sprintf("%s as the policy %s", module, p.Name), nil
	}
	text, err := readWhole(module, plugins.MaxModule)
	if err != nil {
		return spec, "", err
	}
	added := plugins.PolicySpec{Name: strings.TrimSuffix(base, ".wasm"), Module: module, Grants: plugins.Inspect(text).Capabilities}
	spec.Policies = slices.Insert(spec.Policies, 0, added)
	return spec, module + " before the configured policies", nil
}

// restless has a policy never rest, and wait for no instance in vain: a replay is not
// the traffic of a minute.
func restless(p *plugins.PolicySpec) {
	p.Limits.Faults, p.Limits.FaultWindow = 10_000, time.Nanosecond
	p.Limits.Wait = time.Minute
}

func replayAll(cmd *cobra.Command, cfg *config.Config, f *manyFlags, source rejudge.Source, total int64) (err error) {
	spec, did, err := replaySpec(cfg, f.policy)
	if err != nil {
		return err
	}
	chain, end, err := loadAside(cmd.Context(), cfg, spec)
	if err != nil {
		return fmt.Errorf("%s: %w", cfg.Path, err)
	}
	defer func() { err = errors.Join(err, end()) }()
	var done atomic.Int64
	stop := showProgress(cmd.ErrOrStderr(), &done, total)
	s, err := rejudge.Run(cmd.Context(), chain, source, &done)
	stop()
	if err != nil {
		return err
	}
	if f.asJSON {
		err = printReplayJSON(cmd.OutOrStdout(), s)
	} else {
		err = printReplay(cmd.OutOrStdout(), did, s, f.list)
	}
	if err == nil && len(s.Changes) > 0 {
		err = exitCode(exitDenied)
	}
	return err
}

// showProgress writes how many are done to a terminal, every half second, until stop is
// called. Elsewhere it writes nothing.
func showProgress(w io.Writer, done *atomic.Int64, total int64) (stop func()) {
	file, ok := w.(*os.File)
	if !ok {
		return func() {}
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		every := time.NewTicker(500 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				fmt.Fprintf(w, "\r%s\x1b[K", progress(done.Load(), total))
			case <-end:
				fmt.Fprint(w, "\r\x1b[K")
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}

// progress says in one line how far it is.
func progress(done, total int64) string {
	if total <= 0 {
		return fmt.Sprintf("%d decisions", done)
	}
	const width = 30
	filled := int(min(done*width/total, width))
	return fmt.Sprintf("[%s%s] %d of %d decisions", strings.Repeat("#", filled), strings.Repeat(" ", width-filled), done, total)
}

func printReplay(w io.Writer, did string, s *rejudge.Summary, list int) error {
	rate := float64(s.Decisions) / max(s.Took.Seconds(), 1e-9)
	fmt.Fprintf(w, "judged %d decisions again in %s (%.0f a second), with %s\n", s.Decisions, s.Took.Round(time.Millisecond), rate, did)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tw, "  the same\t%d\n", s.Same)
	for _, key := range slices.SortedFunc(maps.Keys(s.Verdicts), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Verdicts[b], s.Verdicts[a]), cmp.Compare(a, b))
	}) {
		fmt.Fprintf(tw, "  %s\t%d\n", key, s.Verdicts[key])
	}
	if s.Others > 0 {
		fmt.Fprintf(tw, "  the same verdict, otherwise given\t%d\n", s.Others)
	}
	if s.NoFacts > 0 {
		fmt.Fprintf(tw, "  stored without their facts, not judged\t%d\n", s.NoFacts)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	tw = tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	shown := 0
	for i := range s.Changes {
		c := &s.Changes[i]
		if !c.Verdict() {
			continue
		}
		if shown++; shown > list {
			continue
		}
		if shown == 1 {
			fmt.Fprintln(tw, "\ntime\trequest\tphase\tuser\troom\twas\tis\tby\tcode\tmessage")
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.At.Local().Format(time.DateTime), printable(c.RequestID), c.Phase,
			printable(c.User), printable(c.Room), c.Was, c.Is, orDefault(c.IsBy), printable(c.Code), printable(c.Message))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if shown > list {
		fmt.Fprintf(w, "and %d more; --list lists more, --json all\n", shown-list)
	}
	return nil
}

func printReplayJSON(w io.Writer, s *rejudge.Summary) error {
	type difference struct {
		Policy string `json:"policy,omitempty"`
		What   string `json:"what"`
	}
	type change struct {
		RequestID   string       `json:"request_id"`
		At          time.Time    `json:"at"`
		Phase       string       `json:"phase"`
		Room        string       `json:"room_id"`
		User        string       `json:"user_id"`
		Origin      string       `json:"origin"`
		Was         string       `json:"was"`
		WasBy       string       `json:"was_by"`
		Is          string       `json:"is"`
		IsBy        string       `json:"is_by"`
		Message     string       `json:"message,omitempty"`
		Code        string       `json:"code,omitempty"`
		Differences []difference `json:"differences"`
	}
	out := struct {
		Decisions int64            `json:"decisions"`
		Same      int64            `json:"same"`
		NoFacts   int64            `json:"without_facts"`
		Verdicts  map[string]int64 `json:"verdicts"`
		Others    int64            `json:"others"`
		Seconds   float64          `json:"seconds"`
		Changes   []change         `json:"changes"`
	}{s.Decisions, s.Same, s.NoFacts, s.Verdicts, s.Others, s.Took.Seconds(), []change{}}
	for i := range s.Changes {
		c := &s.Changes[i]
		one := change{RequestID: c.RequestID, At: c.At, Phase: c.Phase, Room: c.Room, User: c.User, Origin: c.Origin,
			Was: c.Was, WasBy: c.WasBy, Is: c.Is, IsBy: c.IsBy, Message: c.Message, Code: c.Code}
		for _, d := range c.Differences {
			one.Differences = append(one.Differences, difference(d))
		}
		out.Changes = append(out.Changes, one)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}
