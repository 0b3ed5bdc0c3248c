package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/knockgate/knockgate/host/internal/author"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// noFiles are the commands that take arguments, none of which is a file.
var noFiles = []string{"knockgate explain", "knockgate knock", "knockgate replay", "knockgate room decline"}

// completeValues has cmd and all commands under it complete the values of their
// flags, and no file where none is meant. What a shell asks on each key reads the
// configuration at most: no store is opened and nobody is asked.
func completeValues(cmd *cobra.Command) {
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if complete := valuesOf(cmd, f); complete != nil {
			// It fails for a flag that is not there or was registered before.
			if err := cmd.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
				panic(err)
			}
		}
	})
	takesNone := cmd.Runnable() && cmd.Args != nil && cmd.Args(cmd, []string{"x"}) != nil && cmd.Args(cmd, nil) == nil
	if takesNone || slices.Contains(noFiles, cmd.CommandPath()) {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, c := range cmd.Commands() {
		completeValues(c)
	}
}

// valuesOf returns what completes a flag; nil: its value is a file of any name.
func valuesOf(cmd *cobra.Command, f *pflag.Flag) cobra.CompletionFunc {
	value, _ := pflag.UnquoteUsage(f)
	switch {
	case f.Name == "config":
		return files("toml")
	case f.Name == "metadata":
		return files("json")
	case value == "module":
		return files("wasm")
	case value == "file":
		return nil
	case f.Name == "policy":
		return completePolicies
	}
	return cobra.FixedCompletions(map[string][]cobra.Completion{
		"engine":    {"compiler", "interpreter", "both"},
		"isolation": {"reset", "reuse", "fresh"},
		"join-rule": {"knock", "knock_restricted", "invite", "public", "restricted"},
		"lang":      author.Languages(),
		"since":     {"1h", "24h", "168h"},
		"ver":       matrix.RoomVersionIDs(),
		"verdict":   {"allow", "deny", "incompatible"},
		"version":   matrix.RoomVersionIDs(),
	}[f.Name], cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder)
}

// files completes files whose names end so, and folders.
func files(end string) cobra.CompletionFunc {
	return cobra.FixedCompletions([]cobra.Completion{end}, cobra.ShellCompDirectiveFilterFileExt)
}

// completePolicies completes the names of the configured policies: none where the
// configuration has a fault.
func completePolicies(cmd *cobra.Command, _ []string, begin string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const noFile = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, noFile
	}
	cfg, err := config.Load(path)
	if err != nil {
		return nil, noFile
	}
	var names []cobra.Completion
	for _, p := range cfg.Policies.Chain {
		if strings.HasPrefix(p.Name, begin) {
			names = append(names, p.Name)
		}
	}
	return names, noFile
}
