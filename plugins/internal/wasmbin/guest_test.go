package wasmbin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

const (
	plenty    = int64(1) << 40
	maxFrames = 1024
)

// goGuest is built once, by TestMain.
var goGuest struct {
	path string
	why  string // why it is not there
}

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "wasmbin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildGoGuest(dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func buildGoGuest(dir string) {
	if testing.Short() {
		goGuest.why = "-short: the Go guest is not built"
		return
	}
	path := filepath.Join(dir, "goguest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "./testdata/goguest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		goGuest.why = fmt.Sprintf("the Go guest was not built: %v\n%s", err, out)
		return
	}
	goGuest.path = path
}

// guest is a real module with a function to call.
type guest struct {
	name  string
	small uint64 // rounds for a short call of run
	large uint64 // rounds for a longer one
}

var guests = []guest{{"cguest", 3, 40}, {"rustguest", 3, 40}, {"asguest", 3, 40}, {"regoguest", 1, 20}, {"goguest", 1, 3}}

func (g guest) bin(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join("testdata", g.name+".wasm")
	if g.name == "goguest" {
		if goGuest.path == "" {
			t.Skip(goGuest.why)
		}
		path = goGuest.path
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustScan(t testing.TB, bin []byte) *Module {
	t.Helper()
	m, err := Scan(bin, DefaultLimits())
	if err != nil {
		t.Fatalf("Scan: %v", err)
	}
	return m
}

func mustMeter(t testing.TB, bin []byte) *Metered {
	t.Helper()
	w, err := Meter(mustScan(t, bin), MeterOptions{InitialFuel: plenty, MaxDepth: maxFrames})
	if err != nil {
		t.Fatalf("Meter: %v", err)
	}
	return w
}

var engines = []struct {
	name   string
	config func() wazero.RuntimeConfig
}{
	{"compiler", wazero.NewRuntimeConfigCompiler},
	{"interpreter", wazero.NewRuntimeConfigInterpreter},
}

// caches keep compiled guests, one per engine.
var caches sync.Map

func cached(t testing.TB, engine string, c wazero.RuntimeConfig) wazero.RuntimeConfig {
	cache, _ := caches.LoadOrStore(engine, wazero.NewCompilationCache())
	return c.WithCompilationCache(cache.(wazero.CompilationCache)).WithMemoryLimitPages(1024).WithDebugInfoEnabled(false)
}

// instance is a running module with the globals of the metering, if it has them.
type instance struct {
	api.Module
	fuel, depth api.MutableGlobal
}

func (i *instance) refuel(fuel int64, depth int32) {
	i.fuel.Set(uint64(fuel))
	i.depth.Set(api.EncodeI32(depth))
}

func (i *instance) left() int64 { return int64(i.fuel.Get()) }

// class says how a call ended, in the words of the differential tests.
func (i *instance) class(err error) string {
	switch {
	case err == nil:
		return "returned"
	case i.fuel != nil && i.left() < 0:
		return "out of fuel"
	case i.depth != nil && api.DecodeI32(i.depth.Get()) < 0:
		return "too deep"
	}
	return "trap"
}

func instantiate(t testing.TB, r wazero.Runtime, bin []byte) (*instance, error) {
	t.Helper()
	ctx := context.Background()
	c, err := r.CompileModule(ctx, bin)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	for _, f := range c.ImportedFunctions() {
		name, _, _ := f.Import()
		if r.Module(name) != nil {
			continue
		}
		switch name {
		case wasi_snapshot_preview1.ModuleName:
			wasi_snapshot_preview1.MustInstantiate(ctx, r)
		case "env":
			env, err := os.ReadFile("testdata/opaenv.wasm")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.InstantiateWithConfig(ctx, env, wazero.NewModuleConfig().WithName("env")); err != nil {
				t.Fatal(err)
			}
		}
	}
	mod, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		return nil, err
	}
	i := &instance{Module: mod}
	i.fuel, _ = mod.ExportedGlobal(FuelGlobal).(api.MutableGlobal)
	i.depth, _ = mod.ExportedGlobal(DepthGlobal).(api.MutableGlobal)
	return i, nil
}

func newRuntime(t testing.TB, c wazero.RuntimeConfig) wazero.Runtime {
	r := wazero.NewRuntimeWithConfig(context.Background(), c)
	t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

// open runs bin in a runtime of its own.
func open(t testing.TB, c wazero.RuntimeConfig, bin []byte) *instance {
	t.Helper()
	i, err := instantiate(t, newRuntime(t, c), bin)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// caller returns a function that does n rounds of the guest's work.
func (g guest) caller(t testing.TB, i *instance) func(ctx context.Context, n uint64) (uint64, error) {
	t.Helper()
	if g.name == "regoguest" {
		return regoCaller(t, i)
	}
	run := i.ExportedFunction("run")
	if run == nil {
		t.Fatal("no export run")
	}
	var stack [1]uint64
	return func(ctx context.Context, n uint64) (uint64, error) {
		stack[0] = n
		err := run.CallWithStack(ctx, stack[:])
		return stack[0], err
	}
}

// regoCaller speaks OPA's ABI 1.2: write the input, call opa_eval, hash the
// JSON that comes back.
func regoCaller(t testing.TB, i *instance) func(context.Context, uint64) (uint64, error) {
	ctx := context.Background()
	mem := i.Memory()
	input := []byte(`{"origin":"good.example","reason":"Please let me in I would like to talk please","room":"!r:here.example"}`)
	heap, err := i.ExportedFunction("opa_heap_ptr_get").Call(ctx)
	if err != nil {
		t.Fatal(err)
	}
	eval := i.ExportedFunction("opa_eval")
	var stack [7]uint64
	return func(ctx context.Context, n uint64) (uint64, error) {
		hash := uint64(n)
		for range n {
			if !mem.Write(uint32(heap[0]), input) {
				return 0, errors.New("input does not fit")
			}
			stack = [7]uint64{0, 0, 0, heap[0], uint64(len(input)), heap[0] + uint64(len(input)), 0}
			if err := eval.CallWithStack(ctx, stack[:]); err != nil {
				return 0, err
			}
			out, _ := mem.Read(uint32(stack[0]), 64)
			for _, c := range out {
				if c == 0 {
					break
				}
				hash = (hash ^ uint64(c)) * 1099511628211
			}
		}
		return hash, nil
	}
}
