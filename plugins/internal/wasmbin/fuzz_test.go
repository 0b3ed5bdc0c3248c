package wasmbin

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
)

// seedModules adds the real modules and the golden ones, and small modules that
// use what those do not. Go's are too large to mutate, and are read only where
// no fuzzing goes on.
func seedModules(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.wasm")
	golden, _ := filepath.Glob("testdata/golden/*.wasm")
	policies, _ := filepath.Glob("../../testdata/guests/*.wasm")
	if len(files) < 5 || len(golden) < 5 || len(policies) < 3 {
		f.Fatalf("%d guests, %d golden modules, %d policies", len(files), len(golden), len(policies))
	}
	files = slices.Concat(files, golden, policies)
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing == nil || fuzzing.Value.String() == "" {
		shipped, _ := filepath.Glob("../../../policies/*/*.wasm")
		files = append(files, shipped...)
		if goGuest.path != "" {
			files = append(files, goGuest.path)
		}
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(program{funcs: [][]byte{function(3, forever)}, memory: 1, tableMax: 3, start: true}.build())
	f.Add(wasm(sec(secCustom, str("name"), []byte{0, 2, 1, 'm', 1, 4, 1, 0, 1, 'f', 2, 6, 1, 0, 1, 0, 1, 'l'})))
	f.Add(noop(ins(0xfd, 0x0c), make([]byte, 16), ins(0xfd, 0x15, 3, 0x1a, opRefNull, byte(ExternRef), 0xd1, 0x1a)))
	f.Add(noop(ins(opI64Const, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f, 0x1a)))
}

// FuzzScan: whatever the bytes, Scan returns a module or an *Error that points
// into them, never both, and allocates in proportion to them alone.
func FuzzScan(f *testing.F) {
	seedModules(f)
	f.Fuzz(func(t *testing.T, bin []byte) {
		var m *Module
		var err error
		bytes := allocated(func() { m, err = Scan(bin, DefaultLimits()) })
		if most := uint64(1<<20 + 100*len(bin)); bytes > most {
			t.Errorf("%d bytes were allocated for %d", bytes, len(bin))
		}
		if (m == nil) == (err == nil) {
			t.Fatalf("got %v and %v", m, err)
		}
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Offset < 0 || e.Offset > len(bin) || e.What == "" {
				t.Errorf("error %#v", err)
			}
			return
		}
		for _, c := range m.Customs {
			if c.Start < 0 || c.End < c.Start || c.End > len(bin) {
				t.Errorf("custom section at %d:%d of %d", c.Start, c.End, len(bin))
			}
		}
	})
}

// checkMeter is the property of FuzzMeter and FuzzBody: what Scan accepts is
// rewritten without a panic, and then wazero takes the rewritten binary exactly
// if it takes the original.
func checkMeter(t *testing.T, bin []byte) {
	lim := DefaultLimits()
	lim.MemoryMin = 16
	m, err := Scan(bin, lim)
	if err != nil {
		return
	}
	w, err := Meter(m, MeterOptions{InitialFuel: 1000, MaxDepth: 10})
	if err != nil {
		if _, ok := err.(*Error); !ok {
			t.Errorf("Meter: %v", err)
		}
		return
	}
	ctx := context.Background()
	compile := func(bin []byte) error {
		r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(16).WithDebugInfoEnabled(false))
		defer r.Close(ctx)
		_, err := r.CompileModule(ctx, bin)
		return err
	}
	plain, metered := compile(bin), compile(w.Bin)
	if (plain == nil) != (metered == nil) {
		t.Errorf("wazero on the original: %v; on the metered: %v", plain, metered)
	}
}

// FuzzMeter fuzzes whole binaries.
func FuzzMeter(f *testing.F) {
	seedModules(f)
	f.Fuzz(checkMeter)
}

// FuzzBody fuzzes the code of one function, in a module that has one of
// everything to refer to.
func FuzzBody(f *testing.F) {
	for _, code := range [][]byte{
		ins(opI64Const, 1),
		ins(opLocalGet, 0, opCall, 0, opReturn),
		ins(opI32Const, 0, opI32Const, 1, opI32Const, 2, 0xfc, 11, 0, opI64Const, 1),
		ins(opBlock, 0x40, opLocalGet, 0, opBrTable, 1, 0, 0, 0, opEnd, opI64Const, 1, opBr, 0),
		ins(opI32Const, 0, opLoop, 1, opLocalGet, 0, opBrIf, 0, opEnd, 0x1a, opI64Const, 5),
		ins(opLocalGet, 0, opIf, 0x7e, opI64Const, 1, opReturn, opElse, opI64Const, 2, opEnd),
		ins(opLocalGet, 0, opI32Const, 0, opCallIndirect, 0, 0, 0x1a, opI64Const, 0),
		ins(opI32Const, 0, 0xfd, 0, 4, 0, 0xfd, 0x1d, 1),
	} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		checkMeter(t, wasm(
			sec(secType, vec(fn([]ValueType{I32}, []ValueType{I64}), fn([]ValueType{I32}, []ValueType{I32}), fn([]ValueType{I64, V128}, []ValueType{F32, F64}))),
			sec(secImport, vec(join(str("env"), str("f"), []byte{byte(KindFunc)}, u32(0)))),
			sec(secFunction, vec(u32(0), u32(2))),
			sec(secTable, vec(ins(byte(FuncRef), 1, 1, 9), ins(byte(ExternRef), 1, 0, 9))),
			sec(secMemory, vec(ins(0, 1))),
			sec(secGlobal, vec(ins(byte(I32), 1, opI32Const, 0, opEnd), ins(byte(F64), 0, opF64Const, 0, 0, 0, 0, 0, 0, 0, 0, opEnd))),
			sec(secElement, vec(ins(1, 0, 1, 1))),
			sec(secDataCount, u32(1)),
			sec(secCode, vec(function(2, code), function(0, ins(opF32Const, 0, 0, 0, 0, opF64Const, 0, 0, 0, 0, 0, 0, 0, 0)))),
			sec(secData, vec(ins(1, 2, 'h', 'i'))),
		))
	})
}
