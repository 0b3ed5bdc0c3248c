package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestManual writes the manual and holds that each command that help shows has
// a page with its name, its text and its flags, and that there is no other page.
func TestManual(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man")
	if code := run([]string{"manual", dir, "--date", "2020-02-02"}, io.Discard, os.Stderr); code != exitOK {
		t.Fatalf("manual: exit code %d", code)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Name() == "help" {
			return
		}
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		wanted[name] = true
		page, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("%s has no page: %v", cmd.CommandPath(), err)
			return
		}
		checkPage(t, name, string(page), cmd)
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(newRoot())
	for _, e := range entries {
		if !wanted[e.Name()] {
			t.Errorf("%s is the page of no command that help shows", e.Name())
		}
	}
	if len(wanted) < 15 {
		t.Errorf("%d commands; this test would say nothing", len(wanted))
	}
}

func checkPage(t *testing.T, name, page string, cmd *cobra.Command) {
	t.Helper()
	has := func(what string) {
		if !strings.Contains(page, what) {
			t.Errorf("%s does not have %q", name, what)
		}
	}
	has(fmt.Sprintf(".TH %s 1 2020-02-02 ", strings.ReplaceAll(strings.ToUpper(strings.TrimSuffix(name, ".1")), "-", `\-`)))
	has(".SH NAME\n")
	has(roff(cmd.Short))
	for line := range strings.Lines(cmd.Long) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "Exit code") {
			has(roff(line))
		}
	}
	if strings.Contains(cmd.Long, "Exit code") {
		has(".SH EXIT STATUS\n")
	}
	for line := range strings.Lines(cmd.Example) {
		has(roff(strings.TrimSpace(line)))
	}
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			has(`\-\-` + roff(f.Name) + `\fR`)
		}
	})
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !strings.Contains(" .TH .SH .B .BR .I .PP .TP .RS .RE .nf .fi ", " "+strings.Fields(line)[0]+" ") {
			t.Errorf("%s: a line that is no text: %q", name, line)
		}
	}
}

// TestRoff: text stays text, whatever it begins with.
func TestRoff(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"plain", "plain"},
		{".so /etc/passwd", `\&.so /etc/passwd`},
		{"'br", `\(aqbr`},
		{"a\n.b\n'c", "a\n\\&.b\n\\(aqc"},
		{`C:\n --x`, `C:\en \-\-x`},
		{"`~^", `\(ga\(ti\(ha`},
	} {
		if got := roff(tt.text); got != tt.want {
			t.Errorf("roff(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

// TestCompletion: the shells that packages have completions for.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out strings.Builder
		if code := run([]string{"completion", shell}, &out, &out); code != exitOK || !strings.Contains(out.String(), "knockgate") {
			t.Errorf("completion %s: exit code %d:\n%.200s", shell, code, out.String())
		}
	}
	config, broken := filepath.Join(t.TempDir(), "config.toml"), filepath.Join(t.TempDir(), "config.toml")
	for path, text := range map[string]string{config: "server_name = \"here.example\"\n" + stockPolicies, broken: "server_name = 1\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const noFile, keep, end = cobra.ShellCompDirectiveNoFileComp, cobra.ShellCompDirectiveKeepOrder, cobra.ShellCompDirectiveFilterFileExt
	for _, tt := range []struct {
		args   []string
		want   string // the values, one a line
		advice cobra.ShellCompDirective
	}{
		{[]string{"decisions", "--verdict", ""}, "allow\ndeny\nincompatible\n", noFile | keep},
		{[]string{"decisions", "--config", config, "--policy", ""}, "servers\nreasons\n", noFile | keep},
		{[]string{"decisions", "--config", config, "--policy", "re"}, "reasons\n", noFile | keep},
		{[]string{"decisions", "--config", broken, "--policy", ""}, "", noFile | keep},
		{[]string{"decisions", "--config", "nowhere.toml", "--policy", ""}, "", noFile | keep},
		{[]string{"decisions", "--user", ""}, "", noFile | keep},
		{[]string{"decisions", ""}, "purge\tDelete what is stored of a user's knocks\n", noFile},
		{[]string{"policy", "new", "x", "--lang", ""}, "go\nrust\nassemblyscript\nc\nrego\n", noFile | keep},
		{[]string{"policy", "test", "--engine", ""}, "compiler\ninterpreter\nboth\n", noFile | keep},
		{[]string{"policy", "inspect", ""}, "", cobra.ShellCompDirectiveDefault},
		{[]string{"room", "create", "--version", ""}, "7\n8\n9\n10\n11\n12\n", noFile | keep},
		{[]string{"replay", "--policy", ""}, "wasm\n", end},
		{[]string{"replay", "--against", ""}, "", cobra.ShellCompDirectiveDefault},
		{[]string{"explain", ""}, "", noFile},
		{[]string{"check", "--config", ""}, "toml\n", end},
		{[]string{"check", ""}, "", noFile},
	} {
		var out strings.Builder
		code := run(append([]string{"__complete"}, tt.args...), &out, io.Discard)
		if want := fmt.Sprintf("%s:%d\n", tt.want, tt.advice); code != exitOK || out.String() != want {
			t.Errorf("completion of %q: exit code %d, %q, want %q", tt.args, code, out.String(), want)
		}
	}
	var out strings.Builder
	if code := run([]string{"__complete", "policy", ""}, &out, io.Discard); code != exitOK || !strings.Contains(out.String(), "rollback") || strings.Contains(out.String(), "manual") {
		t.Errorf("completion of \"policy \": exit code %d: %q", code, out.String())
	}
}
