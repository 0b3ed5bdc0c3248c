package wasmbin

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
)

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// noop is a module with nothing in it but a function, and then what a row adds.
func noop(code ...[]byte) []byte {
	return program{funcs: [][]byte{function(0, code...)}}.build()
}

// withLocals declares runs of locals in a module's one function.
func withLocals(runs ...[]byte) []byte {
	b := join(vec(runs...), []byte{opEnd})
	return program{funcs: [][]byte{join(u32(len(b)), b)}}.build()
}

func run32(n int) []byte { return join(u32(n), []byte{byte(I32)}) }

// TestHostileScan builds the rows of the hostile corpus (ENGINE.md section 6,
// by number) that must not reach an engine. Each is refused with the figure
// and the limit, or what is wrong, and without memory to speak of.
func TestHostileScan(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine does all of it")
	}
	table := func(size ...[]byte) []byte {
		return wasm(sec(secTable, vec(join([]byte{byte(FuncRef)}, join(size...)))))
	}
	memory := func(size ...[]byte) []byte { return wasm(sec(secMemory, vec(join(size...)))) }
	name := func(subsections ...[]byte) []byte { return wasm(sec(secCustom, str("name"), join(subsections...))) }
	export1 := func(e []byte) []byte {
		return wasm(sec(secType, vec(fn(nil, nil))), sec(secFunction, vec(u32(0))),
			sec(secExport, vec(e)), sec(secCode, vec(function(0))))
	}
	lie := u32(1<<32 - 1)
	rows := []struct {
		row, name string
		bin       []byte
		want      string
	}{
		{"7", "memory of 4 GiB", memory([]byte{0}, u32(65536)), "memory minimum in pages: 65536 is over the limit of 512"},
		{"7", "memory past 4 GiB", memory([]byte{1}, u32(1), u32(65537)), "memory maximum in pages: 65537 is over the limit of 65536"},
		{"8", "table of 2^27", table([]byte{0}, u32(1<<27)), "table minimum in elements: 134217728 is over the limit of 65536"},
		{"9", "table.grow to anywhere", wasm(
			sec(secType, vec(fn(nil, nil))), sec(secFunction, vec(u32(0))), sec(secTable, vec([]byte{byte(FuncRef), 0, 0})),
			sec(secCode, vec(function(0, ins(opRefNull, byte(FuncRef)), i32c(100_000_000), ins(0xfc, 15, 0, 0x1a))))),
			"table.grow: table maximum in elements: 4294967295 is over the limit of 65536"},
		{"9", "table.grow to 2^27", program{tableMax: 1 << 27, funcs: [][]byte{
			function(0, ins(opRefNull, byte(FuncRef)), i32c(100_000_000), ins(0xfc, 15, 0, 0x1a)),
		}}.build(), "table.grow: table maximum in elements: 134217728 is over the limit of 65536"},
		{"10", "2^32-1 locals", withLocals(run32(1<<32 - 1)), "locals of a function: 4294967295 is over the limit of 1000"},
		{"10", "2^32 locals in two runs", withLocals(run32(1<<31), run32(1<<31)), "locals of a function: 4294967296 is over the limit of 1000"},
		{"11", "50,000,000 locals", withLocals(run32(50_000_000)), "locals of a function: 50000000 is over the limit of 1000"},
		{"12", "100,000 nested blocks", noop(times(100_000, ins(opBlock, 0x40)), times(100_000, ins(opEnd))), "nesting of blocks: 2049 is over the limit of 2048"},
		{"12", "20,000 loops in a row", noop(times(20_000, ins(opLoop, 0x40, opEnd))), "blocks and branches of a function: 4097 is over the limit of 4096"},
		{"13", "br_table of 1,000,000", noop(ins(opI32Const, 0, opBrTable), u32(500_000), times(500_001, ins(0))), "br_table labels of a function: 500001 is over the limit of 4096"},
		{"13", "1,000 br_tables of 1,000", noop(times(500, join(ins(opBlock, 0x40, opI32Const, 0, opBrTable), u32(999), times(1000, ins(0)), ins(opEnd)))),
			"br_table labels of a function: 5000 is over the limit of 4096"},
		{"14", "3 MB function", noop(times(1_000_000, ins(opI32Const, 0, 0x1a))), "bytes of a function: 3000002 is over the limit of 524288"},
		{"14", "400,000 instructions", noop(times(400_000, ins(0x01))), "instructions of a function: 200001 is over the limit of 200000"},
		{"15", "100,000 functions", program{funcs: repeat(100_000, function(0))}.build(), "functions: 100000 is over the limit of 50000"},
		{"15", "200,000 globals", wasm(sec(secGlobal, vec(repeat(200_000, ins(byte(I32), 1, opI32Const, 0, opEnd))...))), "globals: 200000 is over the limit of 1000"},
		{"16", "types that are not there", wasm(sec(secType, u32(4000))), "types: 4000 claimed, but only 0 bytes are left"},
		{"16", "more types than any module", wasm(sec(secType, lie)), "types: 4294967295 is over the limit of 4096"},
		{"16", "imports that are not there", wasm(sec(secImport, u32(200))), "imports: 200 claimed, but only 0 bytes are left"},
		{"16", "functions that are not there", wasm(sec(secType, vec(fn(nil, nil))), sec(secFunction, u32(50_000))), "functions: 50000 claimed, but only 0 bytes are left"},
		{"16", "code that is not there", wasm(sec(secType, vec(fn(nil, nil))), sec(secFunction, vec(u32(0)))), "1 functions declared, but 0 have code"},
		{"16", "section longer than the file", join(header, []byte{secType}, u32(1000), []byte{0}), "type section claims 1000 bytes, but only 1 are left"},
		{"16", "section with a tail", wasm(sec(secType, vec(), []byte{0})), "type section: 1 bytes after its contents"},
		{"16", "elements that are not there", wasm(sec(secTable, vec([]byte{byte(FuncRef), 0, 0})), sec(secElement, vec(join(ins(0, opI32Const, 0, opEnd), lie)))),
			"elements of a segment: 4294967295 claimed, but only 0 bytes are left"},
		{"16", "data that is not there", wasm(sec(secMemory, vec([]byte{0, 1})), sec(secData, vec(join(ins(0, opI32Const, 0, opEnd), lie)))),
			"bytes of a data segment: 4294967295 claimed, but only 0 bytes are left"},
		{"16", "data count of nothing", wasm(sec(secDataCount, u32(7))), "data count section says 7, but there are 0 data segments"},
		{"16", "body longer than its section", wasm(sec(secType, vec(fn(nil, nil))), sec(secFunction, vec(u32(0))), sec(secCode, u32(1), lie, ins(0, 0))),
			"bytes of a function: 4294967295 claimed, but only 2 bytes are left"},
		{"16", "labels that are not there", noop(ins(opI32Const, 0, opBrTable), lie), "br_table: 4294967295 labels claimed, but only 1 bytes are left"},
		{"16", "function names that are not there", name([]byte{1}, u32(5), lie), "function names: 4294967295 is over the limit of 100000"},
		{"16", "function names a few too many", name([]byte{1}, u32(3), u32(99_999)), "function names: 99999 claimed, but only 0 bytes are left"},
		{"16", "local names that are not there", name([]byte{2}, u32(8), u32(2), u32(0), lie, []byte{0}), "names of locals: 4294967295 is over the limit of 100000"},
		{"16", "name subsection longer than its section", name([]byte{1}, lie), "bytes of a name subsection: 4294967295 claimed, but only 0 bytes are left"},
		{"17", "64 MB custom section", wasm(sec(secCustom, str("x"), make([]byte, 64<<20))), "file size in bytes: 67108879 is over the limit of 16777216"},
		{"17", "8 MB custom section", wasm(sec(secCustom, str("x"), make([]byte, 8<<20))), "custom section size in bytes: 8388608 is over the limit of 4194304"},
		{"17", "100 custom sections", wasm(times(100, sec(secCustom, str("x")))), "custom sections: 65 is over the limit of 64"},
		{"26", "atomics", noop(ins(0xfe, 0x03, 0x00)), "unknown opcode 0xfe"},
		{"30", "fuel exported by the guest", export1(export(FuelGlobal, KindFunc, 0)), `export "knockgate.fuel": names under "knockgate." are reserved`},
		{"30", "fuel imported by the guest", wasm(sec(secImport, vec(join(str("env"), str(FuelGlobal), []byte{byte(KindGlobal), byte(I64), 1})))),
			`import "env" "knockgate.fuel": names under "knockgate." are reserved`},
		{"30", "fuel set by index", wasm(sec(secType, vec(fn(nil, nil))), sec(secFunction, vec(u32(0))),
			sec(secCode, vec(function(0, ins(opI64Const, 0, opGlobalSet, 0))))), "global 0 does not exist: there are 0"},
		{"30", "fuel exported by index", export1(export("x", KindGlobal, 0)), "global 0 does not exist: there are 0"},
		{"30", "fuel read by a constant", wasm(sec(secGlobal, vec(ins(byte(I64), 0, opGlobalGet, 1, opEnd)))), "imported global 1 does not exist: there are 0"},
		{"30", "scratch local by index", noop(ins(opLocalGet, 0, 0x1a)), "local 0 does not exist: there are 0"},
		{"30", "label outside the function", noop(ins(opBr, 1)), "label 1 does not exist: there are 1"},
		{"", "not a module", []byte("\x7fELF"), "not a WebAssembly module of version 1"},
		{"", "component", []byte("\x00asm\x0d\x00\x01\x00"), "not a WebAssembly module of version 1"},
		{"", "tags", wasm(sec(13, u32(0))), "unknown section 13"},
		{"", "sections out of order", wasm(sec(secFunction, u32(0)), sec(secType, u32(0))), "type section is out of order or repeated"},
		{"", "section twice", wasm(sec(secType, u32(0)), sec(secType, u32(0))), "type section is out of order or repeated"},
		{"", "shared memory", memory([]byte{3}, u32(1), u32(1)), "memory: unknown flags 0x03"},
		{"", "64-bit memory", memory([]byte{4}, u32(1)), "memory: unknown flags 0x04"},
		{"", "two memories", wasm(sec(secMemory, u32(2), ins(0, 1, 0, 1))), "memories: 2 is over the limit of 1"},
		{"", "table with a first value", wasm(sec(secTable, vec(ins(0x40, 0, byte(FuncRef), 0, 1, opRefNull, byte(FuncRef), opEnd)))), "unknown reference type 0x40"},
		{"", "struct type", wasm(sec(secType, vec(ins(0x5f, 0, 0)))), "unknown form of type 0x5f"},
		{"", "tail call", noop(ins(0x12, 0)), "unknown opcode 0x12"},
		{"", "exceptions", noop(ins(0x08, 0)), "unknown opcode 0x08"},
		{"", "relaxed SIMD", noop(ins(0xfd, 0x80, 0x02)), "unknown opcode 0xfd"},
		{"", "computed constant", wasm(sec(secGlobal, vec(ins(byte(I32), 0, opI32Const, 1, opI32Const, 2, opI32Add, opEnd)))), "constant expression of more than one instruction"},
		{"", "else without if", noop(ins(opElse)), "else without if"},
		{"", "body with a tail", noop(ins(opEnd)), "1 bytes after the end of a function"},
		{"", "body without end", noop(ins(opBlock, 0x40)), "unexpected end"},
		{"", "integer too long", wasm(sec(secType, ins(0x80, 0x80, 0x80, 0x80, 0x80, 0))), "integer does not fit in 32 bits"},
		{"", "name that is not UTF-8", export1(join(u32(1), []byte{0xff, 0}, u32(0))), "export name: not valid UTF-8"},
		{"", "export twice", wasm(sec(secType, vec(fn(nil, nil))), sec(secFunction, vec(u32(0))),
			sec(secExport, vec(export("x", KindFunc, 0), export("x", KindFunc, 0))), sec(secCode, vec(function(0)))), `export "x" is there twice`},
	}
	for _, r := range rows {
		t.Run(r.row+" "+r.name, func(t *testing.T) {
			var m *Module
			var err error
			bytes := allocated(func() { m, err = Scan(r.bin, DefaultLimits()) })
			var refused *Error
			if m != nil || !errors.As(err, &refused) || !strings.HasPrefix(refused.What, r.want) {
				t.Fatalf("got %v, want %q", err, r.want)
			}
			if refused.Offset < 0 || refused.Offset > len(r.bin) {
				t.Errorf("offset %d in a binary of %d bytes", refused.Offset, len(r.bin))
			}
			if bytes > 1<<20 {
				t.Errorf("%d bytes were allocated to refuse a binary of %d", bytes, len(r.bin))
			}
		})
	}
}

