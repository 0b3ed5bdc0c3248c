package plugins

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Where an opaFake keeps its texts.
const (
	fakeBuiltins = 0x1000
	fakeEntries  = 0x6000
	fakeResult   = 0xb000
	fakeOperand  = 0x10000
	fakeBuffer   = 0x20000
	fakeHeap     = 0x60000
	fakeEnd      = 0x80000 // of its memory
)

// opaFake is a module for OPA's ABI that no compiler made: it says what its
// texts say, with what a row puts in place. The numbers of imported functions
// are 0 opa_abort, 1 opa_println, 2 opa_builtin1, 3 opa_builtin2.
type opaFake struct {
	builtins, entries, result, operand string            // "" is one that is good
	bodies                             map[string][]byte // of exports
	types                              map[string]byte   // of exports, by index
	version, minor                     int32             // 0 is 1.3
	without                            string            // an export that is left out
	imports                            [][]byte          // beside those above
	memory                             []byte            // limits; nil: 8 pages
}

// fakeTypes are the types of an opaFake, by index.
var fakeTypes = [][]byte{
	code(0x60, 0, 1, 0x7f),
	code(0x60, 1, 0x7f, 1, 0x7f),
	code(0x60, 1, 0x7f, 0),
	code(0x60, 2, 0x7f, 0x7f, 1, 0x7f),
	code(0x60, 7, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f),
	code(0x60, 3, 0x7f, 0x7f, 0x7f, 1, 0x7f),
	code(0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f),
	code(0x60, 0, 0),
}

const fakeImports = 4

func (g opaFake) build() []byte {
	get := code(0x20, 0) // the first argument
	functions := []struct {
		name string
		typ  byte
		body []byte
	}{
		{opaEval, 4, constant(fakeResult)},
		{opaBuiltins, 0, constant(fakeBuiltins)},
		{opaEntrypoints, 0, constant(fakeEntries)},
		{opaMalloc, 1, constant(fakeBuffer)},
		{opaHeapGet, 0, constant(fakeHeap)},
		{opaHeapSet, 2, nil},
		{opaParse, 3, constant(fakeHeap)},
		{opaDump, 1, get},
		{opaValueParse, 3, constant(fakeHeap)},
		{opaValueDump, 1, constant(fakeOperand)},
	}
	or := func(s, otherwise string) []byte {
		if s == "" {
			s = otherwise
		}
		return []byte(s + "\x00")
	}
	imported := func(name string, desc ...byte) []byte { return cat(text(opaModule), text(name), desc) }
	if g.memory == nil {
		g.memory = code(0, 8)
	}
	imports := append([][]byte{
		imported("opa_abort", 0, 2), imported("opa_println", 0, 2), imported("opa_builtin1", 0, 5), imported("opa_builtin2", 0, 6),
		imported("memory", append([]byte{2}, g.memory...)...),
	}, g.imports...)
	if g.version == 0 && g.minor == 0 {
		g.version, g.minor = 1, 3
	}
	var types, exports, bodies [][]byte
	for i, f := range functions {
		if body, ok := g.bodies[f.name]; ok {
			f.body = body
		}
		if typ, ok := g.types[f.name]; ok {
			f.typ = typ
		}
		types = append(types, code(f.typ))
		bodies = append(bodies, cat(leb(uint64(len(f.body)+2)), code(0), f.body, code(0x0b)))
		if f.name != g.without {
			exports = append(exports, cat(text(f.name), code(0), leb(uint64(fakeImports+i))))
		}
	}
	for i, name := range []string{opaVersion, opaMinor} {
		if name != g.without {
			exports = append(exports, cat(text(name), code(3, byte(i))))
		}
	}
	if g.without != abi.ExportMemory {
		exports = append(exports, cat(text(abi.ExportMemory), code(2, 0)))
	}
	at := func(ptr int32, b []byte) []byte {
		return cat(code(0), constant(ptr), code(0x0b), leb(uint64(len(b))), b)
	}
	return cat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, list(fakeTypes...)),
		section(2, list(imports...)),
		section(3, list(types...)),
		section(6, list(cat(code(0x7f, 0), constant(g.version), code(0x0b)), cat(code(0x7f, 0), constant(g.minor), code(0x0b)))),
		section(7, list(exports...)),
		section(10, list(bodies...)),
		section(11, list(
			at(fakeBuiltins, or(g.builtins, `{"trace":0,"strings.count":7}`)),
			at(fakeEntries, or(g.entries, `{"knock/verdict":3}`)),
			at(fakeResult, or(g.result, `[{"result":"allow"}]`)),
			at(fakeOperand, or(g.operand, `"x"`)),
		)))
}

