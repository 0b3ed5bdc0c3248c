package plugins

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
	"github.com/knockgate/knockgate/sdk/abi"
)

// The builder of hostile modules: bytes in, bytes out.

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func code(b ...byte) []byte { return b }

func leb(v uint64) []byte { return binary.AppendUvarint(nil, v) }

func list(items ...[]byte) []byte { return cat(leb(uint64(len(items))), cat(items...)) }

func text(s string) []byte { return cat(leb(uint64(len(s))), []byte(s)) }

func section(id byte, contents ...[]byte) []byte {
	b := cat(contents...)
	return cat([]byte{id}, leb(uint64(len(b))), b)
}

func many(n int, b []byte) []byte { return slices.Repeat(b, n) }

// constant is i32.const v.
func constant(v int32) []byte {
	b := []byte{0x41}
	x := int64(v)
	for x < -64 || x > 63 {
		b = append(b, byte(x)|0x80)
		x >>= 7
	}
	return append(b, byte(x)&0x7f)
}

func block(op byte, body ...[]byte) []byte { return cat([]byte{op, 0x40}, cat(body...), []byte{0x0b}) }

// callTo calls a function by its index: without imports, 0 is buffer, 1 is
// decide, and 2 the first extra one.
func callTo(index int) []byte { return cat([]byte{0x10}, leb(uint64(index))) }

var spin = block(0x03, code(0x0c, 0))

// hostileGuest is a policy that would allow, with what a row adds. Its types
// are 0: () -> (), 1: (i32) -> i32, 2: (i32) -> i64.
type hostileGuest struct {
	imports [][]byte
	decide  []byte // before the verdict, which is allow
	locals  []byte // runs of decide; nil: none
	extra   [][]byte
	memory  []byte // nil: 8 pages, no maximum
	table   []byte
	globals []byte
	exports [][]byte
	data    []byte
	custom  []byte
	start   bool // run the last extra function at the start
}

func (g hostileGuest) build() []byte {
	n := len(g.imports)
	body := func(locals []byte, b ...[]byte) []byte {
		if locals == nil {
			locals = list()
		}
		f := cat(locals, cat(b...), []byte{0x0b})
		return cat(leb(uint64(len(f))), f)
	}
	types := [][]byte{leb(1), leb(2)}
	bodies := [][]byte{body(nil, constant(0x10000)), body(g.locals, g.decide, code(0x42, 1))}
	for _, f := range g.extra {
		types, bodies = append(types, leb(0)), append(bodies, body(nil, f))
	}
	out := cat([]byte("\x00asm\x01\x00\x00\x00"), g.custom,
		section(1, list(code(0x60, 0, 0), code(0x60, 1, 0x7f, 1, 0x7f), code(0x60, 1, 0x7f, 1, 0x7e))))
	if n > 0 {
		out = cat(out, section(2, list(g.imports...)))
	}
	out = cat(out, section(3, list(types...)))
	if g.table != nil {
		out = cat(out, section(4, list(g.table)))
	}
	if g.memory == nil {
		g.memory = code(0, 8)
	}
	out = cat(out, section(5, list(g.memory)))
	if g.globals != nil {
		out = cat(out, section(6, g.globals))
	}
	out = cat(out, section(7, list(append([][]byte{
		cat(text(abi.ExportMemory), code(2, 0)),
		cat(text(abi.ExportBuffer), code(0), leb(uint64(n))),
		cat(text(abi.ExportDecide), code(0), leb(uint64(n+1))),
	}, g.exports...)...)))
	if g.start {
		out = cat(out, section(8, leb(uint64(n+1+len(g.extra)))))
	}
	out = cat(out, section(10, list(bodies...)))
	if g.data != nil {
		out = cat(out, section(11, g.data))
	}
	return out
}

// doubling are functions that call the one before twice: 2^n calls, no loop.
func doubling(n int) [][]byte {
	f := [][]byte{nil}
	for i := 1; i < n; i++ {
		f = append(f, cat(callTo(i+1), callTo(i+1)))
	}
	return f
}

