package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/author"
	"github.com/knockgate/knockgate/plugins"
)

func newPolicyNew() *cobra.Command {
	languages := strings.Join(author.Languages(), ", ")
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make the folder of a new policy, with its SDK",
		Long: `Makes a folder with a policy of a few lines, its metadata, its fixtures and the SDK
of its language, which builds and passes its tests as it is. Nothing is downloaded.

NAME is the folder, what is last in it the policy's name: lower-case letters, digits,
"-" and "_". The languages are ` + languages + `.

Exit codes: 0 made, 1 anything else; then nothing was made.`,
		Example: "  knockgate policy new my_rule --lang go",
		Args:    cobra.ExactArgs(1),
	}
	lang := cmd.Flags().String("lang", "go", "the `language`: "+languages)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		source, err := author.New(args[0], *lang)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "made %s; edit %s\nnext:\n  knockgate policy build %s\n  knockgate policy test %s\n", args[0], source, args[0], args[0])
		return nil
	}
	return cmd
}

func newPolicyBuild() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build [DIR]",
		Short: "Build a policy's module from its source",
		Long: `Builds the policy whose source is in DIR, by default this folder, to DIR/NAME.wasm,
where NAME is that of the folder. The language is known by the files that are there.
If metadata.json is there, it is written into the module. The file is replaced at once,
so that a running server which watches it never loads half of one.

It then says what was built, and whether a host would refuse it. Where a tool is
missing, it says how to install it.

Exit codes: 0 built, 1 the compiler or a host refuses it, 2 there is no source or no
compiler.`,
		Example: "  knockgate policy build policies/my_rule",
		Args:    cobra.MaximumNArgs(1),
	}
	out := cmd.Flags().StringP("output", "o", "", "write the module to this `file`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir := "."
		if len(args) > 0 {
			dir = args[0]
		}
		path, toolchain, in, err := buildPolicy(cmd.Context(), cmd.ErrOrStderr(), dir, *out)
		if errors.Is(err, author.ErrUnusable) {
			return unusable(cmd, err)
		} else if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		grants := strings.Join(in.Capabilities, ", ")
		fmt.Fprintf(w, "built %s\n  with     %s\n  size     %d bytes\n  digest   %s\n  imports  %s\n  grants   %s\n", path, toolchain, in.Size, in.Digest,
			importedBy(in.Imports), cmp.Or(grants, "needs none"))
		if in.Err != nil {
			return fmt.Errorf("%s: a host refuses it: %s: %w", path, in.Stage, in.Err)
		}
		return nil
	}
	return cmd
}

// buildPolicy builds the policy in dir to out, or to the module of the folder's name
// if that is "", with its metadata, and looks at what came out. toolchain is what built it. What
// the compiler says goes to output.
func buildPolicy(ctx context.Context, output io.Writer, dir, out string) (path, toolchain string, in *plugins.Inspection, err error) {
	name, err := author.Name(dir)
	if err != nil {
		return "", "", nil, err
	}
	if path = out; path == "" {
		path = filepath.Join(dir, name+".wasm")
	}
	built, err := author.Build(ctx, dir, output)
	if err != nil {
		return "", "", nil, err
	}
	module := built.Module
	metadata := filepath.Join(dir, "metadata.json")
	if _, err := os.Stat(metadata); err == nil {
		text, err := readWhole(metadata, 1<<20)
		if err != nil {
			return "", "", nil, err
		}
		if module, err = plugins.Annotate(module, text); err != nil {
			return "", "", nil, fmt.Errorf("%s: %w", metadata, err)
		}
	}
	if err := replaceModule(path, module); err != nil {
		return "", "", nil, err
	}
	return path, built.Toolchain, plugins.Inspect(module), nil
}

// importedBy says in one line what a module imports: the functions of the host by
// name, those of WASI by their number.
func importedBy(imports []string) string {
	var named []string
	wasi := 0
	for _, im := range imports {
		name, _, _ := strings.Cut(im, " ")
		if strings.HasPrefix(name, "wasi_") {
			wasi++
		} else {
			named = append(named, name)
		}
	}
	if wasi > 0 {
		named = append(named, fmt.Sprintf("%d functions of WASI", wasi))
	}
	return cmp.Or(strings.Join(named, ", "), "none")
}
