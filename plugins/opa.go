package plugins

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
	"github.com/knockgate/knockgate/sdk/abi"
)

// OPA's Wasm ABI, as far as it is used. The result of opa_eval, and what the
// dumps return, are texts that a zero byte ends.
//
// Spec: Open Policy Agent, "Wasm", ABI 1.2.
const (
	opaModule      = "env"
	opaVersion     = "opa_wasm_abi_version"
	opaMinor       = "opa_wasm_abi_minor_version"
	opaEval        = "opa_eval"
	opaBuiltins    = "builtins"
	opaEntrypoints = "entrypoints"
	opaMalloc      = "opa_malloc"
	opaHeapGet     = "opa_heap_ptr_get"
	opaHeapSet     = "opa_heap_ptr_set"
	opaParse       = "opa_json_parse"
	opaDump        = "opa_json_dump"
	opaValueParse  = "opa_value_parse"
	opaValueDump   = "opa_value_dump"
)

// The rules that the host evaluates: opaEntrypoint judges a knock, opaErrors,
// which a policy need not have, the settings.
const (
	opaEntrypoint = "knock/verdict"
	opaErrors     = "knock/errors"
)

// opaWorkRoom is how much a new instance's heap is made to hold beside its
// settings, in bytes. A decision that needs no more does not grow memory, which
// isolation "reset" cannot undo.
const opaWorkRoom = 256 << 10

// opaKind is OPA's Wasm ABI, to which opa build compiles Rego.
var opaKind = &kind{
	functions: map[string]map[string]hostFunction{opaModule: opaFunctions},
	exports: []guestFunction{
		{opaEval, true, function(7, wasmbin.I32)},
		{opaBuiltins, true, function(0, wasmbin.I32)},
		{opaEntrypoints, true, function(0, wasmbin.I32)},
		{opaMalloc, true, function(1, wasmbin.I32)},
		{opaHeapGet, true, function(0, wasmbin.I32)},
		{opaHeapSet, true, function(1)},
		{opaParse, true, function(2, wasmbin.I32)},
		{opaDump, true, function(1, wasmbin.I32)},
		{opaValueParse, true, function(2, wasmbin.I32)},
		{opaValueDump, true, function(1, wasmbin.I32)},
		{abi.ExportInitialize, false, function(0)},
	},
	check:     opaCheck,
	decide:    opaEval,
	ready:     opaReady,
	configure: opaConfigure,
	put:       opaPut,
	args:      7,
	read:      opaRead,
}

// opaCheck refuses a module of another version of OPA's ABI.
func opaCheck(m *wasmbin.Module) error {
	var version [2]int32
	for i, name := range [...]string{opaVersion, opaMinor} {
		e, ok := m.Export(name)
		if ok && e.Kind == wasmbin.KindGlobal {
			version[i], ok = m.Constant(e.Index)
		}
		if !ok || e.Kind != wasmbin.KindGlobal {
			return fmt.Errorf("exports no constant i32 %s, by which a module for OPA's Wasm ABI gives its version; build it with opa build -t wasm", name)
		}
	}
	if version[0] != 1 || version[1] < 2 {
		return fmt.Errorf("built for version %d.%d of OPA's Wasm ABI; this host knows 1, from 1.2 on: build it with a current opa", version[0], version[1])
	}
	return nil
}

// opaGuest is what the host knows of an instance that speaks OPA's ABI.
type opaGuest struct {
	entry    uint64 // number of opaEntrypoint
	errors   uint64 // number of opaErrors, if refuses
	refuses  bool
	data     uint64 // address of the data document
	heap     uint64 // what opa_eval puts the heap pointer back to
	builtins map[uint32]*opaBuiltin

	// What builtins call, nil if the module needs none.
	dump, parse, malloc api.Function
	busy                bool // a builtin runs
	stack               [2]uint64
	text                []byte    // room for what is dumped
	operands            [4][]byte // of the builtin that runs
	result              []byte
}