// hostileLoads are the rows of the corpus that must not load: what is wrong with
// each, and the stage that says so.
func hostileLoads(t *testing.T) []hostileRow {
	lie := leb(1<<32 - 1)
	grow := cat(code(0xd0, 0x70), constant(100_000_000), code(0xfc, 15, 0, 0x1a))
	return []hostileRow{
		{"2 start section without end", hostileGuest{extra: [][]byte{spin}, start: true}.build(), StageInstantiate, "used up its"},
		{"2 _initialize without end", readModule(t, "initialize_loop"), StageInstantiate, "used up its"},
		{"2 configure without end", readModule(t, "configure_loop"), StageConfigure, "used up its"},
		{"3 exponential calls in the start section", hostileGuest{extra: doubling(34), start: true}.build(), StageInstantiate, "used up its"},
		{"4 deep recursion in the start section", hostileGuest{extra: [][]byte{callTo(2)}, start: true}.build(), StageInstantiate, "the start section"},
		{"7 memory of 4 GiB", hostileGuest{memory: cat(code(0), leb(65536))}.build(), StageExports, "65536 pages"},
		{"8 table of 2^27", hostileGuest{table: cat(code(0x70, 0), leb(1<<27))}.build(), StageScan, "table minimum"},
		{"9 table.grow by 10^8", hostileGuest{table: code(0x70, 0, 0), decide: grow}.build(), StageScan, "table maximum"},
		{"10 2^32-1 locals", hostileGuest{locals: list(cat(lie, code(0x7e)))}.build(), StageScan, "locals of a function: 4294967296"},
		{"10 2^32 locals in two runs", hostileGuest{locals: list(cat(leb(1<<31), code(0x7e)), cat(leb(1<<31), code(0x7e)))}.build(), StageScan, "locals of a function: 4294967297"},
		{"11 50,000,000 locals", hostileGuest{locals: list(cat(leb(50_000_000), code(0x7e)))}.build(), StageScan, "locals of a function: 50000001"},
		{"12 100,000 nested blocks", hostileGuest{decide: cat(many(100_000, code(0x02, 0x40)), many(100_000, code(0x0b)))}.build(), StageScan, "nesting of blocks"},
		{"12 20,000 loops in a row", hostileGuest{decide: many(20_000, block(0x03))}.build(), StageScan, "blocks and branches"},
		{"13 br_table of 500,001", hostileGuest{decide: block(0x02, constant(0), code(0x0e), leb(500_000), many(500_001, code(0)))}.build(), StageScan, "br_table labels"},
		{"14 function of 3 MB", hostileGuest{decide: many(1_000_000, code(0x41, 0, 0x1a))}.build(), StageScan, "bytes of a function"},
		{"15 100,000 functions", hostileGuest{extra: make([][]byte, 100_000)}.build(), StageScan, "functions: 100002"},
		{"15 200,000 globals", hostileGuest{globals: cat(leb(200_000), many(200_000, code(0x7f, 1, 0x41, 0, 0x0b)))}.build(), StageScan, "globals: 200000"},
		{"16 a vector that is not there", cat([]byte("\x00asm\x01\x00\x00\x00"), section(1, leb(4000))), StageScan, "types: 4000 claimed"},
		{"16 a section longer than the file", cat([]byte("\x00asm\x01\x00\x00\x00"), code(1), lie), StageScan, "only 0 are left"},
		{"16 data that is not there", hostileGuest{data: list(cat(code(0, 0x41, 0, 0x0b), lie))}.build(), StageScan, "bytes of a data segment: 4294967295"},
		{"17 custom section of 8 MB", hostileGuest{custom: section(0, text("x"), make([]byte, 8<<20))}.build(), StageScan, "custom section"},
		{"17 file of 17 MB", hostileGuest{custom: section(0, text("x"), make([]byte, 17<<20))}.build(), StageSize, "16 MiB"},
		{"18 import that nobody grants", readModule(t, "unknown_import"), StageImports, "not granted"},
		{"18 memory imported", readModule(t, "import_memory"), StageImports, "brings its own"},
		{"19 data out of bounds", hostileGuest{data: list(cat(code(0), constant(1<<20), code(0x0b), text("x")))}.build(), StageInstantiate, "out of bounds"},
		{"25 exits at the start", readModule(t, "exits_at_start"), StageInstantiate, "exits while it starts"},
		{"26 memory.atomic.wait", hostileGuest{decide: code(0xfe, 0x01, 2, 0)}.build(), StageScan, "unknown opcode"},
		{"30 decide is a global", readModule(t, "wrong_kind"), StageExports, "as a global"},
		{"30 decide of another type", readModule(t, "wrong_types"), StageExports, "must be"},
		{"30 the name of the fuel global", hostileGuest{globals: list(code(0x7e, 1, 0x42, 0, 0x0b)), exports: [][]byte{cat(text(wasmbin.FuelGlobal), code(3, 0))}}.build(), StageScan, "reserved"},
		{"30 the fuel global by index", hostileGuest{decide: code(0x42, 0, 0x24, 0)}.build(), StageScan, "global 0 does not exist"},
	}
}

type hostileRow struct {
	name  string
	bin   []byte
	stage Stage
	want  string
}

