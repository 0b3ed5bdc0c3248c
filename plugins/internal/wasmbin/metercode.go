package wasmbin

const (
	// payAt is the most unpaid units a path may gather before a tick is put in
	// its way. The measured cost of 64, 128 and 256 is in README.md.
	payAt = 128
	// maxWeight is the largest weight of one tick: it has to fit in one byte as a
	// signed LEB128, so that the weight can be filled in after the run is known.
	maxWeight = 63

	pageShift = 10 // ticks for a page grown: 1024, as for 64 KiB filled
	byteShift = 6  // 64 bytes filled or copied for a tick
	// smallBody is the most bytes of code for which a tick traps on the spot.
	smallBody = 48

	tableShift = 3 // 8 elements filled or copied for a tick
)

// frame is an open block, loop or if, or the function itself.
type frame struct {
	op byte
	// debt is the most unpaid units on any branch to the frame's end.
	debt uint32
	// entry is, for an if, the unpaid units before its first arm.
	entry uint32
}

// bodyMeter rewrites one function.
//
// Each tick pays for itself and for the straight run behind it, up to the next
// instruction that may leave the run: its weight is 1 + units/unitsPerTick.
// What a path gathers after that, over branches and joins, is debt; where the
// debt reaches payAt a tick that pays it off is put in. Without it, a body of
// a megabyte that only jumps forward would cost one tick. The debt at a join is
// the largest on any path to it, so no path runs more than payAt units, or one
// instruction, without paying.
type bodyMeter struct {
	*meter
	scratch uint32 // the local that holds lengths
	wrapped bool   // the body is inside two blocks, see function
	open    int    // where in code the weight of the open tick stands; -1: none is open
	base    uint32 // weight the open tick starts from
	run     uint32 // units since the open tick
	debt    uint32 // unpaid units, when no tick is open
}

// codeSection returns the contents of the rewritten code section.
func (w *meter) codeSection() []byte {
	n := len(w.m.bodies)
	size := w.codeBytes()
	out := make([]byte, 0, size+size/4+64*n+1)
	out = appendU32(out, uint32(n))
	for i := range w.m.bodies {
		w.code = w.code[:0]
		w.function(&w.m.bodies[i], w.m.funcs[w.m.imported.funcs+i])
		if w.err != nil {
			return nil
		}
		out = appendU32(out, uint32(len(w.code)))
		out = append(out, w.code...)
		if w.tooLarge(len(out)) {
			return nil
		}
	}
	return out
}

// function rewrites a body:
//
//	block                    ;; out of fuel, or too deep
//	  block (result R...)    ;; takes the place of the function's own label
//	    depth-- tick body    ;; return becomes a branch
//	  end
//	  depth++ return
//	end
//	unreachable
//
// All ticks share one trap: a trap each makes two basic blocks more, and the
// compiler's time grows with the square of those. A function that calls nothing
// is not counted in the depth, as it can be at most one call deeper than one
// that does; if it is small too it keeps its form, and ticks trap on the spot.
func (w *meter) function(b *body, typ uint32) {
	w.localRuns(b)
	w.control = append(w.control[:0], frame{op: opBlock})
	f := bodyMeter{meter: w, scratch: b.locals, wrapped: b.calls || b.end-b.code > smallBody, open: -1}
	if f.wrapped {
		w.code = append(w.code, opBlock, 0x40, opBlock)
		w.code = w.resultBlock(w.code, typ)
	}
	if b.calls {
		f.addDepth(opI32Sub)
	}
	f.tick(1, b.calls)
	f.run = b.locals // each has to be set to zero
	f.body(b)
	if b.calls {
		f.addDepth(opI32Add)
	}
	if f.wrapped {
		f.code = append(f.code, opReturn, opEnd, opUnreachable, opEnd)
	}
}

// localRuns copies the declarations of locals, with one more where the
// function needs a scratch local.
func (w *meter) localRuns(b *body) {
	if !b.bulk {
		w.code = append(w.code, w.b[b.start:b.code]...)
		return
	}
	r := reader{b: w.b, pos: b.start, end: b.code}
	w.code = appendU32(w.code, r.u32()+1)
	w.code = append(w.code, w.b[r.pos:b.code]...)
	w.code = append(w.code, 1, byte(I32))
}

func (f *bodyMeter) indexed(op byte, index uint32) {
	f.code = appendU32(append(f.code, op), index)
}

func (f *bodyMeter) addDepth(op byte) {
	f.indexed(opGlobalGet, f.depth)
	f.code = append(f.code, opI32Const, 1, op)
	f.indexed(opGlobalSet, f.depth)
}

// tick appends code that takes fuel, and leaves it open: its weight is base
// and what add puts on top until close. It uses globals and constants only, so
// it can stand before any instruction, whatever is on the stack.
func (f *bodyMeter) tick(base uint32, depth bool) {
	f.out.Ticks++
	f.indexed(opGlobalGet, f.fuel)
	f.code = append(f.code, opI64Const, 0, opI64Sub)
	f.open, f.base, f.run = len(f.code)-2, base, 0
	f.check(depth)
}

