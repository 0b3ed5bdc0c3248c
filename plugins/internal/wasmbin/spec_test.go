package wasmbin

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// specDir is where wazero's module keeps the specification's own test suite,
// version 2.0, as binaries.
func specDir(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal/integration_test/spectest")
	if err != nil {
		t.Skipf("wazero's module is not there: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("wazero's module has no test suite: %v", err)
	}
	return dir
}

// specLimits let the suite's odd modules through; the limits have tests of
// their own.
func specLimits() Limits {
	l := DefaultLimits()
	l.MemoryMin, l.TableMin, l.TableMax, l.Locals, l.Labels, l.Params, l.Results = 65536, 1<<31, 1<<32-1, 1<<20, 1<<20, 1000, 1000
	return l
}

type specValue struct {
	Type  string          `json:"type"`
	Lane  string          `json:"lane_type"`
	Value json.RawMessage `json:"value"`
}

type specCommand struct {
	Type       string `json:"type"`
	Line       int    `json:"line"`
	Name       string `json:"name"`
	As         string `json:"as"`
	Filename   string `json:"filename"`
	ModuleType string `json:"module_type"`
	Action     struct {
		Type   string      `json:"type"`
		Module string      `json:"module"`
		Field  string      `json:"field"`
		Args   []specValue `json:"args"`
	} `json:"action"`
}

// raw returns the value as wazero passes it: one word, two for a v128.
func (v specValue) raw(t *testing.T) []uint64 {
	var one string
	if v.Type != "v128" {
		if err := json.Unmarshal(v.Value, &one); err != nil {
			t.Fatal(err)
		}
		if v.Type == "externref" || v.Type == "funcref" {
			if one == "null" {
				return []uint64{0}
			}
			n, _ := strconv.ParseUint(one, 10, 64)
			return []uint64{n + 1}
		}
		n, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{n}
	}
	var lanes []string
	if err := json.Unmarshal(v.Value, &lanes); err != nil {
		t.Fatal(err)
	}
	out := make([]uint64, 2)
	bits := 128 / len(lanes)
	for i, lane := range lanes {
		n, err := strconv.ParseUint(lane, 10, 64)
		if err != nil {
			switch { // the suite writes some NaN lanes by name
			case strings.HasPrefix(lane, "nan") && bits == 32:
				n = uint64(math.Float32bits(float32(math.NaN())))
			case strings.HasPrefix(lane, "nan"):
				n = math.Float64bits(math.NaN())
			default:
				t.Fatal(err)
			}
		}
		out[i*bits/64] |= n << (i * bits % 64)
	}
	return out
}

// specWorld is a runtime that plays one script, with or without metering.
type specWorld struct {
	t       *testing.T
	r       wazero.Runtime
	metered bool
	named   map[string]*instance
	last    *instance
	all     []*instance
}

func newSpecWorld(t *testing.T, c wazero.RuntimeConfig, dir string, metered bool) *specWorld {
	ctx := context.Background()
	w := &specWorld{t: t, r: wazero.NewRuntimeWithConfig(ctx, c), metered: metered, named: map[string]*instance{}}
	bin, err := os.ReadFile(filepath.Join(dir, "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.r.InstantiateWithConfig(ctx, bin, wazero.NewModuleConfig().WithName("spectest")); err != nil {
		t.Fatal(err)
	}
	return w
}

// prepare is the way of a binary into the runtime: scan and metering in one
// world, nothing in the other.
func (w *specWorld) prepare(bin []byte) ([]byte, error) {
	if !w.metered {
		return bin, nil
	}
	m, err := Scan(bin, specLimits())
	if err != nil {
		return nil, err
	}
	out, err := Meter(m, MeterOptions{InitialFuel: plenty, MaxDepth: maxFrames})
	if err != nil {
		return nil, err
	}
	return out.Bin, nil
}

func (w *specWorld) module(bin []byte, as string) error {
	w.last = nil
	ctx := context.Background()
	bin, err := w.prepare(bin)
	if err != nil {
		return err
	}
	c, err := w.r.CompileModule(ctx, bin)
	if err != nil {
		return err
	}
	mod, err := w.r.InstantiateModule(ctx, c, wazero.NewModuleConfig().WithName(as).WithStartFunctions())
	if err != nil {
		return err
	}
	w.last = &instance{Module: mod}
	w.last.fuel, _ = mod.ExportedGlobal(FuelGlobal).(api.MutableGlobal)
	w.last.depth, _ = mod.ExportedGlobal(DepthGlobal).(api.MutableGlobal)
	w.all = append(w.all, w.last)
	return nil
}

// do returns what an action gave, as text that is the same for equal outcomes.
func (w *specWorld) do(c specCommand) string {
	i := w.last
	if c.Action.Module != "" {
		i = w.named[c.Action.Module]
	}
	if i == nil {
		return "no module"
	}
	if c.Action.Type == "get" {
		g := i.ExportedGlobal(c.Action.Field)
		if g == nil {
			return "no global"
		}
		return fmt.Sprint(g.Type(), g.Get())
	}
	var args []uint64
	for _, v := range c.Action.Args {
		args = append(args, v.raw(w.t)...)
	}
	f := i.ExportedFunction(c.Action.Field)
	if f == nil {
		return "no function"
	}
	for _, each := range w.all {
		if each.fuel != nil {
			each.refuel(plenty, maxFrames)
		}
	}
	out, err := f.Call(context.Background(), args...)
	if err != nil {
		reason, _, _ := strings.Cut(err.Error(), "\n")
		if strings.Contains(reason, "stack overflow") || w.metered && i.class(err) == "too deep" {
			return "stack overflow"
		}
		return reason
	}
	if slices.Contains(f.Definition().ResultTypes(), api.ValueType(FuncRef)) {
		return "a funcref" // an address in the host
	}
	used := int64(0) // by all modules: an export may be another's
	for _, each := range w.all {
		if each.fuel == nil {
			continue
		}
		used += plenty - each.left()
		if depth := api.DecodeI32(each.depth.Get()); depth != maxFrames {
			return fmt.Sprintf("depth left %d", depth)
		}
	}
	if w.metered && used <= 0 {
		return fmt.Sprintf("fuel used %d", used)
	}
	return fmt.Sprint(out)
}

// TestSpec plays the specification's test suite twice, plain and metered, on
// both engines. Every action has the same outcome in both worlds; every module
// wazero takes is accepted, and what wazero refuses is not made acceptable by
// the rewriting.
func TestSpec(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine does all of it")
	}
	dir := specDir(t)
	for _, e := range engines {
		if testing.Short() && e.name == "interpreter" {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			scripts, _ := filepath.Glob(filepath.Join(dir, "v2", "testdata", "*.json"))
			if len(scripts) < 100 {
				t.Fatalf("%d scripts, want the whole suite", len(scripts))
			}
			total := map[string]int{}
			for _, s := range scripts {
				playScript(t, e.config(), dir, s, total)
			}
			t.Logf("%d modules, %d actions, %d refusals", total["module"], total["action"], total["refused"])
			if total["module"] < 1000 || total["action"] < 40_000 || total["refused"] < 2000 {
				t.Error("fewer than the suite has")
			}
		})
	}
}