// opaCall calls an export of a new instance that takes and returns at most an
// i32.
func (in *instance) opaCall(ctx context.Context, name string, args ...uint64) (uint32, error) {
	res, err := in.mod.ExportedFunction(name).Call(ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, in.guest.explain(err))
	}
	if len(res) == 0 {
		return 0, nil
	}
	return uint32(res[0]), nil
}

// opaReady has the guest allocate the buffer for settings and facts, and reads
// which builtins it needs and which entrypoints it has.
func opaReady(in *instance, ctx context.Context) error {
	o := &opaGuest{}
	in.opa = o
	var err error
	if in.buffer, err = in.opaCall(ctx, opaMalloc, abi.MaxFrame); err != nil {
		return err
	}
	if in.buffer == 0 || !inside(in.mem, in.buffer, abi.MaxFrame) {
		return fmt.Errorf("%s: %d bytes at %#x are outside its memory of %d bytes", opaMalloc, abi.MaxFrame, in.buffer, in.mem.Size())
	}
	heap, err := in.opaCall(ctx, opaHeapGet)
	if err != nil {
		return err
	}
	needed, err := in.opaNames(ctx, opaBuiltins)
	if err != nil {
		return err
	}
	if o.builtins, err = opaResolve(needed); err != nil {
		return err
	}
	if len(needed) > 0 {
		o.dump, o.parse, o.malloc = in.mod.ExportedFunction(opaValueDump), in.mod.ExportedFunction(opaValueParse), in.mod.ExportedFunction(opaMalloc)
	}
	entries, err := in.opaNames(ctx, opaEntrypoints)
	if err != nil {
		return err
	}
	entry, ok := entries[opaEntrypoint]
	if !ok {
		return fmt.Errorf("has no entrypoint %q, only %.512s; build it with opa build -t wasm -e %s", opaEntrypoint, fmt.Sprintf("%.64q", slices.Sorted(maps.Keys(entries))), opaEntrypoint)
	}
	errorsEntry, ok := entries[opaErrors]
	o.entry, o.errors, o.refuses = uint64(entry), uint64(errorsEntry), ok
	_, err = in.opaCall(ctx, opaHeapSet, uint64(heap))
	return err
}

// opaNames returns the object of names and numbers that an export gives.
func (in *instance) opaNames(ctx context.Context, export string) (map[string]uint32, error) {
	value, err := in.opaCall(ctx, export)
	if err != nil {
		return nil, err
	}
	ptr, err := in.opaCall(ctx, opaDump, uint64(value))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", export, err)
	}
	b, err := terminated(in.mem, ptr, abi.MaxResult)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", export, err)
	}
	names, err := parseOPANames(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", export, err)
	}
	return names, nil
}

// opaResolve returns the builtins of a module by their numbers.
func opaResolve(needed map[string]uint32) (map[uint32]*opaBuiltin, error) {
	builtins := map[uint32]*opaBuiltin{}
	var unknown []string
	for name, n := range needed {
		if b, ok := opaHostBuiltins[name]; ok {
			builtins[n] = &b
		} else {
			unknown = append(unknown, fmt.Sprintf("%.64q", name))
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, fmt.Errorf("needs builtins that are not granted: %.512s; beside those that opa build compiles in there are %s",
			strings.Join(unknown, ", "), names(opaHostBuiltins))
	}
	return builtins, nil
}

// opaPut writes the facts as JSON, which are the input document, and the
// arguments of opa_eval.
func opaPut(in *instance, frame []byte) bool {
	o := in.opa
	facts, ok := abi.Frame(frame).Field(abi.FieldJSON)
	const reserved, asJSON = 0, 0
	in.stack = [...]uint64{reserved, o.entry, o.data, uint64(in.buffer), uint64(len(facts)), o.heap, asJSON}
	return ok && in.mem.Write(in.buffer, facts)
}
