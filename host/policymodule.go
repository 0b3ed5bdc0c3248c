package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/plugins"
)

func newPolicyAnnotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "annotate MODULE.wasm --metadata FILE.json",
		Short: "Write a policy's metadata into its module",
		Long: `Writes what FILE.json says of a policy, {"name", "version", "description",
"settings"}, into the module's custom section knock.policy, in the place of what
stands there. Everything else in the module stays as it is; its digest changes.
"settings" is a JSON Schema: a host checks the configured settings against it
before it runs the policy. sdk/README.md says what may be in it.

Nothing is written if a host would refuse the module for it. A file is replaced
at once, so that a running server never loads half of one.

Exit codes: 0 written, 1 anything else.`,
		Example: "  knockgate policy annotate my_policy.wasm --metadata metadata.json",
		Args:    cobra.ExactArgs(1),
	}
	metadata := cmd.Flags().String("metadata", "", "the `file` with the metadata as JSON")
	out := cmd.Flags().StringP("output", "o", "", "write the module to this `file`; default is the module itself")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *metadata == "" {
			return errors.New("--metadata is missing: name the JSON file that says what the policy is")
		}
		module, err := readWhole(args[0], plugins.MaxModule)
		if err != nil {
			return err
		}
		text, err := readWhole(*metadata, 1<<20)
		if err != nil {
			return err
		}
		m, err := plugins.ParseMetadata(text)
		if err != nil {
			return fmt.Errorf("%s: %w", *metadata, err)
		}
		annotated, err := plugins.Annotate(module, text)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		path := cmp.Or(*out, args[0])
		if err := replaceModule(path, annotated); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is %s %s, %s\n", path, m.Name, m.Version, plugins.Inspect(annotated).Digest)
		return nil
	}
	return cmd
}

// readWhole reads a file of at most so many bytes. Of anything else than a file
// it reads nothing.
func readWhole(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a file", path)
	case info.Size() > most:
		return nil, fmt.Errorf("%s: %d bytes; at most %d", path, info.Size(), most)
	}
	return os.ReadFile(path)
}

// replaceModule replaces a file at once, or makes it. It leaves a file alone
// that is right already, and keeps the mode of one that is not.
func replaceModule(path string, content []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s: not a file", path)
		}
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
			return nil
		}
		mode = info.Mode().Perm()
	}
	return writeInOneStep(path, content, mode)
}

// writeInOneStep makes or replaces a file: who reads it finds the old or the new text.
func writeInOneStep(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no effect once it is renamed
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func newPolicyInspect() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect MODULE.wasm",
		Short: "Say what a policy's module is, without running it",
		Long: `Prints what a module says of itself, its digest as the configuration pins it, the
grants that it needs, the settings that it takes, and what it imports and exports.
Nothing of the module is compiled or run.

It also says whether a host would refuse the module before it compiles it. That
it does not is no promise that the module loads.

Exit codes: 0 printed and not refused, 1 anything else.`,
		Example: "  knockgate policy inspect policies/server_rules/server_rules.wasm\n  knockgate policy inspect --json my_policy.wasm",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		module, err := readWhole(args[0], plugins.MaxModule)
		if err != nil {
			return err
		}
		in := plugins.Inspect(module)
		if *asJSON {
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			err = enc.Encode(inspectionJSON(in))
		} else {
			err = printInspection(cmd.OutOrStdout(), in)
		}
		if err == nil && in.Err != nil {
			err = fmt.Errorf("%s: a host refuses it: %s: %w", args[0], in.Stage, in.Err)
		}
		return err
	}
	return cmd
}

// inspection is an inspection as --json prints it.
type inspection struct {
	Name        string            `json:"name,omitempty"`
	Version     string            `json:"version,omitempty"`
	Description string            `json:"description,omitempty"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Grants      []string          `json:"grants"`
	Settings    []plugins.Setting `json:"settings,omitempty"`
	Schema      json.RawMessage   `json:"schema,omitempty"`
	Imports     []string          `json:"imports"`
	Exports     []string          `json:"exports"`
	Refused     *refusal          `json:"refused,omitempty"`
}

type refusal struct {
	Stage  plugins.Stage `json:"stage"`
	Reason string        `json:"reason"`
}

func inspectionJSON(in *plugins.Inspection) inspection {
	list := func(s []string) []string { return append([]string{}, s...) }
	out := inspection{Digest: in.Digest, Size: in.Size, Grants: list(in.Capabilities), Imports: list(in.Imports), Exports: list(in.Exports)}
	if m := in.Metadata; m != nil {
		out.Name, out.Version, out.Description = m.Name, m.Version, m.Description
		out.Settings, out.Schema = m.Table(), m.Settings
	}
	if in.Err != nil {
		out.Refused = &refusal{in.Stage, in.Err.Error()}
	}
	return out
}

func printInspection(w io.Writer, in *plugins.Inspection) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(tw, strings.Join(cells, "\t")) }
	if m := in.Metadata; m != nil {
		row("name", m.Name)
		row("version", m.Version)
		row("description", m.Description)
	} else {
		row("metadata", "none")
	}
	row("digest", in.Digest)
	row("size", fmt.Sprint(in.Size, " bytes"))
	row("grants", cmp.Or(strings.Join(in.Capabilities, ", "), "needs none"))
	lists := []struct {
		title string
		lines []string
	}{{"imports", in.Imports}, {"exports", in.Exports}}
	for _, l := range lists {
		for _, line := range l.lines {
			row(l.title, line)
			l.title = ""
		}
	}
	if rows := in.Metadata.Table(); len(rows) > 0 {
		row()
		row("setting", "is", "default", "")
		for _, s := range rows {
			row(s.Path, kindOf(s), s.Default, s.Description)
		}
	}
	return tw.Flush()
}

// kindOf says what a setting may be.
func kindOf(s plugins.Setting) string {
	kind := s.Kind
	if len(s.Allowed) > 0 {
		kind = strings.Join(s.Allowed, ", ")
	}
	if s.Required {
		kind += ", required"
	}
	return kind
}