func repeat(n int, b []byte) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}

// TestHostileRun builds the rows that are fine as modules and must be stopped
// while they run. Both engines stop them for the same reason, with the same
// fuel left.
func TestHostileRun(t *testing.T) {
	const fuel = 200_000
	doubling := make([][]byte, 34)
	doubling[0] = function(0)
	for i := 1; i < len(doubling); i++ {
		doubling[i] = function(0, call(i-1), call(i-1))
	}
	fill32MiB := join(i32c(0), i32c(1), i32c(32<<20), ins(0xfc, 11, 0))
	forward := times(2000, ins(opBlock, 0x40, opLocalGet, 0, opBrIf, 0, opEnd)) // nothing but jumps ahead
	rows := []struct {
		row, name string
		p         program
		want      string
	}{
		{"1", "infinite loop", program{funcs: [][]byte{function(0, forever)}}, "out of fuel"},
		{"3", "exponential calls", program{funcs: doubling}, "out of fuel"},
		{"3", "recursion that doubles", program{funcs: [][]byte{function(0, call(0), call(0))}}, "too deep"},
		{"4", "deep recursion", program{funcs: [][]byte{function(0, call(0))}}, "too deep"},
		{"4", "deep recursion with 990 locals", program{funcs: [][]byte{function(990, call(0))}}, "too deep"},
		{"4", "mutual recursion", program{funcs: [][]byte{function(0, call(1)), function(0, call(0))}}, "too deep"},
		{"5", "300 fills of 32 MiB", program{memory: 512, funcs: [][]byte{function(0, times(300, fill32MiB))}}, "out of fuel"},
		{"5", "copies", program{memory: 512, funcs: [][]byte{function(0, times(300, join(i32c(1), i32c(0), i32c(16<<20), ins(0xfc, 10, 0, 0))))}}, "out of fuel"},
		{"6", "memory.grow in a loop", program{memory: 1, memMax: 512, funcs: [][]byte{function(0, loop(i32c(1), ins(opMemoryGrow, 0, 0x1a, opBr, 0)))}}, "out of fuel"},
		{"6", "memory.grow that fails", program{memory: 1, memMax: 512, funcs: [][]byte{function(0, i32c(-1), ins(opMemoryGrow, 0, 0x1a))}}, "out of fuel"},
		{"9", "table.grow in a loop", program{tableMax: 60_000, funcs: [][]byte{
			function(0, loop(ins(opRefNull, byte(FuncRef)), i32c(1000), ins(0xfc, 15, 0, 0x1a, opBr, 0)))}}, "out of fuel"},
		{"9", "table.fill", program{tableMax: 60_000, funcs: [][]byte{function(0,
			ins(opRefNull, byte(FuncRef)), i32c(50_000), ins(0xfc, 15, 0, 0x1a),
			loop(i32c(0), ins(opRefNull, byte(FuncRef)), i32c(50_000), ins(0xfc, 17, 0, opBr, 0)))}}, "out of fuel"},
		{"14", "jumps ahead, called in a loop", program{funcs: [][]byte{function(1, forward), function(0, loop(call(0), ins(opBr, 0)))}}, "out of fuel"},
		{"14", "straight line, called in a loop", program{funcs: [][]byte{
			function(1, times(40_000, join(ins(opLocalGet, 0), i32c(1), ins(opI32Add, 0x21, 0)))), function(0, loop(call(0), ins(opBr, 0)))}}, "out of fuel"},
	}
	for _, r := range rows {
		t.Run(r.row+" "+r.name, func(t *testing.T) {
			bin := mustMeter(t, r.p.build()).Bin
			var left []int64
			for _, e := range engines {
				i := open(t, e.config().WithMemoryLimitPages(512), bin)
				i.refuel(fuel, maxFrames)
				_, err := i.ExportedFunction("run").Call(context.Background())
				if got := i.class(err); got != r.want {
					t.Errorf("%s: %s (%v), want %s", e.name, got, err, r.want)
				}
				left = append(left, i.left())
			}
			if left[0] != left[1] {
				t.Errorf("fuel left: %d on the compiler, %d on the interpreter", left[0], left[1])
			}
		})
	}
}

