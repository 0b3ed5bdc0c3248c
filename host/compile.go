package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/plugins"
)

// compileCommand is the subcommand that compiles one module, for this program
// alone to start.
const compileCommand = "compile-module"

// compiledDir is what the state folder calls the cache of compiled modules.
const compiledDir = "compiled"

func newCompile() *cobra.Command {
	return &cobra.Command{
		Use:    compileCommand + " ORDER",
		Short:  "Compile a policy's module within limits; the server starts this by itself",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if code := plugins.CompileChild(args, cmd.InOrStdin(), cmd.OutOrStdout()); code != exitOK {
				return exitCode(code)
			}
			return nil
		},
	}
}

// childCompiler has modules compiled by this program, in a process of their own.
func childCompiler() plugins.Compiler {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0] // which the engine names if it cannot be started
	}
	return plugins.Compiler{Command: []string{program, compileCommand}}
}
