package policies_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/knockgate/knockgate/policies"
	"github.com/knockgate/knockgate/policies/internal/fixture"
	"github.com/knockgate/knockgate/sdk/abi"
	"github.com/knockgate/knockgate/sdk/go/policy"
)

// stock names the policies that are shipped.
var stock = func() []string {
	names, err := policies.Names()
	if err != nil || len(names) < 2 {
		panic(fmt.Sprintf("policies %q, %v", names, err))
	}
	return names
}()

// TestBuiltModules holds the committed modules to the cases that the native
// tests hold the source to. The driver is a second, small host: it shows that
// the modules keep to sdk/README.md and to nothing that package plugins adds.
func TestBuiltModules(t *testing.T) {
	for _, name := range stock {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, err := fixture.Load(filepath.Join(name, "testdata"))
			if err != nil {
				t.Fatal(err)
			}
			if speaksOPA(t, name) {
				t.Skip("this host has the knock ABI alone: TestEngine holds the module to its cases")
			}
			m := compile(t, name)
			grants := needs(t, name)
			for _, f := range files {
				if (len(grants) > 0 || f.Reaches()) && len(f.Refused) == 0 {
					continue
				}
				t.Run(f.Name, func(t *testing.T) { runFile(t, m, f) })
			}
		})
	}
}

func runFile(t *testing.T, m module, f fixture.File) {
	g := m.instantiate(t)
	faults := g.configure(t, f.Settings)
	if len(f.Refused) > 0 {
		if wrong := f.CheckRefusal(faults); wrong != "" {
			t.Fatal(wrong)
		}
		return
	}
	if faults != nil {
		t.Fatal(faults)
	}
	for _, c := range f.Cases {
		facts := c.ABI()
		if wrong := c.Want.Check(g.decide(t, &facts)); wrong != "" {
			t.Errorf("%s: %s", c.Name, wrong)
		}
	}
}

// TestBuiltModuleWithoutSettings shows that a host which gives no settings at
// all gets the same as with {}.
func TestBuiltModuleWithoutSettings(t *testing.T) {
	g := compile(t, "server_rules").instantiate(t)
	facts := fixture.Facts{}.ABI()
	if got := g.decide(t, &facts); got != policy.Pass {
		t.Errorf("got %+v, want pass", got)
	}
	if got, _ := abi.Unpack(g.call(t, abi.ExportDecide, []byte("no frame"))); got == 0 {
		t.Error("a request that is no frame got an inline verdict, want an error object")
	}
	if got := g.answer(t, g.call(t, abi.ExportDecide, []byte("no frame"))); got.Kind != abi.Error {
		t.Errorf("a request that is no frame got %+v, want error", got)
	}
}

type module struct {
	runtime wazero.Runtime
	code    wazero.CompiledModule
}

// compiled keeps the modules for all tests of the package: compiling one takes
// seconds under the race detector. They live as long as the process.
var compiled = struct {
	mu     sync.Mutex
	byName map[string]module
}{byName: map[string]module{}}

