package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/policytest"
	"github.com/knockgate/knockgate/plugins"
)

func newPolicyBench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench [DIR | MODULE.wasm]",
		Short: "Measure what a policy's decisions take",
		Long: `Has a module judge the knocks of its fixtures again and again, in turns with the
floor: a module that passes at once, which shows the host's own share. Without fixtures
it is an ordinary make_knock and an ordinary send_knock. Times are from facts to
verdict in one goroutine, and swing with the machine; their ratio to the floor, and
above all the fuel, swing less.

With --all the argument is a folder of policies, and each gets a row of a table: of its
fixtures the median and the dearest.

Exit codes: 0 measured, 2 the module or a file cannot be used.`,
		Example: "  knockgate policy bench policies/server_rules\n  knockgate policy bench --json my_policy.wasm",
		Args:    cobra.MaximumNArgs(1),
	}
	calls := cmd.Flags().Int("calls", 2000, "how `often` each knock is judged")
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object")
	all := cmd.Flags().Bool("all", false, "measure every policy in the folder")
	cmd.MarkFlagsMutuallyExclusive("all", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		arg := "."
		if len(args) > 0 {
			arg = args[0]
		}
		if *calls < 1 || *calls > 1_000_000 {
			return unusable(cmd, fmt.Errorf("--calls %d: must be 1 to 1000000", *calls))
		}
		if *all {
			if err := benchAll(cmd.Context(), cmd.OutOrStdout(), arg, *calls); err != nil {
				return unusable(cmd, err)
			}
			return nil
		}
		module, folder, err := policytest.Find(arg)
		if err != nil {
			return unusable(cmd, err)
		}
		files := []*policytest.File{policytest.Standard()}
		if _, err := os.Stat(folder); err == nil {
			files, err = policytest.Load(folder)
			if err != nil {
				return unusable(cmd, err)
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return unusable(cmd, err)
		}
		m, err := policytest.Measure(cmd.Context(), module, files, *calls, policytest.Options{Compiler: childCompiler()})
		if err != nil {
			return unusable(cmd, err)
		}
		if *asJSON {
			return printBenchJSON(cmd.OutOrStdout(), module, m)
		}
		return printBench(cmd.OutOrStdout(), module, m)
	}
	return cmd
}

func printBench(w io.Writer, module string, m *policytest.Measurement) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	row := func(name, verdict, fuel string, t policytest.Times) {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%.1f\t  %s\n", micros(t.P50), micros(t.P99), fuel, verdict, over(t.P50, m.Floor.P50), printable(name))
	}
	fmt.Fprintln(tw, "p50 us\tp99 us\tfuel\tverdict\tfloors\t  knock")
	var most int64
	for _, k := range m.Knocks {
		row(k.Name, k.Verdict, fmt.Sprint(k.Fuel), k.Times)
		most = max(most, k.Fuel)
	}
	row("the floor: a module that passes at once", "pass", "1", m.Floor)
	if err := tw.Flush(); err != nil {
		return err
	}
	limits := plugins.DefaultLimits()
	memory := int64(limits.MemoryPages) << 16
	fmt.Fprintf(w, "\n%s\n", module)
	tw = tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tw, "  most fuel\t%d of %d ticks\t%s\n", most, limits.Fuel, percent(most, limits.Fuel))
	fmt.Fprintf(tw, "  memory\t%d of %d KiB\t%s\n", m.Memory>>10, memory>>10, percent(m.Memory, memory))
	fmt.Fprintf(tw, "  module\t%d of %d bytes\t%s\n", m.Size, plugins.MaxModule, percent(int64(m.Size), plugins.MaxModule))
	fmt.Fprintf(tw, "  load\t%s, with the compiling\t\n", m.Start.Round(time.Millisecond))
	return tw.Flush()
}

func micros(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Nanoseconds())/1000) }

func over(d, floor time.Duration) float64 { return float64(d) / float64(max(floor, 1)) }

func percent(n, of int64) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of)) }

func printBenchJSON(w io.Writer, module string, m *policytest.Measurement) error {
	type times struct {
		P50 int64 `json:"p50_ns"`
		P99 int64 `json:"p99_ns"`
	}
	of := func(t policytest.Times) times { return times{t.P50.Nanoseconds(), t.P99.Nanoseconds()} }
	type knock struct {
		Name    string `json:"name"`
		Verdict string `json:"verdict"`
		Fuel    int64  `json:"fuel"`
		times
	}
	out := struct {
		Module string  `json:"module"`
		Size   int     `json:"size"`
		Memory int64   `json:"memory"`
		Load   int64   `json:"load_ns"`
		Floor  times   `json:"floor"`
		Knocks []knock `json:"knocks"`
	}{module, m.Size, m.Memory, m.Start.Nanoseconds(), of(m.Floor), nil}
	for _, k := range m.Knocks {
		out.Knocks = append(out.Knocks, knock{k.Name, k.Verdict, k.Fuel, of(k.Times)})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
