// Command knockgate decides who may knock on a Matrix room.
//
// Run it without arguments for its commands, or read README.md at the root of
// the repository.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes. Each command's help says which of them it uses.
const (
	exitOK           = 0
	exitFailed       = 1
	exitDenied       = 2
	exitIncompatible = 3
)

// exitCode is an error that has been reported and ends the program with a code.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run runs one command line and returns the exit code. It is what main is, so
// that tests run the whole program.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return runContext(ctx, args, stdout, stderr)
}

func runContext(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(stderr, "knockgate:", err)
	return exitFailed
}

// newRoot returns the command line.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "knockgate",
		Short: "Decide who may knock on a Matrix room",
		Long: `Knockgate answers the federation requests by which a user knocks on a Matrix
room (make_knock and send_knock), and asks WebAssembly policies that you write
before it lets a knock in.`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.AddCommand(newServe(), newKnock(), newDemo(), newRoom(), newDecisions(), newExplain(), newReplay(), newAllow(), newPolicy(), newKey(),
		newAppservice(), newReload(), newCheck(), newDoctor(), newHealthy(), newVersion(), newCompile(), newManual())
	completeValues(root)
	return root
}

// configFlag adds --config to a command and returns its value.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("config", "config.toml", "the configuration `file`")
}
