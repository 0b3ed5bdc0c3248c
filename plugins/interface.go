package plugins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
	"github.com/knockgate/knockgate/sdk/abi"
)

// scan refuses what is no module, and a module that would keep the engine's
// decoder or compiler busy beyond reason, before either sees it.
func scan(_ context.Context, l *loading) error {
	m, err := scanModule(l.module)
	if err != nil {
		return err
	}
	l.scanned, l.policy.kind = m, moduleKind(m)
	if l.policy.kind == opaKind && importsMemory(m) {
		// A memory of its own bounds it, and sets it apart, like any other.
		l.module = wasmbin.OwnMemory(m)
		if l.scanned, err = scanModule(l.module); err != nil {
			return fmt.Errorf("with a memory of its own: %w", err)
		}
	}
	return checkIsolation(l.policy.limits.Isolation, l.scanned)
}

func scanModule(module []byte) (*wasmbin.Module, error) {
	switch {
	case !bytes.HasPrefix(module, []byte("\x00asm")):
		return nil, fmt.Errorf("not a WebAssembly module (it starts with %q)", module[:min(len(module), 16)])
	case bytes.HasPrefix(module[4:], []byte("\x0d\x00\x01\x00")):
		return nil, errors.New("a WebAssembly component, not a module; build it without the component step")
	}
	limits := wasmbin.DefaultLimits()
	limits.FileBytes = MaxModule
	limits.MemoryMin = maxPages + 1 // the policy's own limit is checked with the exports
	m, err := wasmbin.Scan(module, limits)
	if err != nil {
		return nil, fmt.Errorf("not a valid module: %w", err)
	}
	return m, nil
}

// checkImports refuses a module that asks for what no policy gets, or this one
// was not granted. The imports are the declaration of what a policy can do.
func checkImports(_ context.Context, l *loading) error {
	for i := range l.scanned.Imports {
		if err := checkImport(&l.scanned.Imports[i], l.policy.kind.functions, l.policy.grants); err != nil {
			return err
		}
	}
	return nil
}

func checkImport(im *wasmbin.Import, modules map[string]map[string]hostFunction, grants []string) error {
	name := fmt.Sprintf("%.64q", im.Module+"."+im.Name)
	if im.Kind != wasmbin.KindFunc {
		return fmt.Errorf("imports the %s %s; a policy brings its own", kindName(im.Kind), name)
	}
	functions, ok := modules[im.Module]
	if !ok {
		return fmt.Errorf("imports %s, which is not granted; there are the modules %s", name, names(modules))
	}
	f, ok := functions[im.Name]
	if !ok {
		return fmt.Errorf("imports %s, which is not granted; there are %s", name, names(functions))
	}
	if want := f.typeOf(); !equal(im.Func, want) {
		return fmt.Errorf("imports %s as %s; its type is %s", name, im.Func, want)
	}
	if need := needs[im.Name]; im.Module == abi.Module && need != "" && !slices.Contains(grants, need) {
		return fmt.Errorf("imports %s, which needs the capability %q; grant it with grants = [%q], or use another module", name, need, need)
	}
	return nil
}

// importsMemory reports whether a module imports the memory that OPA's ABI has
// the host supply.
func importsMemory(m *wasmbin.Module) bool {
	return slices.ContainsFunc(m.Imports, func(im wasmbin.Import) bool {
		return im.Kind == wasmbin.KindMemory && im.Module == opaModule && im.Name == abi.ExportMemory
	})
}

func kindName(k wasmbin.Kind) string { return api.ExternTypeName(api.ExternType(k)) }

func equal(t, u wasmbin.FuncType) bool {
	return slices.Equal(t.Params, u.Params) && slices.Equal(t.Results, u.Results)
}

func names[T any](m map[string]T) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// checkExports refuses a module that is no policy of its ABI, or that wants
// more memory than its limit.
func checkExports(_ context.Context, l *loading) error {
	if check := l.policy.kind.check; check != nil {
		if err := check(l.scanned); err != nil {
			return err
		}
	}
	for _, f := range l.policy.kind.exports {
		e, ok := l.scanned.Export(f.name)
		switch {
		case !ok && f.required:
			return missingExport(f.name, f.want, l.scanned)
		case !ok:
		case e.Kind != wasmbin.KindFunc:
			return fmt.Errorf("exports %s as a %s; it must be a function %s", f.name, kindName(e.Kind), f.want)
		case !equal(e.Func, f.want):
			return fmt.Errorf("exports %s as %s; it must be %s", f.name, e.Func, f.want)
		}
	}
	e, ok := l.scanned.Export(abi.ExportMemory)
	if !ok || e.Kind != wasmbin.KindMemory {
		return fmt.Errorf("exports no memory named %q; the host writes the request there", abi.ExportMemory)
	}
	if limit := l.policy.limits.MemoryPages; e.Memory.Min > limit {
		return fmt.Errorf("wants %d pages of memory (%d KiB) at once; its limit is %d pages", e.Memory.Min, uint64(e.Memory.Min)*64, limit)
	}
	return nil
}

// missingExport says why a required function may be missing.
func missingExport(name string, want wasmbin.FuncType, m *wasmbin.Module) error {
	for _, other := range m.Exports {
		version, ok := strings.CutSuffix(other.Name, "_decide")
		if ok && strings.HasPrefix(version, "knock_v") && other.Name != abi.ExportDecide {
			return fmt.Errorf("built for another ABI: exports %.64q; this host knows %s: build it with the SDK of this version", other.Name, abi.ExportDecide)
		}
	}
	if name == abi.ExportDecide {
		return fmt.Errorf("exports no function %s of type %s, and no %s: a policy is built for the knock ABI, or from Rego with opa build -t wasm", name, want, opaEval)
	}
	return fmt.Errorf("exports no function %s of type %s: the SDK of a language makes it; without one, export it as sdk/README.md says", name, want)
}

// checkReactor refuses a program. Its runtime begins with _start, which nobody calls, and
// then its other exports may trap.
func checkReactor(m *wasmbin.Module) error {
	_, program := m.Export("_start")
	_, reactor := m.Export(abi.ExportInitialize)
	if program && !reactor {
		return fmt.Errorf("exports _start but no %s: it was built as a program; build a reactor (Go: -buildmode=c-shared, Rust: crate-type cdylib, C: -Wl,--no-entry), or let \"knockgate policy build\" do it", abi.ExportInitialize)
	}
	return nil
}
