package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/knockgate/knockgate/host/internal/policytest"
	"github.com/knockgate/knockgate/sdk/abi"
)

// benchAll measures every policy in a folder of policies, and prints the table of
// policies/README.md.
func benchAll(ctx context.Context, w io.Writer, dir string, calls int) error {
	modules, err := filepath.Glob(filepath.Join(dir, "*", "*.wasm"))
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "| Policy | KB | us | floors | most us | floors | most ticks | memory, KiB |\n|---|---|---|---|---|---|---|---|\n")
	n := 0
	for _, module := range modules {
		name := filepath.Base(filepath.Dir(module))
		if filepath.Base(module) != name+".wasm" {
			continue
		}
		n++
		files, err := policytest.Load(filepath.Join(filepath.Dir(module), "testdata"))
		if err != nil {
			return err
		}
		m, err := policytest.Measure(ctx, module, files, calls, policytest.Options{Compiler: childCompiler()})
		if err != nil {
			return err
		}
		fmt.Fprintln(w, benchRow(name, m))
	}
	if n == 0 {
		return fmt.Errorf("%s: no policies NAME/NAME.wasm are there", dir)
	}
	return nil
}

// benchRow is a policy's row: the median of its knocks, and the dearest.
func benchRow(name string, m *policytest.Measurement) string {
	var times []time.Duration
	var fuel int64
	for _, k := range m.Knocks {
		fuel = max(fuel, k.Fuel)
		// After an error the next knock waits for a new instance.
		if k.Verdict != abi.Error.String() {
			times = append(times, k.Times.P50)
		}
	}
	if len(times) == 0 {
		times = []time.Duration{0}
	}
	slices.Sort(times)
	middle, most := times[len(times)/2], times[len(times)-1]
	return fmt.Sprintf("| %s | %d | %s | %.1f | %s | %.1f | %d | %d |", name, m.Size/1000,
		micros(middle), over(middle, m.Floor.P50), micros(most), over(most, m.Floor.P50), fuel, m.Memory>>10)
}
