package wasmbin

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/golden anew (needs wabt)")

// TestGolden compares what becomes of small modules, instruction by
// instruction. Each is NAME.wat and NAME.wasm; what Meter makes of it is
// NAME.metered.wat and NAME.metered.wasm.
func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/golden/*.wat")
	seen := 0
	for _, wat := range files {
		name := strings.TrimSuffix(wat, ".wat")
		if strings.HasSuffix(name, ".metered") {
			continue
		}
		seen++
		t.Run(filepath.Base(name), func(t *testing.T) {
			if *update {
				tool(t, "wat2wasm", "--debug-names", wat, "-o", name+".wasm")
			}
			bin, err := os.ReadFile(name + ".wasm")
			if err != nil {
				t.Fatal(err)
			}
			w, err := Meter(mustScan(t, bin), MeterOptions{InitialFuel: 1000, MaxDepth: 100})
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(name+".metered.wasm", w.Bin, 0o644); err != nil {
					t.Fatal(err)
				}
				tool(t, "wasm2wat", name+".metered.wasm", "-o", name+".metered.wat")
			}
			want, err := os.ReadFile(name + ".metered.wasm")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(w.Bin, want) {
				t.Errorf("Meter made something else of it: run with -update and read the difference")
			}
		})
	}
	if seen < 5 {
		t.Fatalf("%d golden modules", seen)
	}
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// TestGoldenSources checks that every .wasm beside a .wat is what the text says.
func TestGoldenSources(t *testing.T) {
	if _, err := exec.LookPath("wat2wasm"); err != nil {
		t.Skip("wat2wasm of wabt is not installed: .wasm files are not compared with their .wat")
	}
	files, _ := filepath.Glob("testdata/golden/*.wat")
	files = append(files, "testdata/opaenv.wat")
	for _, wat := range files {
		out := filepath.Join(t.TempDir(), "out.wasm")
		args := []string{wat, "-o", out}
		if strings.HasPrefix(wat, "testdata/golden") {
			args = append(args, "--debug-names")
		}
		tool(t, "wat2wasm", args...)
		got, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(wat, ".wat") + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(wat, ".metered.wat") {
			got, want = withoutCustoms(t, got), withoutCustoms(t, want)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s and its .wasm differ", wat)
		}
	}
}

// withoutCustoms drops custom sections, whose place a text does not keep.
func withoutCustoms(t *testing.T, bin []byte) []byte {
	t.Helper()
	out := bytes.Clone(header)
	r := reader{b: bin, pos: len(header), end: len(bin)}
	for r.left() > 0 {
		start := r.pos
		id := r.byte()
		r.skip(int(r.u32()))
		if id != secCustom {
			out = append(out, bin[start:r.pos]...)
		}
	}
	if r.err != nil {
		t.Fatal(r.err)
	}
	return out
}

// TestGoldenResults runs the golden modules, plain and metered, on both engines.
func TestGoldenResults(t *testing.T) {
	for _, name := range []string{"leaf", "calls", "values", "bulk"} {
		bin, err := os.ReadFile("testdata/golden/" + name + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		for n := uint64(1); n < 12; n++ {
			same(t, name, bin, n)
		}
	}
}

// same calls run(n) plain and metered on both engines, on fresh instances, and
// wants one outcome, and one figure of fuel.
func same(t *testing.T, name string, bin []byte, n uint64) {
	t.Helper()
	metered := mustMeter(t, bin).Bin
	var outcomes []string
	var values []uint64
	var fuel []int64
	for _, e := range engines {
		for _, b := range [][]byte{bin, metered} {
			i := open(t, e.config(), b)
			if i.fuel != nil {
				i.refuel(plenty, maxFrames)
			}
			out, err := i.ExportedFunction("run").Call(context.Background(), n)
			outcomes = append(outcomes, i.class(err))
			if err == nil && len(out) > 0 {
				values = append(values, out[0])
			}
			if i.fuel != nil {
				fuel = append(fuel, plenty-i.left())
			}
		}
	}
	for k := range outcomes {
		if outcomes[k] != outcomes[0] || len(values) > 0 && (len(values) != 4 || values[k] != values[0]) {
			t.Errorf("%s(%d): plain and metered on two engines: %v %v", name, n, outcomes, values)
			break
		}
	}
	if fuel[0] != fuel[1] || fuel[0] <= 0 {
		t.Errorf("%s(%d): fuel used on two engines: %d", name, n, fuel)
	}
}
