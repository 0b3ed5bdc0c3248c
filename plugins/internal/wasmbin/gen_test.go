package wasmbin

import (
	"slices"

	"pgregory.net/rapid"
)

// gen makes random modules that validate and end: functions call only those
// before them, and each loop counts a local of its own down.
type gen struct {
	t      *rapid.T
	sigs   []FuncType // of the functions before this one
	params []ValueType
	result []ValueType
	labels [][]ValueType // what a branch takes, innermost last; nil for a loop: not branched to
	loops  int           // loops around
	free   int           // locals used as counters so far
	calls  int
	size   int // what is left to write
	simd   bool
}

const (
	genLocals   = 12 // i32 locals after the parameters; the last are counters
	genCounters = 8
)

var genTypes = []ValueType{I32, I64, F32, F64}

func (g *gen) n(label string, most int) int { return rapid.IntRange(0, most).Draw(g.t, label) }

func (g *gen) typ() ValueType { return genTypes[g.n("type", len(genTypes)-1)] }

func (g *gen) types(most int) []ValueType {
	var out []ValueType
	for range g.n("types", most) {
		out = append(out, g.typ())
	}
	return out
}

// local is the index of a parameter or plain local of type t, -1 if none.
func (g *gen) local(t ValueType) int {
	var fit []int
	for i, p := range g.params {
		if p == t {
			fit = append(fit, i)
		}
	}
	if t == I32 {
		for i := range genLocals - genCounters {
			fit = append(fit, len(g.params)+i)
		}
	}
	if len(fit) == 0 {
		return -1
	}
	return fit[g.n("local", len(fit)-1)]
}

func (g *gen) constant(t ValueType) []byte {
	switch t {
	case I32:
		return join([]byte{opI32Const}, s64(int64(rapid.Int32().Draw(g.t, "i32"))))
	case I64:
		return join([]byte{opI64Const}, s64(rapid.Int64().Draw(g.t, "i64")))
	case F32:
		return ins(opF32Const, byte(g.n("b", 255)), 0, byte(g.n("b", 255)), 0x3f)
	}
	return ins(opF64Const, 0, 0, 0, 0, byte(g.n("b", 255)), 0, byte(g.n("b", 255)), 0x40)
}

// expr leaves one value of type t.
func (g *gen) expr(t ValueType) []byte {
	if g.size--; g.size < 0 {
		return g.constant(t)
	}
	switch g.n("expr", 9) {
	case 0, 1:
		if i := g.local(t); i >= 0 {
			return join([]byte{opLocalGet}, u32(i))
		}
	case 2, 3:
		return g.binary(t)
	case 4: // a load of the first 64 KiB
		op := map[ValueType]byte{I32: 0x28, I64: 0x29, F32: 0x2a, F64: 0x2b}[t]
		return join(g.address(), ins(op, 0, 0))
	case 5: // block with a value, or if with two arms
		return g.block([]ValueType{t})
	case 6: // several values, all but one dropped or stored away
		more := append([]ValueType{t}, g.types(2)...)
		return join(g.block(more), times(len(more)-1, ins(0x1a)))
	case 7:
		if f := g.callee(func(s FuncType) bool { return len(s.Results) == 1 && s.Results[0] == t }); f >= 0 {
			return g.call(f)
		}
	case 8:
		switch t {
		case I32:
			return join(g.expr(I64), ins(0xa7))
		case I64:
			return join(g.expr(F64), ins(0xfc, 6)) // i64.trunc_sat_f64_s
		case F32:
			return join(g.expr(I32), ins(0xb2))
		case F64:
			return join(g.expr(F32), ins(0xbb))
		}
	case 9:
		if g.simd && t == I32 {
			return join(g.expr(I32), ins(0xfd, 0x11), g.expr(I32), ins(0xfd, 0x11, 0xfd, 0xae, 0x01, 0xfd, 0x1b, byte(g.n("lane", 3))))
		}
		return join(g.expr(t), g.expr(t), g.expr(I32), ins(0x1b)) // select
	}
	return g.constant(t)
}

func (g *gen) binary(t ValueType) []byte {
	ops := map[ValueType][]byte{
		I32: {0x6a, 0x6b, 0x6c, 0x71, 0x73, 0x74, 0x76, 0x77, 0x6e, 0x46, 0x48}, // div_u may trap
		I64: {0x7c, 0x7d, 0x7e, 0x83, 0x85, 0x86, 0x88, 0x89, 0x80},
		F32: {0x92, 0x93, 0x94, 0x96},
		F64: {0xa0, 0xa1, 0xa2, 0xa4},
	}[t]
	return join(g.expr(t), g.expr(t), ins(ops[g.n("op", len(ops)-1)]))
}

func (g *gen) address() []byte { return join(g.expr(I32), i32c(0xfff0), ins(0x71)) }

