package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
)

// readmes returns every Markdown file of the repository with its text.
func readmes(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "state") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found[path] = string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 3 {
		t.Fatalf("%d READMEs found; this test would say nothing", len(found))
	}
	return found
}

// blocks returns the fenced blocks of one language.
func blocks(text, language string) (found []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// TestReadmeConfiguration loads every TOML block of every README as (part of)
// a configuration, and the policies of the whole chain in README.md. TestReadmeRuns has
// a server load its single policies, and package policies those of their READMEs.
func TestReadmeConfiguration(t *testing.T) {
	read, loaded := 0, 0
	for path, text := range readmes(t) {
		for _, block := range blocks(text, "toml") {
			if !strings.Contains(block, "server_name") {
				block = "server_name = \"here.example\"\n" + block
			}
			cfg, err := config.Parse(block, path)
			if err != nil {
				t.Errorf("%s:\n%s\n%v", path, block, err)
				continue
			}
			read++
			if path != filepath.Join("..", "README.md") || !strings.Contains(block, "[policies]") {
				continue
			}
			cfg.StateDir = t.TempDir()
			if _, err := tryLoad(t.Context(), cfg, chainSpec(cfg.Policies)); err != nil {
				t.Errorf("%s:\n%s\n%v", path, block, err)
			}
			loaded++
		}
	}
	if read < 30 || loaded != 1 {
		t.Errorf("%d TOML blocks, want at least 30, and the policies of %d, want 1", read, loaded)
	}
}

// TestReadmeJSON: every JSON block of every README is JSON.
func TestReadmeJSON(t *testing.T) {
	for path, text := range readmes(t) {
		for _, block := range blocks(text, "json") {
			if !json.Valid([]byte(block)) {
				t.Errorf("%s: this is no JSON:\n%s", path, block)
			}
		}
	}
}

// TestReadmeCommands parses every command line of this program in every README.
func TestReadmeCommands(t *testing.T) {
	command := regexp.MustCompile(`(?m)^(?:runuser -u knockgate -- )?(?:go run \./host|knockgate) (.*)$`)
	parsed := 0
	for path, text := range readmes(t) {
		for _, block := range blocks(text, "sh") {
			for _, m := range command.FindAllStringSubmatch(block, -1) {
				args := fields(m[1])
				cmd, rest, err := newRoot().Find(args)
				if err == nil {
					err = cmd.ParseFlags(rest)
				}
				if err == nil && cmd.Args != nil {
					err = cmd.Args(cmd, cmd.Flags().Args())
				}
				if err != nil || cmd.RunE == nil {
					t.Errorf("%s: %s: %v", path, m[0], err)
				}
				parsed++
			}
		}
	}
	if parsed < 4 {
		t.Errorf("%d commands found", parsed)
	}
}

// TestReadmeLinks: what READMEs link to in the repository is there, with its heading.
func TestReadmeLinks(t *testing.T) {
	all := readmes(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading := regexp.MustCompile("(?m)^##* (.*)$")
	// As GitHub makes them.
	anchor := func(heading string) string {
		kept := strings.Map(func(r rune) rune {
			if r == '-' || r == '_' || r == ' ' || unicode.IsLetter(r) || unicode.IsDigit(r) {
				return unicode.ToLower(r)
			}
			return -1
		}, heading)
		return strings.ReplaceAll(kept, " ", "-")
	}
	followed := 0
	for path, text := range all {
		text = regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllString(text, "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			to, name, anchored := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") {
				continue
			}
			at := path
			if to != "" {
				at = filepath.Join(filepath.Dir(path), to)
			}
			if _, err := os.Stat(at); err != nil {
				t.Errorf("%s: %s: %v", path, m[1], err)
				continue
			}
			followed++
			if !anchored {
				continue
			}
			there := slices.ContainsFunc(heading.FindAllStringSubmatch(all[at], -1), func(h []string) bool { return anchor(h[1]) == name })
			if !there {
				t.Errorf("%s: %s: no heading there has that anchor", path, m[1])
			}
		}
	}
	if followed < 50 {
		t.Errorf("%d links; this test would say nothing", followed)
	}
}

// TestReadmeNames: the Go files and the tests that READMEs name are there.
func TestReadmeNames(t *testing.T) {
	var files []string
	tests := map[string]bool{"TestMine": true} // an example
	test := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		files = append(files, filepath.ToSlash(path))
		if strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range test.FindAllStringSubmatch(string(text), -1) {
				tests[m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for path, text := range readmes(t) {
		for _, m := range regexp.MustCompile("`([\\w./-]+\\.go)`").FindAllStringSubmatch(text, -1) {
			named++
			made := strings.HasPrefix(m[1], "policies/my_rule/")
			if !made && !slices.ContainsFunc(files, func(file string) bool { return strings.HasSuffix(file, "/"+m[1]) }) {
				t.Errorf("%s names %s, which is not there", path, m[1])
			}
		}
		for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`).FindAllString(text, -1) {
			named++
			if !tests[name] {
				t.Errorf("%s names %s, which is not there", path, name)
			}
		}
	}
	if named < 50 {
		t.Errorf("%d names; this test would say nothing", named)
	}
}

// fields splits a command line as a shell would, as far as READMEs need it.
func fields(line string) (args []string) {
	for _, m := range regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`).FindAllString(line, -1) {
		args = append(args, strings.Trim(m, `'"`))
	}
	return args
}

// TestGateRunsReadmesTestCommand: the gate calls the README's test command,
// and calls it first.
func TestGateRunsReadmesTestCommand(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	gate, err := os.ReadFile("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	const command = "\ngo test ./...\n"
	if !strings.Contains(string(readme), command) {
		t.Error("README.md does not have the test command")
	}
	at := strings.Index(string(gate), command)
	if at < 0 {
		t.Fatal(".ci/run does not call the README's test command")
	}
	for _, other := range []string{"\ngo vet", "staticcheck@", "-race"} {
		if i := strings.Index(string(gate), other); i >= 0 && i < at {
			t.Errorf(".ci/run calls %q before the README's test command", strings.TrimSpace(other))
		}
	}
}

// TestEveryCommandHasHelp: each command says what it does, with an example
// where it takes anything.
func TestEveryCommandHasHelp(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		args := strings.Fields(cmd.CommandPath())[1:]
		var out strings.Builder
		if code := runContext(context.Background(), append(args, "--help"), &out, &out); code != exitOK {
			t.Errorf("%v --help: exit code %d", args, code)
		}
		if !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%v --help:\n%s", args, &out)
		}
		if takes := cmd.Args != nil || cmd.Flags().HasAvailableFlags(); cmd.Runnable() && takes && !cmd.Hidden && cmd.Example == "" {
			t.Errorf("%v has no example", args)
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(newRoot())
}
