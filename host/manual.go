package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newManual() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "manual FOLDER",
		Short:  "Write the manual pages of all commands",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
	}
	date := cmd.Flags().String("date", time.Now().UTC().Format(time.DateOnly), "the `date` on the pages")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := time.Parse(time.DateOnly, *date); err != nil {
			return fmt.Errorf("--date: %w", err)
		}
		if err := os.MkdirAll(args[0], 0o755); err != nil {
			return err
		}
		for name, page := range manual(cmd.Root(), *date) {
			if err := os.WriteFile(filepath.Join(args[0], name), page, 0o644); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// manual returns the manual pages of cmd and all commands under it that are not
// hidden, by file name. What the pages say is what --help says.
func manual(cmd *cobra.Command, date string) map[string][]byte {
	pages := map[string][]byte{pageName(cmd) + ".1": manualPage(cmd, date)}
	for _, c := range shown(cmd) {
		maps.Copy(pages, manual(c, date))
	}
	return pages
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manualPage returns the page of one command, in the macros of man(7).
func manualPage(cmd *cobra.Command, date string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %s 1 %s \"knockgate %s\" Knockgate\n", strings.ToUpper(roff(pageName(cmd))), date, roff(version()))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(pageName(cmd)), roff(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(cmd.CommandPath()))
	if cmd.HasAvailableSubCommands() {
		b.WriteString(".I COMMAND\n")
	} else if rest := strings.TrimPrefix(cmd.UseLine(), cmd.CommandPath()); rest != "" {
		fmt.Fprintf(&b, "%s\n", roff(strings.TrimSpace(rest)))
	}
	section := "DESCRIPTION"
	for paragraph := range strings.SplitSeq(cmp.Or(cmd.Long, cmd.Short), "\n\n") {
		if codes, ok := cutAny(paragraph, "Exit codes: ", "Exit code: "); ok {
			section, paragraph = "EXIT STATUS", codes
		}
		if section != "" {
			fmt.Fprintf(&b, ".SH %s\n", section)
		} else {
			b.WriteString(".PP\n")
		}
		section = ""
		paragraphOf(&b, paragraph)
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, c := range shown(cmd) {
			fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(pageName(c)), roff(c.Short))
		}
	}
	manualFlags(&b, "OPTIONS", cmd.NonInheritedFlags())
	manualFlags(&b, "OPTIONS OF THE COMMANDS ABOVE", cmd.InheritedFlags())
	if cmd.Example != "" {
		b.WriteString(".SH EXAMPLES\n")
		paragraphOf(&b, cmd.Example)
	}
	if cmd.HasParent() {
		fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", roff(pageName(cmd.Parent())))
	}
	return b.Bytes()
}

// paragraphOf writes a paragraph: filled, or, if its lines are indented, as it is.
func paragraphOf(b *bytes.Buffer, text string) {
	if !strings.HasPrefix(text, " ") {
		fmt.Fprintf(b, "%s\n", roff(text))
		return
	}
	b.WriteString(".RS 2\n.nf\n")
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(b, "%s\n", roff(strings.TrimPrefix(line, "  ")))
	}
	b.WriteString(".fi\n.RE\n")
}

func manualFlags(b *bytes.Buffer, section string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", section)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" || f.Name == "help" {
			return
		}
		b.WriteString(".TP\n\\fB")
		if f.Shorthand != "" {
			fmt.Fprintf(b, "\\-%s\\fR, \\fB", roff(f.Shorthand))
		}
		fmt.Fprintf(b, "\\-\\-%s\\fR", roff(f.Name))
		argument, usage := pflag.UnquoteUsage(f)
		if argument != "" {
			fmt.Fprintf(b, " \\fI%s\\fR", roff(argument))
		}
		if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "[]" {
			usage += fmt.Sprintf(" (default %s)", d)
		}
		fmt.Fprintf(b, "\n%s\n", roff(usage))
	})
}

// shown returns the commands under cmd that help shows.
func shown(cmd *cobra.Command) []*cobra.Command {
	return slices.DeleteFunc(slices.Clone(cmd.Commands()), func(c *cobra.Command) bool {
		return !c.IsAvailableCommand() || c.Name() == "help"
	})
}

// roff returns text that man(7) shows as it is: no line of it is a request, and
// what one can type is not turned into typographic signs.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", "\\(ga", "^", `\(ha`, "~", `\(ti`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

func cutAny(text string, prefixes ...string) (rest string, ok bool) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(text, p); ok {
			return rest, true
		}
	}
	return text, false
}
