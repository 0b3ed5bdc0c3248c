package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/policytest"
	"github.com/knockgate/knockgate/plugins"
)

// exitUnusable is the exit code of commands for authors whose input is none, so
// that a script can tell it from a policy that is wrong.
const exitUnusable = 2

// unusable reports an error and ends the command with exitUnusable.
func unusable(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	if code := exitCode(0); errors.As(err, &code) {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "knockgate:", err)
	return exitCode(exitUnusable)
}

func newPolicyTest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [DIR | MODULE.wasm]",
		Short: "Hold a policy's module to its fixtures",
		Long: `Asks a module about the knocks in testdata/*.json beside it and holds its answers
to what is wanted there. It runs as in the server, with the same limits, in a memory
that each knock finds as it was after the settings. DIR is a policy's folder; the
default is this one.

policies/README.md says how fixtures are written. With --update, what came out is
written into the files as what is wanted: look at the difference before you keep it.

Exit codes: 0 all hold, 1 at least one does not, 2 the module or a file cannot be used.`,
		Example: "  knockgate policy test policies/server_rules\n  knockgate policy test --update\n  knockgate policy test --engine both --json my_policy.wasm",
		Args:    cobra.MaximumNArgs(1),
	}
	flags := cmd.Flags()
	update := flags.Bool("update", false, "write what came out into the fixtures as what is wanted")
	asJSON := flags.Bool("json", false, "print one JSON object for each engine")
	engine := flags.String("engine", "compiler", "`which`: compiler, as the server does, interpreter, or both")
	isolation := flags.String("isolation", "reset", "what the policy can remember between knocks: reset, reuse or fresh")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		arg := "."
		if len(args) > 0 {
			arg = args[0]
		}
		o := policytest.Options{Compiler: childCompiler(), Isolation: plugins.Isolation(*isolation)}
		engines, ok := map[string][]bool{"compiler": {false}, "interpreter": {true}, "both": {false, true}}[*engine]
		if !ok {
			return unusable(cmd, fmt.Errorf("--engine %q: must be compiler, interpreter or both", *engine))
		}
		module, folder, err := policytest.Find(arg)
		if err != nil {
			return unusable(cmd, err)
		}
		files, err := policytest.Load(folder)
		if err != nil {
			return unusable(cmd, err)
		}
		failed := 0
		for _, interpreter := range engines {
			o.Interpreter = interpreter
			r, err := policytest.Run(cmd.Context(), module, files, o)
			if err != nil {
				return unusable(cmd, err)
			}
			if *update {
				return unusable(cmd, updateFixtures(cmd.OutOrStdout(), files, r))
			}
			if *asJSON {
				err = printTestJSON(cmd.OutOrStdout(), module, interpreter, r)
			} else {
				err = printTest(cmd.OutOrStdout(), module, interpreter, r)
			}
			if err != nil {
				return err
			}
			failed += r.Failed()
		}
		if failed > 0 {
			return exitCode(exitFailed)
		}
		return nil
	}
	return cmd
}

// updateFixtures writes what came out into the files.
func updateFixtures(w io.Writer, files []*policytest.File, r *policytest.Report) error {
	for _, f := range files {
		n := 0
		for _, result := range r.Results {
			if result.File == f.Name && len(result.Differences) > 0 {
				n++
			}
		}
		if n == 0 {
			continue
		}
		if err := replaceModule(f.Path, f.Update(r)); err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: %d updated\n", f.Path, n)
	}
	if r.Failed() == 0 {
		fmt.Fprintln(w, "nothing to update: all fixtures hold")
	}
	return nil
}

func engineName(interpreter bool) string {
	if interpreter {
		return "interpreter"
	}
	return "compiler"
}

func printTest(w io.Writer, module string, interpreter bool, r *policytest.Report) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "fixture\tverdict\tcode\tfuel\t")
	var failed []*policytest.Result
	for i := range r.Results {
		result := &r.Results[i]
		ok, fuel := "ok", strconv.FormatInt(result.Got.Fuel, 10)
		if len(result.Differences) > 0 {
			ok = "FAIL"
			failed = append(failed, result)
		}
		if result.Got.Fuel == 0 {
			fuel = "-"
		}
		fmt.Fprintf(tw, "%s: %s\t%s\t%s\t%s\t%s\n", printable(result.File), printable(result.Name), dash(result.Got.Verdict), printable(dash(result.Got.Code)), fuel, ok)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, result := range failed {
		fmt.Fprintf(w, "\nFAIL %s: %s (%s.json, %s)\n", printable(result.File), printable(result.Name), printable(result.File), result.Path)
		for _, d := range result.Differences {
			fmt.Fprintf(w, "  %s: got %s, want %s\n", d.What, strings.ToValidUTF8(d.Got, "\ufffd"), d.Want)
		}
	}
	fmt.Fprintf(w, "\n%s, %s: %d ok, %d failed\n", module, engineName(interpreter), len(r.Results)-len(failed), len(failed))
	if len(failed) > 0 {
		fmt.Fprintln(w, "Change the policy and build it again, or, if what came out is right, run this again with --update.")
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func printTestJSON(w io.Writer, module string, interpreter bool, r *policytest.Report) error {
	type difference struct {
		What string `json:"what"`
		Got  string `json:"got"`
		Want string `json:"want"`
	}
	type result struct {
		File        string       `json:"file"`
		Name        string       `json:"name"`
		Path        string       `json:"path"`
		OK          bool         `json:"ok"`
		Verdict     string       `json:"verdict,omitempty"`
		Message     string       `json:"message,omitempty"`
		Code        string       `json:"code,omitempty"`
		Note        string       `json:"note,omitempty"`
		Fault       string       `json:"fault,omitempty"`
		Fuel        int64        `json:"fuel"`
		Differences []difference `json:"differences,omitempty"`
	}
	out := struct {
		Module  string   `json:"module"`
		Engine  string   `json:"engine"`
		OK      int      `json:"ok"`
		Failed  int      `json:"failed"`
		Results []result `json:"results"`
	}{module, engineName(interpreter), len(r.Results) - r.Failed(), r.Failed(), nil}
	for _, x := range r.Results {
		one := result{File: x.File, Name: x.Name, Path: x.Path, OK: len(x.Differences) == 0, Verdict: x.Got.Verdict,
			Message: x.Got.Message, Code: x.Got.Code, Note: x.Got.Note, Fault: x.Got.Fault, Fuel: x.Got.Fuel}
		for _, d := range x.Differences {
			one.Differences = append(one.Differences, difference(d))
		}
		out.Results = append(out.Results, one)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