func (g *gen) callee(fits func(FuncType) bool) int {
	if g.calls == 0 || g.loops > 1 {
		return -1
	}
	var fit []int
	for i, s := range g.sigs {
		if fits(s) {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		return -1
	}
	g.calls--
	return fit[g.n("callee", len(fit)-1)]
}

func (g *gen) call(f int) []byte {
	var out []byte
	for _, p := range g.sigs[f].Params {
		out = append(out, g.expr(p)...)
	}
	if rapid.Bool().Draw(g.t, "indirect") {
		return join(out, i32c(f), ins(opCallIndirect), u32(2*f), u32(0))
	}
	return join(out, call(f))
}

// block leaves values of the types: a block, or an if with two arms.
func (g *gen) block(types []ValueType) []byte {
	head := g.blockType(types)
	g.labels = append(g.labels, types)
	defer func() { g.labels = g.labels[:len(g.labels)-1] }()
	arm := func() []byte {
		var out []byte
		for range g.n("statements", 2) {
			out = append(out, g.statement()...)
		}
		return append(out, g.exprs(types)...)
	}
	if rapid.Bool().Draw(g.t, "if") {
		g.labels = g.labels[:len(g.labels)-1]
		cond := g.expr(I32)
		g.labels = append(g.labels, types)
		return join(cond, []byte{opIf}, head, arm(), []byte{opElse}, arm(), []byte{opEnd})
	}
	return join([]byte{opBlock}, head, arm(), []byte{opEnd})
}

func (g *gen) exprs(types []ValueType) []byte {
	var out []byte
	for _, t := range types {
		out = append(out, g.expr(t)...)
	}
	return out
}

// extra are the types of blocks with several results, at the end of the types.
var extra struct {
	base  int
	types []FuncType
}

func (g *gen) blockType(types []ValueType) []byte {
	switch len(types) {
	case 0:
		return []byte{0x40}
	case 1:
		return []byte{byte(types[0])}
	}
	return s64(int64(extraType(FuncType{Results: types})))
}

func extraType(f FuncType) int {
	for i, have := range extra.types {
		if slices.Equal(have.Params, f.Params) && slices.Equal(have.Results, f.Results) {
			return extra.base + i
		}
	}
	extra.types = append(extra.types, f)
	return extra.base + len(extra.types) - 1
}

// statement leaves nothing.
func (g *gen) statement() []byte {
	if g.size--; g.size < 0 {
		return nil
	}
	switch g.n("statement", 13) {
	case 0:
		t := g.typ()
		if i := g.local(t); i >= 0 {
			return join(g.expr(t), []byte{0x21}, u32(i))
		}
	case 1:
		op := map[ValueType]byte{I32: 0x36, I64: 0x37, F32: 0x38, F64: 0x39}
		t := g.typ()
		return join(g.address(), g.expr(t), ins(op[t], 0, 0))
	case 2, 3:
		return g.loop()
	case 4: // leave the function
		return join(g.exprs(g.result), ins(opReturn), g.dead())
	case 5: // branch out, with what the label takes
		depth := g.n("label", len(g.labels)-1)
		if types := g.labels[len(g.labels)-1-depth]; types != nil {
			return join(g.exprs(types), []byte{opBr}, u32(depth), g.dead())
		}
	case 6:
		depth := g.n("label", len(g.labels)-1)
		if types := g.labels[len(g.labels)-1-depth]; types != nil {
			return join(g.exprs(types), g.expr(I32), []byte{opBrIf}, u32(depth), times(len(types), ins(0x1a)))
		}
	case 7:
		depth := g.n("label", len(g.labels)-1)
		types := g.labels[len(g.labels)-1-depth]
		if types == nil {
			break
		}
		var same [][]byte
		for i := range g.labels {
			if l := g.labels[len(g.labels)-1-i]; l != nil && slices.Equal(l, types) {
				same = append(same, u32(i))
			}
		}
		return join(g.exprs(types), g.expr(I32), []byte{opBrTable}, vec(same...), u32(depth), g.dead())
	case 8:
		return join(g.expr(I32), []byte{opIf, 0x40}, g.inner(), []byte{opEnd})
	case 9: // bulk
		switch g.n("bulk", 5) {
		case 0:
			return join(i32c(g.n("to", 2000)), g.expr(I32), i32c(g.n("n", 500)), ins(0xfc, 11, 0))
		case 1:
			return join(i32c(g.n("to", 2000)), i32c(g.n("from", 2000)), i32c(g.n("n", 500)), ins(0xfc, 10, 0, 0))
		case 2:
			return join(i32c(g.n("pages", 2)), ins(opMemoryGrow, 0, 0x1a))
		case 3:
			return join(i32c(g.n("to", 20)), ins(opRefNull, byte(FuncRef)), i32c(g.n("n", 9)), ins(0xfc, 17, 1))
		case 4:
			return join(ins(opRefNull, byte(FuncRef)), i32c(g.n("n", 9)), ins(0xfc, 15, 1, 0x1a))
		}
		return join(i32c(g.n("to", 20)), i32c(g.n("from", 20)), i32c(g.n("n", 9)), ins(0xfc, 14, 1, 1))
	case 10:
		if f := g.callee(func(FuncType) bool { return true }); f >= 0 {
			return join(g.call(f), times(len(g.sigs[f].Results), ins(0x1a)))
		}
	case 11:
		return join(g.expr(I64), ins(opGlobalSet, 1))
	case 12: // a run long enough to need ticks of its own
		return times(g.n("long", 400), ins(opGlobalGet, 0, opI32Const, 1, opI32Add, opGlobalSet, 0))
	case 13: // a chain of jumps ahead
		g.labels = append(g.labels, []ValueType{})
		size := g.size
		g.size = min(size, 1)
		cond := g.expr(I32)
		g.size = size
		g.labels = g.labels[:len(g.labels)-1]
		return times(g.n("jumps", 60), join(ins(opBlock, 0x40), cond, ins(opBrIf, 0, opGlobalGet, 0, 0x1a, opEnd)))
	}
	return nil
}

func (g *gen) inner() []byte {
	g.labels = append(g.labels, []ValueType{})
	var out []byte
	for range g.n("statements", 2) {
		out = append(out, g.statement()...)
	}
	g.labels = g.labels[:len(g.labels)-1]
	return out
}

// dead is code nothing reaches. It has to validate all the same.
func (g *gen) dead() []byte {
	return [][]byte{nil, ins(0x00), ins(0x1a), ins(opMemoryGrow, 0, 0x1a), ins(0xfc, 11, 0), ins(0x6a, 0x1a), times(200, ins(opI32Const, 0, 0x1a))}[g.n("dead", 6)]
}

// loop runs its body a few times; half of them hand values from round to round.
func (g *gen) loop() []byte {
	if g.loops >= 3 || g.free >= genCounters {
		return nil
	}
	counter := u32(len(g.params) + genLocals - genCounters + g.free)
	g.free++
	g.loops++
	defer func() { g.loops-- }()
	rounds := join(i32c(1+g.n("rounds", 5)), []byte{0x21}, counter)
	down := join([]byte{opLocalGet}, counter, i32c(1), []byte{0x6b, opLocalTee}, counter)
	carried := g.types(2)
	first := g.exprs(carried)
	g.labels = append(g.labels, nil)
	defer func() { g.labels = g.labels[:len(g.labels)-1] }()
	var body []byte
	for range g.n("statements", 3) {
		body = append(body, g.statement()...)
	}
	if len(carried) == 0 {
		return join(rounds, []byte{opLoop, 0x40}, body, down, []byte{opBrIf, 0, opEnd})
	}
	t := s64(int64(extraType(FuncType{carried, carried})))
	return join(rounds, first, []byte{opLoop}, t, body, times(len(carried), ins(0x1a)), g.exprs(carried), down,
		[]byte{opBrIf, 0, opEnd}, times(len(carried), ins(0x1a)))
}

// genModule draws a module that exports run: (i32) -> i64, and its memory.
func genModule(t *rapid.T) []byte {
	count := rapid.IntRange(1, 5).Draw(t, "functions")
	sigs := make([]FuncType, count)
	g := gen{t: t}
	for i := range sigs {
		sigs[i] = FuncType{g.types(3), g.types(3)}
	}
	sigs[count-1] = FuncType{[]ValueType{I32}, []ValueType{I64}}
	extra.base, extra.types = 2*count, nil
	var funcs, types, bodies, elems [][]byte
	for i, s := range sigs {
		// a second type for each, so that indexes of types and functions differ
		types = append(types, fn(s.Params, s.Results), fn(s.Params, append([]ValueType{V128}, s.Results...)))
		funcs = append(funcs, u32(2*i))
		elems = append(elems, u32(i))
		g := gen{
			t: t, sigs: sigs[:i], params: s.Params, result: s.Results, labels: [][]ValueType{s.Results},
			calls: 4, size: 60, simd: rapid.Bool().Draw(t, "simd"),
		}
		if s.Results == nil {
			g.labels[0] = []ValueType{}
		}
		var code []byte
		for range g.n("statements", 6) {
			code = append(code, g.statement()...)
		}
		bodies = append(bodies, function(genLocals, code, g.exprs(s.Results)))
	}
	for _, f := range extra.types {
		types = append(types, fn(f.Params, f.Results))
	}
	return wasm(
		sec(secType, vec(types...)),
		sec(secFunction, vec(funcs...)),
		sec(secTable, vec(join([]byte{byte(FuncRef), 0}, u32(count)), join([]byte{byte(FuncRef), 1}, u32(30), u32(60)))),
		sec(secMemory, vec(ins(1, 1, 4))),
		sec(secGlobal, vec(ins(byte(I32), 1, opI32Const, 0, opEnd), ins(byte(I64), 1, opI64Const, 0, opEnd))),
		sec(secExport, vec(export("memory", KindMemory, 0), export("run", KindFunc, count-1))),
		sec(secElement, vec(join(ins(0, opI32Const, 0, opEnd), vec(elems...)))),
		sec(secCode, vec(bodies...)))
}