// bodies is the map of one body.
func bodies(name string, body ...[]byte) map[string][]byte {
	return map[string][]byte{name: cat(body...)}
}

// calls has opa_eval call a builtin of so many operands and return the result.
func evalCalls(index int, number int32, operands int) map[string][]byte {
	args := many(operands, constant(1))
	return bodies(opaEval, constant(number), constant(0), args, callTo(index), code(0x1a), constant(fakeResult))
}

// unterminated fills memory from an address to its end with a letter.
func unterminated(from int32) []byte {
	return cat(constant(from), constant('x'), constant(fakeEnd-from), code(0xfc, 11, 0))
}

// TestOPAFake: what the rows of the next tests change is all that is wrong.
func TestOPAFake(t *testing.T) {
	log, buf := newLog()
	e := newEngine(t, EngineOptions{Log: log})
	talks := opaFake{bodies: bodies(opaEval, constant(fakeOperand), callTo(1), constant(-1), callTo(1),
		constant(0), constant(0), constant(1), callTo(2), code(0x1a), constant(fakeResult)), operand: "\"one\ntwo\""}.build()
	c := load(t, e, ChainSpec{Policies: []PolicySpec{{Name: "p", Bytes: talks, Settings: []byte(`{"a":1}`)}}})
	var d Decision
	c.Evaluate(context.Background(), knockFacts(), &d)
	if d.Verdict != abi.Allow || d.Fault.Class != FaultNone {
		t.Errorf("%s, fault %+v; want allow", d.Verdict, d.Fault)
	}
	if want := `guest: \"one\\ntwo\"`; !strings.Contains(buf.String(), want) {
		t.Errorf("the log lacks %s:\n%s", want, buf)
	}
	if s := e.Stats(); s.Discarded != 0 {
		t.Errorf("%d instances were discarded, want none", s.Discarded)
	}
}