// check sets fuel to the value on the stack and traps if it is negative. With
// depth it traps also if the depth is, by the same branch: the sign bit of
// either survives the or.
func (f *bodyMeter) check(depth bool) {
	f.indexed(opGlobalSet, f.fuel)
	f.indexed(opGlobalGet, f.fuel)
	if depth {
		f.indexed(opGlobalGet, f.depth)
		f.code = append(f.code, opI64ExtendI32S, opI64Or)
	}
	f.code = append(f.code, opI64Const, 0, opI64LtS)
	if f.wrapped {
		f.indexed(opBrIf, uint32(len(f.control)))
	} else {
		f.code = append(f.code, opIf, 0x40, opUnreachable, opEnd)
	}
}

// close fixes the weight of the open tick, if there is one.
func (f *bodyMeter) close() {
	if f.open < 0 {
		return
	}
	weight := min(f.base+f.run/unitsPerTick, maxWeight)
	f.code[f.open] = byte(weight)
	f.debt = f.run - (weight-f.base)*unitsPerTick
	f.open = -1
}

func (f *bodyMeter) add(units uint32) {
	if f.open < 0 {
		f.debt += units
		return
	}
	f.run += units
	if f.base+f.run/unitsPerTick >= maxWeight {
		f.close()
	}
}

// owe carries the debt to the target of a branch. A loop header ticks for
// itself.
func (f *bodyMeter) owe(label uint32) {
	if t := &f.control[len(f.control)-1-int(label)]; t.op != opLoop {
		t.debt = max(t.debt, f.debt)
	}
}

// body copies the instructions, with the metering between them.
func (f *bodyMeter) body(b *body) {
	f.pos, f.end = b.code, b.end
	copied := f.pos
	copyTo := func(pos int) {
		f.code = append(f.code, f.b[copied:pos]...)
		copied = pos
	}
	var in instr
	for len(f.control) > 0 && f.err == nil {
		f.next(&in)
		if f.open < 0 && f.debt >= payAt {
			copyTo(in.pos)
			debt := f.debt
			f.tick(0, false)
			f.run = debt
		}
		units := uint32(in.cost)
		if in.op == opCall && int(in.x) < f.m.imported.funcs {
			units = costImport
		}
		f.add(units)
		switch in.op {
		case opBlock, opLoop, opIf, opElse, opEnd, opBr, opBrIf, opBrTable, opUnreachable:
			f.branch(&in)
			if in.op == opLoop {
				copyTo(in.end)
				f.tick(1, false)
			}
		case opReturn:
			f.branch(&in)
			if f.wrapped {
				copyTo(in.pos)
				f.indexed(opBr, uint32(len(f.control)-1))
				copied = in.end
			}
		case opMemoryGrow, opMemoryInit, opMemoryCopy, opMemoryFill,
			opTableInit, opTableCopy, opTableGrow, opTableFill:
			copyTo(in.pos)
			f.charge(in.op)
		}
	}
	copyTo(b.end)
}

// branch keeps the open blocks and what is owed at their ends. After a jump
// nothing is owed: no path comes that way.
func (f *bodyMeter) branch(in *instr) {
	if in.op == opBlock {
		f.control = append(f.control, frame{op: opBlock})
		return
	}
	f.close()
	top := &f.control[len(f.control)-1]
	switch in.op {
	case opLoop:
		f.control = append(f.control, frame{op: opLoop})
	case opIf:
		f.control = append(f.control, frame{op: opIf, entry: f.debt})
	case opElse:
		top.op, top.debt = opElse, max(top.debt, f.debt)
		f.debt = top.entry
	case opEnd:
		f.debt = max(f.debt, top.debt)
		if top.op == opIf {
			f.debt = max(f.debt, top.entry)
		}
		f.control = f.control[:len(f.control)-1]
	case opBrIf:
		f.owe(in.x)
	case opBr:
		f.owe(in.x)
		f.debt = 0
	case opBrTable:
		r := reader{b: f.b, pos: in.labels, end: in.end}
		for r.left() > 0 {
			f.owe(r.u32())
		}
		f.debt = 0
	case opReturn, opUnreachable:
		f.debt = 0
	}
}

// charge takes fuel by the length on top of the stack and leaves it there.
func (f *bodyMeter) charge(op uint32) {
	f.out.Ticks++
	f.indexed(opLocalTee, f.scratch)
	f.indexed(opGlobalGet, f.fuel)
	f.indexed(opLocalGet, f.scratch)
	f.code = append(f.code, opI64ExtendI32U)
	switch op {
	case opMemoryGrow:
		f.code = append(f.code, opI64Const, pageShift, opI64Shl)
	case opMemoryInit, opMemoryCopy, opMemoryFill:
		f.code = append(f.code, opI64Const, byteShift, opI64ShrU)
	case opTableInit, opTableCopy, opTableFill:
		f.code = append(f.code, opI64Const, tableShift, opI64ShrU)
	}
	f.code = append(f.code, opI64Sub)
	f.check(false)
}