// TestHostileLoads holds that a load of each row ends at its stage, and leaves
// nothing behind. What the scan refuses costs no memory to speak of, whatever
// the module claims.
func TestHostileLoads(t *testing.T) {
	engines := []EngineOptions{
		{},
		// Which takes a hundred times as long for a tick.
		{Interpreter: true, Limits: Limits{StartFuel: 200_000, ConfigureFuel: 200_000}},
	}
	if canBoundChild {
		engines = append(engines, EngineOptions{Compiler: childOf(t)})
	}
	for _, o := range engines {
		e := newEngine(t, o)
		for _, r := range hostileLoads(t) {
			t.Run(r.name, func(t *testing.T) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{{Name: "p", Bytes: r.bin}}}, nil)
				runtime.ReadMemStats(&after)
				failure, ok := errors.AsType[*LoadError](err)
				if !ok || failure.Stage != r.stage || !strings.Contains(err.Error(), r.want) {
					t.Errorf("Load = %v, want a *LoadError at %s with %q", err, r.stage, r.want)
				}
				if got := after.TotalAlloc - before.TotalAlloc; r.stage == StageScan && got > 4<<20 {
					t.Errorf("%d bytes were allocated to refuse %d", got, len(r.bin))
				}
				if s := e.Stats(); s.Policies != 0 || s.Instances != 0 {
					t.Errorf("%d policies and %d instances are left, want none", s.Policies, s.Instances)
				}
			})
		}
	}
}

// TestHostileCalls holds that each row's call ends, by what bounds it, with the
// same fault and the same fuel on both engines; that on_error answers; and that
// the instance is gone.
func TestHostileCalls(t *testing.T) {
	fill := cat(constant(0), constant(1), constant(32<<20), code(0xfc, 11, 0))
	imported := func(module, name string, typ byte) []byte { return cat(text(module), text(name), code(0, typ)) }
	rows := []struct {
		name  string
		bin   []byte
		class FaultClass
	}{
		{"1 loop without end", hostileGuest{decide: spin}.build(), FaultExhausted},
		{"3 exponential calls", hostileGuest{extra: doubling(34), decide: callTo(35)}.build(), FaultExhausted},
		{"3 recursion that doubles", hostileGuest{extra: [][]byte{cat(callTo(2), callTo(2))}, decide: callTo(2)}.build(), FaultDepth},
		{"4 deep recursion", hostileGuest{extra: [][]byte{callTo(2)}, decide: callTo(2)}.build(), FaultDepth},
		{"4 recursion of frames of 900 locals", hostileGuest{locals: list(cat(leb(900), code(0x7e))), decide: cat(constant(0), code(0x10, 1, 0x1a))}.build(), FaultDepth},
		{"5 300 fills of 32 MiB", hostileGuest{memory: cat(code(0), leb(512)), decide: many(300, fill)}.build(), FaultExhausted},
		{"6 memory.grow in a loop", hostileGuest{decide: block(0x03, constant(1), code(0x40, 0, 0x1a, 0x0c, 0))}.build(), FaultExhausted},
		{"6 memory.grow by 2^32-1", hostileGuest{decide: cat(constant(-1), code(0x40, 0, 0x1a))}.build(), FaultExhausted},
		{"9 table.grow in a loop", hostileGuest{table: cat(code(0x70, 1, 0), leb(60_000)), decide: block(0x03, code(0xd0, 0x70), constant(1000), code(0xfc, 15, 0, 0x1a, 0x0c, 0))}.build(), FaultExhausted},
		{"20 result outside memory", readModule(t, "bad_pointer"), FaultResult},
		{"20 result that wraps", readModule(t, "bad_pointer_wrap"), FaultResult},
		{"20 result past its size", readModule(t, "oversized_result"), FaultResult},
		{"21 host calls without end", hostileGuest{imports: [][]byte{imported(wasiModule, "fd_close", 1)}, decide: block(0x03, constant(1), code(0x10, 0, 0x1a, 0x0c, 0))}.build(), FaultExhausted},
		{"21 log flood", readModule(t, "log_flood"), FaultExhausted},
		{"21 lines with line breaks", readModule(t, "logs"), FaultTrap},
		{"23 host function with a pointer outside", readModule(t, "log_outside"), FaultTrap},
		{"25 proc_exit", readModule(t, "exits"), FaultExit},
		{"25 unreachable", readModule(t, "trap"), FaultTrap},
		{"27 sleep without end", readModule(t, "sleeps"), FaultExhausted},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			var fuel []int64
			for _, interpreter := range []bool{false, true} {
				e := newEngine(t, EngineOptions{Interpreter: interpreter})
				c := load(t, e, ChainSpec{Policies: []PolicySpec{{Name: "p", Bytes: r.bin, OnError: abi.Allow}}})
				var d Decision
				for range 2 { // the second meets a new instance
					c.Evaluate(context.Background(), knockFacts(), &d)
					if d.Verdict != abi.Allow || d.Fault.Class != r.class || d.Steps[0].Verdict != abi.Error {
						t.Errorf("%s, fault %+v; want allow by on_error, fault %s", d.Verdict, d.Fault, r.class)
					}
					fuel = append(fuel, d.Fuel)
				}
				if s := e.Stats(); s.Discarded != 2 || s.Instances > 2 {
					t.Errorf("%d instances discarded, %d live; want 2, and no more than the pool's", s.Discarded, s.Instances)
				}
			}
			if slices.Min(fuel) != slices.Max(fuel) || fuel[0] <= 0 || fuel[0] > 200_000 {
				t.Errorf("fuel %d, on the compiler and the interpreter; want the same, at most the budget", fuel)
			}
		})
	}
}