// Row 2: a start function runs on the fuel the module is born with.
func TestHostileStart(t *testing.T) {
	bin := program{funcs: [][]byte{function(0, forever)}, start: true}.build()
	w, err := Meter(mustScan(t, bin), MeterOptions{InitialFuel: 100_000, MaxDepth: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range engines {
		r := newRuntime(t, e.config())
		if _, err := instantiate(t, r, w.Bin); err == nil || !strings.Contains(err.Error(), "unreachable") {
			t.Errorf("%s: %v, want the trap of the meter", e.name, err)
		}
	}
}

// A trap of the guest's own is not mistaken for the meter's, even when it comes
// with little fuel left.
func TestTrapOfTheGuest(t *testing.T) {
	bin := mustMeter(t, noop(ins(0x00))).Bin
	for _, e := range engines {
		i := open(t, e.config(), bin)
		i.refuel(1, 1)
		_, err := i.ExportedFunction("run").Call(context.Background())
		if got := i.class(err); got != "trap" || i.left() != 0 {
			t.Errorf("%s: %s with %d left, want trap with 0", e.name, got, i.left())
		}
	}
}

// What a loader checks before it compiles is all there.
func TestModuleDescribes(t *testing.T) {
	bin := wasm(
		sec(secCustom, str("knock.policy"), []byte(`{"name":"x"}`)),
		sec(secType, vec(fn([]ValueType{I32}, []ValueType{I64}), fn([]ValueType{I32, F64}, nil))),
		sec(secImport, vec(
			join(str("knock_v1"), str("log"), []byte{byte(KindFunc)}, u32(1)),
			join(str("env"), str("memory"), []byte{byte(KindMemory), 1, 1, 2}))),
		sec(secFunction, vec(u32(0))),
		sec(secGlobal, vec(ins(byte(F32), 1, opF32Const, 0, 0, 0, 0, opEnd), ins(byte(I64), 0, opI64Const, 0, opEnd))),
		sec(secExport, vec(export("knock_v1_decide", KindFunc, 1), export("knock_v1_buffer", KindGlobal, 0))),
		sec(secCode, vec(function(0, ins(opI64Const, 1)))))
	m := mustScan(t, bin)
	if len(m.Imports) != 2 || m.Imports[0].Module != "knock_v1" || m.Imports[0].Func.String() != "(i32 f64) -> ()" ||
		m.Imports[1].Kind != KindMemory || m.Imports[1].Memory != (Size{1, 2, true}) {
		t.Errorf("imports %+v", m.Imports)
	}
	decide, ok := m.Export("knock_v1_decide")
	if !ok || decide.Kind != KindFunc || decide.Index != 1 || decide.Func.String() != "(i32) -> i64" {
		t.Errorf("decide %+v", decide)
	}
	buffer, ok := m.Export("knock_v1_buffer")
	if !ok || buffer.Kind != KindGlobal || buffer.Global != (Global{F32, true}) {
		t.Errorf("buffer %+v", buffer)
	}
	if got, ok := m.Custom("knock.policy"); !ok || string(got) != `{"name":"x"}` {
		t.Errorf("custom %q", got)
	}
	w, err := Meter(m, MeterOptions{InitialFuel: 1, MaxDepth: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Globals) != 1 || w.Globals[0] != (GlobalExport{"knockgate.g0", 0, F32}) {
		t.Errorf("globals %+v", w.Globals)
	}
	if _, ok := m.Export("nothing"); ok {
		t.Error("an export that is not there")
	}
	if _, err := Meter(m, MeterOptions{InitialFuel: -1}); err == nil {
		t.Error("negative fuel is taken")
	}
}

// Output that would be more than twice the largest file is refused: a module of
// loops alone grows eightfold.
func TestMeterRefusesGrowth(t *testing.T) {
	lim := DefaultLimits()
	lim.FileBytes = 20_000
	m, err := Scan(noop(times(4000, ins(opLoop, 0x40, opEnd))), lim)
	if err != nil {
		t.Fatal(err)
	}
	var refused *Error
	if _, err := Meter(m, MeterOptions{}); !errors.As(err, &refused) || !strings.Contains(refused.What, "is over the limit of 40000") {
		t.Errorf("got %v", err)
	}
}