// TestOPALoads: what a module for OPA's ABI must not be or say, and the stage
// that says so.
func TestOPALoads(t *testing.T) {
	two := func(name string, typ byte, body []byte) opaFake {
		return opaFake{types: map[string]byte{name: typ}, bodies: map[string][]byte{name: body}}
	}
	long := strings.Repeat(" ", abi.MaxResult+1)
	rows := []hostileRow{
		{"version 2", opaFake{version: 2, minor: 3}.build(), StageExports, "version 2.3 of OPA's Wasm ABI; this host knows 1, from 1.2 on"},
		{"version 1.1", opaFake{version: 1, minor: 1}.build(), StageExports, "version 1.1 of"},
		{"no version", opaFake{without: opaVersion}.build(), StageExports, "no constant i32 opa_wasm_abi_version"},
		{"no minor version", opaFake{without: opaMinor}.build(), StageExports, "no constant i32 opa_wasm_abi_minor_version"},
		{"no opa_eval", opaFake{without: opaEval}.build(), StageExports, "no function opa_eval of type (i32 i32 i32 i32 i32 i32 i32) -> i32"},
		{"no opa_malloc", opaFake{without: opaMalloc}.build(), StageExports, "no function opa_malloc of type (i32) -> i32"},
		{"no memory", opaFake{without: abi.ExportMemory}.build(), StageExports, `no memory named "memory"`},
		{"opa_eval of another type", two(opaEval, 0, constant(0)).build(), StageExports, "opa_eval as () -> i32; it must be"},
		{"opa_heap_ptr_set of another type", two(opaHeapSet, 1, constant(0)).build(), StageExports, "opa_heap_ptr_set as (i32) -> i32; it must be (i32) -> ()"},
		{"memory above its limit", opaFake{memory: cat(code(0), leb(600))}.build(), StageExports, "600 pages"},
		{"a host function of the knock ABI", opaFake{imports: [][]byte{cat(text(abi.Module), text(abi.ImportNowMS), code(0, 0))}}.build(), StageImports, `"knock_v1.now_ms", which is not granted; there are the modules env`},
		{"a host function that is none", opaFake{imports: [][]byte{cat(text(opaModule), text("opa_builtin5"), code(0, 0))}}.build(), StageImports, "opa_builtin5"},
		{"a host function of another type", opaFake{imports: [][]byte{cat(text(opaModule), text("opa_builtin0"), code(0, 0))}}.build(), StageImports, "its type is (i32 i32) -> i32"},
		{"a table imported", opaFake{imports: [][]byte{cat(text(opaModule), text("table"), code(1, 0x70, 0, 0))}}.build(), StageImports, "brings its own"},
		{"two memories", opaFake{imports: [][]byte{cat(text(opaModule), text("memory"), code(2, 0, 1))}}.build(), StageScan, "memories: 2"},

		{"builtin that is not granted", opaFake{builtins: `{"trace":0,"http.send":1,"rand.intn":2}`}.build(), StageInstantiate, `not granted: "http.send", "rand.intn"; beside`},
		{"builtins of a real module", readModule(t, "rego_http"), StageInstantiate, `"http.send", "opa.runtime"; beside those that opa build compiles in there are crypto.sha256, sprintf`},
		{"builtins are a list", opaFake{builtins: `["trace"]`}.build(), StageInstantiate, "builtins: the result is no JSON object"},
		{"builtins are cut short", opaFake{builtins: `{"trace":0`}.build(), StageInstantiate, "builtins: the result at byte 10"},
		{"builtins with text behind", opaFake{builtins: `{"trace":0}}`}.build(), StageInstantiate, "has more after its value"},
		{"builtins by text", opaFake{builtins: `{"trace":"0"}`}.build(), StageInstantiate, "a number without digits"},
		{"builtins by a fraction", opaFake{builtins: `{"trace":0.5}`}.build(), StageInstantiate, "is due"},
		{"builtins by 2^31", opaFake{builtins: `{"trace":2147483648}`}.build(), StageInstantiate, "no number of its own"},
		{"two builtins by one number", opaFake{builtins: `{"trace":1,"sprintf":1}`}.build(), StageInstantiate, "no number of its own"},
		{"a builtin twice", opaFake{builtins: `{"trace":1,"trace":2}`}.build(), StageInstantiate, "no number of its own"},
		{"builtins too long", opaFake{builtins: long}.build(), StageInstantiate, "a text of more than 16384 bytes"},
		{"builtins not UTF-8", opaFake{builtins: "{\"\xff\":1}"}.build(), StageInstantiate, "not valid UTF-8"},
		{"builtins nowhere", opaFake{bodies: bodies(opaBuiltins, constant(0))}.build(), StageInstantiate, "a text at 0x0, outside memory"},
		{"builtins past memory", opaFake{bodies: bodies(opaBuiltins, constant(-1))}.build(), StageInstantiate, "a text at 0xffffffff, outside memory"},
		{"builtins without end", opaFake{bodies: bodies(opaBuiltins, unterminated(fakeEnd-8), constant(fakeEnd-8))}.build(), StageInstantiate, "memory ends before a zero byte"},
		{"builtins trap", opaFake{bodies: bodies(opaBuiltins, code(0))}.build(), StageInstantiate, "builtins: unreachable"},
		{"builtins do not end", opaFake{bodies: bodies(opaBuiltins, spin, constant(0))}.build(), StageInstantiate, "used up its"},
		{"a builtin asks for a builtin", opaFake{bodies: bodies(opaBuiltins, constant(0), constant(0), constant(0), callTo(2))}.build(), StageInstantiate, "before the module has said which it needs"},

		{"another entrypoint", opaFake{entries: `{"knock/allow":0,"main":1}`}.build(), StageInstantiate, `has no entrypoint "knock/verdict", only ["knock/allow" "main"]; build it with opa build -t wasm -e knock/verdict`},
		{"another entrypoint of a real module", readModule(t, "rego_entrypoint"), StageInstantiate, `only ["knock/answer"]`},
		{"no entrypoint", opaFake{entries: `{}`}.build(), StageInstantiate, `has no entrypoint "knock/verdict", only []`},
		{"entrypoints are no JSON", opaFake{entries: `knock/verdict`}.build(), StageInstantiate, "entrypoints: the result is no JSON object"},
		{"an entrypoint below 0", opaFake{entries: `{"knock/verdict":-1}`}.build(), StageInstantiate, "a number without digits"},
		{"entrypoints past memory", opaFake{bodies: bodies(opaEntrypoints, constant(fakeEnd))}.build(), StageInstantiate, "outside memory"},

		{"no buffer", opaFake{bodies: bodies(opaMalloc, constant(0))}.build(), StageInstantiate, "opa_malloc: 262144 bytes at 0x0 are outside"},
		{"a buffer past memory", opaFake{bodies: bodies(opaMalloc, constant(fakeEnd-abi.MaxFrame+1))}.build(), StageInstantiate, "are outside its memory of 524288 bytes"},
		{"a buffer that wraps", opaFake{bodies: bodies(opaMalloc, constant(-1))}.build(), StageInstantiate, "are outside"},
		{"opa_malloc aborts", opaFake{bodies: bodies(opaMalloc, constant(fakeResult), callTo(0), constant(1))}.build(), StageInstantiate, `opa_malloc: aborted: [{"result":"allow"}]`},
		{"aborts with a text past memory", opaFake{bodies: bodies(opaMalloc, constant(-1), callTo(0), constant(1))}.build(), StageInstantiate, "opa_malloc: aborted: "},
		{"settings are no JSON to it", opaFake{bodies: bodies(opaParse, constant(0))}.build(), StageConfigure, "opa_json_parse: takes the settings for no JSON"},
		{"errors of another shape", opaFake{entries: `{"knock/verdict":0,"knock/errors":1}`}.build(), StageConfigure, "knock/errors: the result at byte 11: '\"' where '[' is due"},
		{"errors undefined", opaFake{entries: `{"knock/verdict":0,"knock/errors":1}`, result: `[]`}.build(), StageConfigure, "knock/errors: the rule is undefined"},
		{"errors", opaFake{entries: `{"knock/verdict":0,"knock/errors":1}`, result: `[{"result":[{"path":"a\n","message":"is wrong"}]}]`}.build(), StageConfigure, `refuses its settings: a\n: is wrong`},
		{"errors past memory", opaFake{entries: `{"knock/verdict":0,"knock/errors":1}`, bodies: bodies(opaEval, constant(-1))}.build(), StageConfigure, "knock/errors: a text at 0xffffffff"},
		{"errors do not end", opaFake{entries: `{"knock/verdict":0,"knock/errors":1}`, bodies: bodies(opaEval, spin, constant(0))}.build(), StageConfigure, "knock/errors: opa_eval: used up its"},
		{"settings do not end", opaFake{bodies: bodies(opaParse, spin, constant(1))}.build(), StageConfigure, "opa_json_parse: used up its"},
		{"settings nest without end", opaFake{bodies: bodies(opaParse, constant(1), constant(1), callTo(fakeImports+6))}.build(), StageConfigure, "nested its calls deeper"},
	}
	for _, interpreter := range []bool{false, true} {
		e := newEngine(t, EngineOptions{Interpreter: interpreter, Limits: Limits{StartFuel: 300_000, ConfigureFuel: 200_000}})
		for _, r := range rows {
			_, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{{Name: "p", Bytes: r.bin}}}, nil)
			failure, ok := errors.AsType[*LoadError](err)
			if !ok || failure.Stage != r.stage || !strings.Contains(err.Error(), r.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: Load = %v, want a *LoadError at %s with %q, in one line", r.name, err, r.stage, r.want)
			}
			if s := e.Stats(); s.Policies != 0 || s.Instances != 0 {
				t.Errorf("%s: %d policies and %d instances are left, want none", r.name, s.Policies, s.Instances)
			}
		}
	}
}

