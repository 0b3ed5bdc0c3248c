package wasmbin

import "math"

// codeSection reads the bodies of all functions.
func (s *scanner) codeSection() {
	defined := len(s.m.funcs) - s.m.imported.funcs
	start := s.pos
	n := s.count("functions", uint64(s.lim.Functions), 3)
	if s.err == nil && n != defined {
		s.failAt(start, "%d functions declared, but %d have code", defined, n)
		return
	}
	s.codeSeen = n
	s.m.bodies = make([]body, 0, n)
	for i := range n {
		s.function(i)
		if s.err != nil {
			return
		}
	}
}

func (s *scanner) function(i int) {
	head := s.pos
	size := s.count("bytes of a function", 1<<32-1, 1)
	if s.err != nil || s.over(head, "bytes of a function", uint64(size), uint64(s.lim.BodyBytes)) {
		return
	}
	record(&s.m.Largest.Body, size)
	outer := s.end
	s.end = s.pos + size
	b := body{start: s.pos, end: s.end}
	b.locals = s.locals(s.m.types[s.m.funcs[s.m.imported.funcs+i]])
	b.code = s.pos
	s.code(&b)
	if s.err != nil {
		return
	}
	s.end = outer
	s.m.bodies = append(s.m.bodies, b)
}

// locals returns the number of parameters and locals. The runs are added in
// 64 bits: wazero 1.12 allocates by their sum before it looks any further.
func (s *scanner) locals(t FuncType) uint32 {
	start := s.pos
	sum := uint64(len(t.Params))
	for runs := s.count("runs of locals", 1<<32-1, 2); runs > 0 && s.err == nil; runs-- {
		sum += uint64(s.u32())
		s.valueType()
	}
	if s.err != nil || s.over(start, "locals of a function", sum, uint64(s.lim.Locals)) {
		return 0
	}
	record(&s.m.Largest.Locals, int(sum))
	return uint32(sum)
}

// code reads the instructions of one function and checks its structure and
// every index.
func (s *scanner) code(b *body) {
	m := s.m
	s.control = append(s.control[:0], opBlock)
	count, labels, blocks := 0, 0, 0
	var in instr
	for s.err == nil {
		s.next(&in)
		if count++; count > s.lim.Instructions {
			s.over(in.pos, "instructions of a function", uint64(count), uint64(s.lim.Instructions))
			return
		}
		if blocks > s.lim.Blocks {
			s.over(in.pos, "blocks and branches of a function", uint64(blocks), uint64(s.lim.Blocks))
			return
		}
		switch in.shape {
		case shapeNone:
			switch in.op {
			case opElse:
				if top := &s.control[len(s.control)-1]; *top == opIf {
					*top = opElse
				} else {
					s.failAt(in.pos, "else without if")
				}
			case opEnd:
				s.control = s.control[:len(s.control)-1]
				if len(s.control) == 0 {
					record(&m.Largest.Instructions, count)
					record(&m.Largest.Labels, labels)
					record(&m.Largest.Blocks, blocks)
					if s.pos != s.end {
						s.fail("%d bytes after the end of a function", s.end-s.pos)
					}
					return
				}
			}
		case shapeBlockType:
			blocks++
			if in.block >= 0 {
				s.inRange(in.pos, "type", uint32(in.block), len(m.types))
			}
			s.control = append(s.control, byte(in.op))
			record(&m.Largest.Nesting, len(s.control)-1)
			if s.over(in.pos, "nesting of blocks", uint64(len(s.control)-1), uint64(s.lim.Nesting)) {
				return
			}
		case shapeLabel:
			blocks++
			s.inRange(in.pos, "label", in.x, len(s.control))
		case shapeLabels:
			labels += int(in.x) + 1
			if !s.over(in.pos, "br_table labels of a function", uint64(labels), uint64(s.lim.Labels)) {
				s.labels(&in)
			}
		case shapeLocal:
			s.inRange(in.pos, "local", in.x, int(b.locals))
		case shapeGlobal:
			s.inRange(in.pos, "global", in.x, len(m.Globals))
			if s.err == nil && in.op == opGlobalSet && !m.Globals[in.x].Mutable {
				s.failAt(in.pos, "global %d is set, but not mutable", in.x)
			}
		case shapeFunc:
			s.inRange(in.pos, "function", in.x, len(m.funcs))
			if in.op == opCall && int(in.x) >= m.imported.funcs {
				b.calls = true
			}
		case shapeIndirect:
			s.inRange(in.pos, "type", in.x, len(m.types))
			s.inRange(in.pos, "table", in.y, len(m.Tables))
			b.calls = true
		case shapeTable:
			s.tableOp(b, &in)
		case shapeMem, shapeMemMem, shapeMemArg, shapeMemArgLane, shapeDataMem:
			s.inRange(in.pos, "memory", 0, len(m.Memories))
			if in.op == opMemoryGrow || in.op >= opMemoryInit && in.op <= opMemoryFill {
				b.bulk = true
			}
			if in.shape == shapeDataMem {
				s.inRange(in.pos, "data segment", in.x, m.dataCount)
			}
		case shapeData:
			m.Hidden = true
			s.inRange(in.pos, "data segment", in.x, m.dataCount)
		case shapeElem:
			m.Hidden = true
			s.inRange(in.pos, "element segment", in.x, len(m.elems))
		case shapeElemTable:
			m.Hidden = true
			s.inRange(in.pos, "element segment", in.x, len(m.elems))
			s.inRange(in.pos, "table", in.y, len(m.Tables))
			b.bulk = true
		case shapeTables:
			m.Hidden = true
			s.inRange(in.pos, "table", in.x, len(m.Tables))
			s.inRange(in.pos, "table", in.y, len(m.Tables))
			b.bulk = true
		}
	}
}

// labels checks those of a br_table.
func (s *scanner) labels(in *instr) {
	r := reader{b: s.b, pos: in.labels, end: in.end}
	for r.left() > 0 {
		s.inRange(in.pos, "label", r.u32(), len(s.control))
	}
}

// tableOp checks table.get, .set, .grow, .size and .fill. A table that grows
// must declare its end: a host can cap memory, but wazero has no cap on tables,
// and fuel starts afresh with each call.
func (s *scanner) tableOp(b *body, in *instr) {
	s.inRange(in.pos, "table", in.x, len(s.m.Tables))
	if s.err != nil {
		return
	}
	if in.op != opTableGet && in.op != opTableSize {
		s.m.Hidden = true
	}
	switch in.op {
	case opTableGrow:
		b.bulk = true
		most := uint64(math.MaxUint32)
		if t := s.m.Tables[in.x]; t.HasMax {
			most = uint64(t.Max)
		}
		s.over(in.pos, "table.grow: table maximum in elements", most, uint64(s.lim.TableMax))
	case opTableFill:
		b.bulk = true
	}
}
