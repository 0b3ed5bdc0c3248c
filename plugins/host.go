package plugins

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
	"github.com/knockgate/knockgate/sdk/abi"
)

// features are the proposals that a module may use: those of WebAssembly 2.0,
// with SIMD. Threads are out, because a guest could wait for ever.
const features = api.CoreFeaturesV2

// hostFunc is the body of a host function. The stack holds its arguments and
// takes its result. It panics with a guestError for what is the guest's fault;
// any other panic is a fault of the host.
type hostFunc func(g *guestState, mod api.Module, stack []uint64)

// hostFunction is one function that a module may import.
type hostFunction struct {
	params, results []api.ValueType
	body            hostFunc
}

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// wasiModule is the import module of WASI preview 1.
const wasiModule = "wasi_snapshot_preview1"

// hostFunctions is all that a module for the knock ABI may import, by module
// and name.
var hostFunctions = map[string]map[string]hostFunction{
	abi.Module: {
		abi.ImportLog:       {[]api.ValueType{i32, i32, i32}, nil, hostLog},
		abi.ImportNowMS:     {nil, []api.ValueType{i64}, hostNowMS},
		abi.ImportRandom:    {[]api.ValueType{i32, i32}, nil, hostRandom},
		abi.ImportGlobMatch: {[]api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}, hostGlobMatch},
		abi.ImportACLAllows: {[]api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}, hostACLAllows},
		abi.ImportKVGet:     {[]api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}, hostKVGet},
		abi.ImportKVPut:     {[]api.ValueType{i32, i32, i32, i32, i64}, []api.ValueType{i32}, hostKVPut},
		abi.ImportKVIncr:    {[]api.ValueType{i32, i32, i64, i64}, []api.ValueType{i64}, hostKVIncr},
		abi.ImportListHas:   {[]api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}, hostListHas},
	},
	wasiModule: wasiFunctions,
}

// guestError is a fault of the guest that a host function found.
type guestError string

func (e guestError) Error() string { return string(e) }

// Call implements api.GoModuleFunction. What panics here ends the guest's
// call; what is neither the guest's fault nor its exit is noted as our bug.
func (f hostFunction) Call(ctx context.Context, mod api.Module, stack []uint64) {
	in := ctx.Value(instanceKey{}).(*instance)
	if in.mod == nil { // in the start section
		in.gauge.bind(mod, in.policy.limits.StartFuel)
	}
	defer func() {
		r := recover()
		switch r.(type) {
		case nil:
			return
		case guestError, *sys.ExitError:
		default:
			in.guest.bug = r
		}
		panic(r)
	}()
	f.body(&in.guest, mod, stack)
}

func (f hostFunction) typeOf() wasmbin.FuncType {
	var t wasmbin.FuncType
	for _, v := range f.params {
		t.Params = append(t.Params, wasmbin.ValueType(v))
	}
	for _, v := range f.results {
		t.Results = append(t.Results, wasmbin.ValueType(v))
	}
	return t
}

// addHostModules makes the host functions known to a runtime.
func addHostModules(ctx context.Context, r wazero.Runtime, modules map[string]map[string]hostFunction) error {
	for _, module := range slices.Sorted(maps.Keys(modules)) {
		b := r.NewHostModuleBuilder(module)
		for _, name := range slices.Sorted(maps.Keys(modules[module])) {
			f := modules[module][name]
			b.NewFunctionBuilder().WithGoModuleFunction(f, f.params, f.results).Export(name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("host functions of %s: %w", module, err)
		}
	}
	return nil
}

// view returns size bytes of the guest's memory, or ends the call.
func view(mod api.Module, what string, ptr, size uint32) []byte {
	if mem := mod.Memory(); mem != nil {
		if b, ok := mem.Read(ptr, size); ok {
			return b
		}
	}
	panic(guestError(fmt.Sprintf("%s: %d bytes at %#x are outside memory", what, size, ptr)))
}

func hostLog(g *guestState, mod api.Module, stack []uint64) {
	text := view(mod, "knock_v1.log", uint32(stack[1]), uint32(stack[2]))
	level := slog.LevelInfo
	switch uint32(stack[0]) {
	case abi.LogDebug:
		level = slog.LevelDebug
	case abi.LogWarn:
		level = slog.LevelWarn
	case abi.LogError:
		level = slog.LevelError
	}
	text = text[:min(len(text), maxLogLine)]
	g.in.gauge.charge(ticksPerLine + len(text)*ticksPerByte)
	g.line(level, text)
}

func hostNowMS(g *guestState, _ api.Module, stack []uint64) { stack[0] = uint64(g.nowMS) }
