package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Long: `Prints what the program was built from: the version or the commit, the commit's
time, Go's version, the machine, and the libraries that decide what a policy does.

Exit code: 0.`,
		Example: "  knockgate version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "knockgate %s\n", version())
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return nil
			}
			settings := map[string]string{}
			for _, s := range info.Settings {
				settings[s.Key] = s.Value
			}
			row := func(name, value string) {
				if value != "" {
					fmt.Fprintf(w, "  %-8s %s\n", name, value)
				}
			}
			commit := settings["vcs.revision"]
			if settings["vcs.modified"] == "true" {
				commit += ", with changes"
			}
			row("commit", commit)
			row("of", settings["vcs.time"])
			row("go", info.GoVersion+" "+runtime.GOOS+"/"+runtime.GOARCH)
			for _, m := range info.Deps {
				switch m.Path {
				case "github.com/tetratelabs/wazero":
					row("wazero", m.Version)
				case "modernc.org/sqlite":
					row("sqlite", m.Version)
				}
			}
			return nil
		},
	}
}