// TestOPAHostileCalls: each row's decision is a fault, the same on both engines
// and with the same fuel, and its instance is gone.
func TestOPAHostileCalls(t *testing.T) {
	result := func(s string) opaFake { return opaFake{result: s} }
	returns := func(ptr int32) opaFake { return opaFake{bodies: bodies(opaEval, constant(ptr))} }
	builtin := func(g opaFake, name string, body ...[]byte) opaFake {
		g.bodies = evalCalls(2, 0, 1)
		g.bodies[name] = cat(body...)
		return g
	}
	// opa_malloc gives the buffer first, and then what a row says.
	later := func(ptr int32) []byte {
		return cat(code(0x20, 0), constant(1000), code(0x48), code(0x04, 0x7f), constant(ptr), code(0x05), constant(fakeBuffer), code(0x0b))
	}
	rows := []struct {
		name  string
		g     opaFake
		class FaultClass
		want  string
	}{
		{"undefined", result(`[]`), FaultResult, "undefined"},
		{"result is no list", result(`{"result":"allow"}`), FaultResult, "is due"},
		{"two results", result(`[{"result":"allow"},{"result":"deny"}]`), FaultResult, "']' is due"},
		{"two bindings", result(`[{"result":"allow","x":1}]`), FaultResult, "'}' is due"},
		{"another binding", result(`[{"x":"allow"}]`), FaultResult, `the binding "x"`},
		{"no binding", result(`[{}]`), FaultResult, "is due"},
		{"cut short", result(`[{"result":"allow`), FaultResult, "does not end"},
		{"text behind", result(`[{"result":"allow"}]x`), FaultResult, "more after its value"},
		{"an unknown verdict", result(`[{"result":"Allow"}]`), FaultResult, `the verdict "Allow"`},
		{"true", result(`[{"result":true}]`), FaultResult, `is "true"`},
		{"null", result(`[{"result":null}]`), FaultResult, `is "null"`},
		{"an object without a verdict", result(`[{"result":{"message":"m"}}]`), FaultResult, "no verdict"},
		{"a lone surrogate", result(`[{"result":{"verdict":"deny","message":"\ud800"}}]`), FaultResult, "surrogate"},
		{"not UTF-8", result("[{\"result\":\"\xff\"}]"), FaultResult, "not valid UTF-8"},
		{"nested without end", result(strings.Repeat("[", 10_000)), FaultResult, "is due"},
		{"nested in the result", result(`[{"result":` + strings.Repeat("[", 10_000)), FaultResult, "nested deeper"},
		{"too long", result(`[{"result":"` + strings.Repeat("x", abi.MaxResult)), FaultResult, "more than 16384 bytes"},
		{"nowhere", returns(0), FaultResult, "outside memory"},
		{"past memory", returns(fakeEnd), FaultResult, "outside memory"},
		{"at the end of the address space", returns(-1), FaultResult, "outside memory"},
		{"without end", opaFake{bodies: bodies(opaEval, unterminated(fakeEnd-8), constant(fakeEnd-8))}, FaultResult, "memory ends before"},
		{"empty", returns(fakeEnd - 1), FaultResult, "ends where '[' is due"},

		{"aborts", opaFake{bodies: bodies(opaEval, constant(fakeResult), callTo(0), code(0))}, FaultTrap, `aborted: [{"result":"allow"}]`},
		{"aborts in two lines", opaFake{operand: "one\ntwo\xff", bodies: bodies(opaEval, constant(fakeOperand), callTo(0), code(0))}, FaultTrap, `aborted: one\ntwo\xff`},
		{"aborts from outside memory", opaFake{bodies: bodies(opaEval, constant(-1), callTo(0), code(0))}, FaultTrap, "aborted: "},
		{"traps", opaFake{bodies: bodies(opaEval, code(0))}, FaultTrap, "unreachable"},
		{"spins", opaFake{bodies: bodies(opaEval, spin, constant(0))}, FaultExhausted, "200000 ticks"},
		{"prints without end", opaFake{bodies: bodies(opaEval, block(0x03, constant(fakeResult), callTo(1), code(0x0c, 0)), constant(0))}, FaultExhausted, "200000 ticks"},
		{"recursion", opaFake{bodies: bodies(opaEval, many(7, constant(0)), callTo(fakeImports))}, FaultDepth, "nested"},

		{"a builtin that is not listed", opaFake{bodies: evalCalls(2, 5, 1)}, FaultTrap, "builtin 5 is called, which the module does not list"},
		{"a builtin with operands of another number", opaFake{bodies: evalCalls(3, 0, 2)}, FaultTrap, "trace is called with 2 operands; it has 1"},
		{"an operand past memory", builtin(opaFake{}, opaValueDump, constant(-1)), FaultTrap, "trace: operand 1: a text at 0xffffffff, outside memory"},
		{"an operand without end", builtin(opaFake{}, opaValueDump, unterminated(fakeEnd-8), constant(fakeEnd-8)), FaultTrap, "operand 1: a text at 0x7fff8 that memory ends"},
		{"an operand too long", opaFake{operand: strings.Repeat("x", maxOperands+1), bodies: evalCalls(2, 0, 1)}, FaultTrap, "more than 16384 bytes"},
		{"two operands too long", opaFake{operand: strings.Repeat("x", maxOperands/2+1), bodies: evalCalls(3, 7, 2)}, FaultTrap, "strings.count: operand 2: a text of more than 8191 bytes"},
		{"the dump traps", builtin(opaFake{}, opaValueDump, code(0)), FaultTrap, "unreachable"},
		{"the dump aborts", builtin(opaFake{}, opaValueDump, constant(fakeResult), callTo(0), code(0)), FaultTrap, "aborted"},
		{"the dump spins", builtin(opaFake{}, opaValueDump, spin, constant(0)), FaultExhausted, "200000 ticks"},
		{"the dump nests", builtin(opaFake{}, opaValueDump, code(0x20, 0), callTo(fakeImports+9)), FaultDepth, "nested"},
		{"the dump calls a builtin", builtin(opaFake{}, opaValueDump, constant(0), constant(0), constant(0), callTo(2)), FaultTrap, "trace is called by a function that serves a builtin"},
		{"the result has no room", builtin(opaFake{}, opaMalloc, later(fakeEnd-2)), FaultTrap, "trace: its result: 4 bytes at 0x7fffe are outside memory"},
		{"the result wraps", builtin(opaFake{}, opaMalloc, later(-1)), FaultTrap, "4 bytes at 0xffffffff are outside memory"},
		{"the parser spins", builtin(opaFake{}, opaValueParse, spin, constant(0)), FaultExhausted, "200000 ticks"},
		{"builtins without end", opaFake{bodies: bodies(opaEval, block(0x03, constant(0), constant(0), constant(1), callTo(2), code(0x1a, 0x0c, 0)), constant(0))}, FaultExhausted, "200000 ticks"},
	}
	for _, r := range rows {
		var fuel []int64
		for _, interpreter := range []bool{false, true} {
			e := newEngine(t, EngineOptions{Interpreter: interpreter})
			c := load(t, e, ChainSpec{Policies: []PolicySpec{{Name: "p", Bytes: r.g.build(), OnError: abi.Allow}}})
			var d Decision
			for range 2 { // the second meets a new instance
				c.Evaluate(context.Background(), knockFacts(), &d)
				if d.Verdict != abi.Allow || d.Fault.Class != r.class || !strings.Contains(d.Fault.Text, r.want) || strings.Contains(d.Fault.Text, "\n") {
					t.Errorf("%s: %s, fault %+v; want allow by on_error, fault %s with %q in one line", r.name, d.Verdict, d.Fault, r.class, r.want)
				}
				fuel = append(fuel, d.Fuel)
			}
			if s := e.Stats(); s.Discarded != 2 || s.Instances > 2 {
				t.Errorf("%s: %d instances discarded, %d live; want 2, and no more than the pool's", r.name, s.Discarded, s.Instances)
			}
		}
		if slices.Min(fuel) != slices.Max(fuel) || fuel[0] <= 0 || fuel[0] > 200_000 {
			t.Errorf("%s: fuel %d, on the compiler and the interpreter; want the same, at most the budget", r.name, fuel)
		}
	}
}

