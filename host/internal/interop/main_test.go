package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// resident is the server that all tests share: the real program, built from
// this tree and run as a process of its own.
var resident *serve

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "knockgate-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)

	program := filepath.Join(dir, "knockgate")
	if err := build(program); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if resident, err = start(program, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code = m.Run()
	if err := resident.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "the log of serve:\n%s", resident.log())
	}
	return code
}