func compile(t testing.TB, name string) module {
	t.Helper()
	compiled.mu.Lock()
	defer compiled.mu.Unlock()
	if m, ok := compiled.byName[name]; ok {
		return m
	}
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	host := r.NewHostModuleBuilder(abi.Module)
	host.NewFunctionBuilder().WithFunc(func(level, ptr, size uint32) {}).Export(abi.ImportLog)
	host.NewFunctionBuilder().WithFunc(func() uint64 { return 0 }).Export(abi.ImportNowMS)
	host.NewFunctionBuilder().WithFunc(globMatch).Export(abi.ImportGlobMatch)
	host.NewFunctionBuilder().WithFunc(func(acl, aclLen, server, serverLen uint32) uint32 { panic("this host has no rooms") }).Export(abi.ImportACLAllows)
	// It remembers nothing, as a host may at any time, and has no lists.
	host.NewFunctionBuilder().WithFunc(func(key, size, out, room uint32) int32 { return abi.KVLimit }).Export(abi.ImportKVGet)
	host.NewFunctionBuilder().WithFunc(func(key, size, value, length uint32, ttl int64) int32 { return abi.KVLimit }).Export(abi.ImportKVPut)
	host.NewFunctionBuilder().WithFunc(func(key, size uint32, delta, ttl int64) int64 { return abi.KVLimit }).Export(abi.ImportKVIncr)
	host.NewFunctionBuilder().WithFunc(func(list, size, key, length uint32) int32 { return abi.KVLimit }).Export(abi.ImportListHas)
	if _, err := host.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	wasm, err := os.ReadFile(filepath.Join(name, name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	code, err := r.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	m := module{r, code}
	compiled.byName[name] = m
	return m
}

// globMatch is the host function, by regular expressions.
func globMatch(_ context.Context, mod api.Module, pattern, patternLen, text, textLen uint32) uint32 {
	p, ok := mod.Memory().Read(pattern, patternLen)
	s, ok2 := mod.Memory().Read(text, textLen)
	if !ok || !ok2 {
		panic("glob_match outside memory")
	}
	lower := func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	expr := regexp.QuoteMeta(strings.Map(lower, string(p)))
	expr = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(expr)
	if regexp.MustCompile(`(?s)^` + expr + `$`).MatchString(strings.Map(lower, string(s))) {
		return 1
	}
	return 0
}

type guest struct {
	mod    api.Module
	buffer uint32
}

func (m module) instantiate(t testing.TB) guest {
	t.Helper()
	mod, err := m.runtime.InstantiateModule(context.Background(), m.code,
		wazero.NewModuleConfig().WithName("").WithStartFunctions(abi.ExportInitialize).WithStderr(os.Stderr))
	if err != nil {
		t.Fatal(err)
	}
	out, err := mod.ExportedFunction(abi.ExportBuffer).Call(context.Background(), abi.MaxFrame)
	if err != nil || out[0] == 0 {
		t.Fatalf("no buffer: %v, %v", out, err)
	}
	t.Cleanup(func() { mod.Close(context.Background()) })
	return guest{mod, uint32(out[0])}
}

func (g guest) call(t testing.TB, export string, input []byte) uint64 {
	t.Helper()
	if !g.mod.Memory().Write(g.buffer, input) {
		t.Fatal("the buffer is not in memory")
	}
	out, err := g.mod.ExportedFunction(export).Call(context.Background(), uint64(len(input)))
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func (g guest) object(t testing.TB, ptr, size uint32, into any) {
	t.Helper()
	text, ok := g.mod.Memory().Read(ptr, size)
	if !ok || size > abi.MaxResult {
		t.Fatalf("a result of %d bytes at %d", size, ptr)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

func (g guest) configure(t testing.TB, settings []byte) policy.SettingsError {
	t.Helper()
	ptr, size := abi.Unpack(g.call(t, abi.ExportConfigure, settings))
	if ptr == 0 && size == 0 {
		return nil
	}
	var out struct{ Errors policy.SettingsError }
	g.object(t, ptr, size, &out)
	return out.Errors
}

func (g guest) decide(t testing.TB, facts *abi.Facts) policy.Verdict {
	t.Helper()
	return g.answer(t, g.call(t, abi.ExportDecide, abi.AppendFrame(nil, facts)))
}

func (g guest) answer(t testing.TB, result uint64) policy.Verdict {
	t.Helper()
	ptr, size := abi.Unpack(result)
	if ptr == 0 {
		return policy.Verdict{Kind: abi.Verdict(size)}
	}
	var out struct{ Verdict, Message, Note, Code, Error string }
	g.object(t, ptr, size, &out)
	kind, ok := abi.ParseVerdict(out.Verdict)
	if !ok {
		t.Fatalf("verdict %q", out.Verdict)
	}
	return policy.Verdict{Kind: kind, Message: out.Message, Note: out.Note + out.Error, Code: out.Code}
}

// BenchmarkGuest measures decide in the guest: the call alone, with the frame in
// its place, on wazero's compiler without the host's metering.
func BenchmarkGuest(b *testing.B) {
	var list string
	for i := range 50 {
		if i > 0 {
			list += ","
		}
		list += fmt.Sprintf(`{"deny":"*.bad%02d.example"}`, i)
	}
	for _, bench := range []struct{ name, module, settings string }{
		{"server_rules 50 rules, pass", "server_rules", `{"rules":[` + list + `]}`},
		{"server_rules 50 rules, default deny", "server_rules", `{"default":"deny","rules":[` + list + `]}`},
		{"server_rules no rules", "server_rules", `{}`},
		{"reason_rules 10 patterns, pass", "reason_rules", `{"required":true,"min":10,"forbidden":["casino","crypto","v?agra","http://","https://","t.me","whatsapp","buy * now","airdrop","seo"]}`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			ctx := context.Background()
			g := compile(b, bench.module).instantiate(b)
			if faults := g.configure(b, []byte(bench.settings)); faults != nil {
				b.Fatal(faults)
			}
			reason := "Hello, I am Alice from the reading group and would like to join the talks on Thursday."
			facts := fixture.Facts{}.ABI()
			facts.Reason = abi.Some(reason)
			frame := abi.AppendFrame(nil, &facts)
			if !g.mod.Memory().Write(g.buffer, frame) {
				b.Fatal("the buffer is not in memory")
			}
			decide := g.mod.ExportedFunction(abi.ExportDecide)
			stack := make([]uint64, 1)
			b.ReportAllocs()
			for b.Loop() {
				stack[0] = uint64(len(frame))
				if err := decide.CallWithStack(ctx, stack); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