// TestModuleKind: a module is what its exports say, and one that could be both
// is held to the knock ABI.
func TestModuleKind(t *testing.T) {
	both := hostileGuest{exports: [][]byte{cat(text(opaEval), code(0, 1))}}.build()
	for name, tt := range map[string]struct {
		bin  []byte
		want *kind
	}{
		"knock": {readModule(t, "allow"), knockKind}, "OPA": {readModule(t, "rego_cases"), opaKind},
		"both": {both, knockKind}, "neither": {readModule(t, "program"), knockKind},
		"OPA of ABI 1.0": {opaFake{without: opaEval, version: 1, minor: 0}.build(), opaKind},
	} {
		m, err := wasmbin.Scan(tt.bin, wasmbin.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		if got := moduleKind(m); got != tt.want {
			t.Errorf("%s: the kind whose decide is %s, want %s", name, got.decide, tt.want.decide)
		}
	}
	_, err := newEngine(t, EngineOptions{}).Load(context.Background(), ChainSpec{Policies: []PolicySpec{{Name: "p", Bytes: []byte("\x00asm\x01\x00\x00\x00")}}}, nil)
	if want := "exports no function knock_v1_decide of type (i32) -> i64, and no opa_eval"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Load of an empty module = %v, want an error with %q", err, want)
	}
}