func playScript(t *testing.T, c wazero.RuntimeConfig, dir, path string, total map[string]int) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var script struct {
		Commands []specCommand `json:"commands"`
	}
	if err := json.Unmarshal(text, &script); err != nil {
		t.Fatal(err)
	}
	worlds := []*specWorld{newSpecWorld(t, c, dir, false), newSpecWorld(t, c, dir, true)}
	defer worlds[0].r.Close(context.Background())
	defer worlds[1].r.Close(context.Background())
	plain, metered := worlds[0], worlds[1]
	for n, c := range script.Commands {
		at := fmt.Sprintf("%s:%d", filepath.Base(path), c.Line)
		var bin []byte
		if c.Filename != "" && c.ModuleType != "text" {
			if bin, err = os.ReadFile(filepath.Join(filepath.Dir(path), c.Filename)); err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case c.Type == "module" || c.Type == "assert_unlinkable" || c.Type == "assert_uninstantiable":
			as := registered(script.Commands[n:])
			errPlain, errMetered := plain.module(bin, as), metered.module(bin, as)
			if (errPlain == nil) != (errMetered == nil) {
				t.Errorf("%s: %s: plain %v, metered %v", at, c.Filename, errPlain, errMetered)
			}
			if c.Name != "" {
				plain.named[c.Name], metered.named[c.Name] = plain.last, metered.last
			}
			total["module"]++
		case bin != nil && (c.Type == "assert_invalid" || c.Type == "assert_malformed"):
			errPlain := plain.refuses(bin)
			if err := metered.refuses(bin); err == nil && errPlain != nil {
				t.Errorf("%s: %s is accepted metered, but not plain: %v", at, c.Filename, errPlain)
			}
			total["refused"]++
		case c.Action.Type != "":
			got, want := metered.do(c), plain.do(c)
			if got != want {
				t.Errorf("%s: %s %s: metered %q, plain %q", at, c.Action.Type, c.Action.Field, got, want)
			}
			total["action"]++
		}
	}
}

func (w *specWorld) refuses(bin []byte) error {
	bin, err := w.prepare(bin)
	if err == nil {
		_, err = w.r.CompileModule(context.Background(), bin)
	}
	return err
}

// registered returns the name under which others import the module that the
// first command makes.
func registered(commands []specCommand) string {
	for _, c := range commands[1:] {
		if c.Type == "register" && (c.Name == "" || c.Name == commands[0].Name) {
			return c.As
		}
		if c.Type == "module" && commands[0].Name == "" {
			return ""
		}
	}
	return ""
}
