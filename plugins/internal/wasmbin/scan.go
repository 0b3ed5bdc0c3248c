package wasmbin

import (
	"bytes"
	"strings"
)

// Prefix starts the names the metering reserves. A module that imports from or
// exports such a name is refused.
const Prefix = "knockgate."

var header = []byte("\x00asm\x01\x00\x00\x00")

const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
)

var sectionNames = [...]string{
	"custom", "type", "import", "function", "table", "memory", "global",
	"export", "start", "element", "code", "data", "data count",
}

// sectionRank is the order sections must come in, by id.
var sectionRank = [...]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 10}

type scanner struct {
	reader
	lim       Limits
	m         *Module
	codeSeen  int
	namesSeen bool
	control   []byte // opcodes of the blocks that are open
}

// Scan reads a whole binary once and reports what it asks of its host. It
// returns an *Error if the binary is malformed in its structure, uses anything
// that is not in WebAssembly core 2.0, passes a limit, or uses a name under
// Prefix.
//
// Scan checks every section, index, label and immediate, but not the types of
// operands: the engine's own validation still has to follow. It never
// allocates by a figure the binary merely claims.
func Scan(bin []byte, lim Limits) (*Module, error) {
	m := &Module{Start: -1, bin: bin, limits: lim, dataCount: -1, consts: make(map[uint32]int32)}
	s := &scanner{reader: reader{b: bin, end: len(bin)}, lim: lim, m: m, codeSeen: -1}
	s.module()
	if s.err != nil {
		return nil, s.err
	}
	return m, nil
}

func (s *scanner) module() {
	if s.over(0, "file size in bytes", uint64(len(s.b)), uint64(s.lim.FileBytes)) {
		return
	}
	if !bytes.HasPrefix(s.b, header) {
		s.fail("not a WebAssembly module of version 1")
		return
	}
	s.pos = len(header)
	rank := 0
	for s.left() > 0 && s.err == nil {
		head := s.pos
		id := s.byte()
		if int(id) >= len(sectionNames) {
			s.failAt(head, "unknown section %d", id)
			return
		}
		if id != secCustom {
			if sectionRank[id] <= rank {
				s.failAt(head, "%s section is out of order or repeated", sectionNames[id])
				return
			}
			rank = sectionRank[id]
		}
		size := s.u32()
		if s.err == nil && uint64(size) > uint64(s.left()) {
			s.failAt(head, "%s section claims %d bytes, but only %d are left", sectionNames[id], size, s.left())
		}
		if s.err != nil {
			return
		}
		sec := section{id: id, head: head, start: s.pos, end: s.pos + int(size)}
		outer := s.end
		s.end = sec.end
		s.section(&sec)
		if s.err != nil {
			return
		}
		if s.pos != sec.end {
			s.fail("%s section: %d bytes after its contents", sectionNames[id], sec.end-s.pos)
			return
		}
		s.end = outer
		s.m.sections = append(s.m.sections, sec)
	}
	s.finish()
}

func (s *scanner) section(sec *section) {
	switch sec.id {
	case secCustom:
		s.custom(sec)
	case secType:
		s.typeSection()
	case secImport:
		s.importSection()
	case secFunction:
		s.functionSection()
	case secTable:
		for n := s.count("tables", uint64(s.lim.Tables), 3); n > 0 && s.err == nil; n-- {
			s.addTable(s.table())
		}
	case secMemory:
		for n := s.count("memories", 1, 2); n > 0 && s.err == nil; n-- {
			s.addMemory(s.memory())
		}
	case secGlobal:
		for n := s.count("globals", uint64(s.lim.Globals), 4); n > 0 && s.err == nil; n-- {
			g := s.global()
			if v, ok := s.constExpr(); ok && !g.Mutable {
				s.m.consts[uint32(len(s.m.Globals))] = v
			}
			s.addGlobal(g)
		}
	case secExport:
		s.exportSection()
	case secStart:
		s.m.Start = int(s.index("start function", len(s.m.funcs)))
	case secElement:
		s.elementSection()
	case secDataCount:
		s.m.dataCount = int(s.u32())
		s.over(sec.start, "data segments", uint64(s.m.dataCount), uint64(s.lim.Data))
	case secCode:
		s.codeSection()
	case secData:
		s.dataSection()
	}
}

// finish checks what only the end of the binary shows.
func (s *scanner) finish() {
	if s.err != nil {
		return
	}
	defined := len(s.m.funcs) - s.m.imported.funcs
	switch {
	case defined != max(s.codeSeen, 0):
		s.fail("%d functions declared, but %d have code", defined, max(s.codeSeen, 0))
	case s.m.dataCount >= 0 && s.m.dataCount != s.m.data:
		s.fail("data count section says %d, but there are %d data segments", s.m.dataCount, s.m.data)
	}
}

// record keeps the largest figure met.
func record(largest *int, n int) { *largest = max(*largest, n) }

// index reads an index that must be less than n.
func (s *scanner) index(what string, n int) uint32 {
	start := s.pos
	x := s.u32()
	s.inRange(start, what, x, n)
	return x
}

func (s *scanner) inRange(offset int, what string, x uint32, n int) {
	if s.err == nil && uint64(x) >= uint64(max(n, 0)) {
		s.failAt(offset, "%s %d does not exist: there are %d", what, x, max(n, 0))
	}
}

func (s *scanner) typeSection() {
	n := s.count("types", uint64(s.lim.Types), 3)
	s.m.Largest.Types = n
	for ; n > 0 && s.err == nil; n-- {
		if form := s.byte(); form != 0x60 && s.err == nil {
			s.failAt(s.pos-1, "unknown form of type 0x%02x", form)
		}
		params := s.valueTypes("parameters of a type", s.lim.Params)
		results := s.valueTypes("results of a type", s.lim.Results)
		record(&s.m.Largest.Params, len(params))
		record(&s.m.Largest.Results, len(results))
		s.m.types = append(s.m.types, FuncType{params, results})
	}
}

func (s *scanner) valueTypes(what string, limit int) []ValueType {
	n := s.count(what, uint64(limit), 1)
	if n == 0 {
		return nil
	}
	types := make([]ValueType, n)
	for i := range types {
		types[i] = s.valueType()
	}
	return types
}

func (s *scanner) importSection() {
	n := s.count("imports", uint64(s.lim.Imports), 4)
	s.m.Largest.Imports = n
	for ; n > 0 && s.err == nil; n-- {
		start := s.pos
		imp := Import{Module: s.nameOf("import module name"), Name: s.nameOf("import name")}
		if strings.HasPrefix(imp.Module, Prefix) || strings.HasPrefix(imp.Name, Prefix) {
			s.failAt(start, "import %q %q: names under %q are reserved", imp.Module, imp.Name, Prefix)
		}
		switch kind := s.byte(); Kind(kind) {
		case KindFunc:
			t := s.index("type", len(s.m.types))
			if s.err != nil {
				return
			}
			imp.Func = s.m.types[t]
			s.m.funcs = append(s.m.funcs, t)
			s.m.imported.funcs++
		case KindTable:
			imp.Kind, imp.Table = KindTable, s.table()
			s.addTable(imp.Table)
		case KindMemory:
			limits := s.pos
			imp.Kind, imp.Memory = KindMemory, s.memory()
			s.addMemory(imp.Memory)
			s.m.imported.memory = span{start, limits, s.pos}
		case KindGlobal:
			imp.Kind, imp.Global = KindGlobal, s.global()
			s.addGlobal(imp.Global)
			s.m.imported.globals++
		default:
			s.failAt(s.pos-1, "unknown kind of import %d", kind)
		}
		s.m.Imports = append(s.m.Imports, imp)
	}
}

func (s *scanner) nameOf(what string) string {
	n := s.name(what, s.lim.NameBytes)
	record(&s.m.Largest.Name, len(n))
	return n
}

func (s *scanner) functionSection() {
	n := s.count("functions", uint64(s.lim.Functions), 1)
	s.m.Largest.Functions = n
	for ; n > 0 && s.err == nil; n-- {
		s.m.funcs = append(s.m.funcs, s.index("type", len(s.m.types)))
	}
}

// size reads limits. Flags other than "has a maximum" belong to later versions
// of the specification: shared memory, 64-bit memory, custom page sizes.
func (s *scanner) size(what string) Size {
	start := s.pos
	flags := s.byte()
	if flags > 1 && s.err == nil {
		s.failAt(start, "%s: unknown flags 0x%02x", what, flags)
	}
	z := Size{Min: s.u32(), HasMax: flags == 1}
	if z.HasMax {
		z.Max = s.u32()
		if s.err == nil && z.Max < z.Min {
			s.failAt(start, "%s: maximum %d is less than minimum %d", what, z.Max, z.Min)
		}
	}
	return z
}

func (s *scanner) table() Table {
	t := Table{Elem: s.refType()}
	start := s.pos
	t.Size = s.size("table")
	s.over(start, "table minimum in elements", uint64(t.Min), uint64(s.lim.TableMin))
	return t
}

func (s *scanner) addTable(t Table) {
	s.m.Tables = append(s.m.Tables, t)
	s.m.Largest.Tables = len(s.m.Tables)
	record(&s.m.Largest.TableMin, int(t.Min))
	s.over(s.pos, "tables", uint64(len(s.m.Tables)), uint64(s.lim.Tables))
}

func (s *scanner) memory() Size {
	start := s.pos
	z := s.size("memory")
	s.over(start, "memory minimum in pages", uint64(z.Min), uint64(s.lim.MemoryMin))
	s.over(start, "memory maximum in pages", uint64(z.Max), 65_536)
	return z
}

func (s *scanner) addMemory(z Size) {
	s.m.Memories = append(s.m.Memories, z)
	record(&s.m.Largest.MemoryMin, int(z.Min))
	s.over(s.pos, "memories", uint64(len(s.m.Memories)), 1)
}

func (s *scanner) global() Global {
	g := Global{Type: s.valueType()}
	switch mut := s.byte(); mut {
	case 0:
	case 1:
		g.Mutable = true
	default:
		s.failAt(s.pos-1, "unknown mutability 0x%02x", mut)
	}
	return g
}

func (s *scanner) addGlobal(g Global) {
	s.m.Globals = append(s.m.Globals, g)
	s.m.Largest.Globals = len(s.m.Globals)
	s.over(s.pos, "globals", uint64(len(s.m.Globals)), uint64(s.lim.Globals))
}

// constExpr reads one constant instruction and end, and returns its value if
// that is an i32. Globals can only be imported ones: core 2.0 has no other, and
// the fuel global comes after them.
func (s *scanner) constExpr() (value int32, isI32 bool) {
	start := s.pos
	var in instr
	s.next(&in)
	switch in.op {
	case opI32Const, opI64Const, opF32Const, opF64Const, opRefNull, opV128Const:
	case opGlobalGet:
		s.inRange(start, "imported global", in.x, s.m.imported.globals)
	case opRefFunc:
		s.inRange(start, "function", in.x, len(s.m.funcs))
	default:
		s.failAt(start, "opcode 0x%02x in a constant expression", in.op)
	}
	if end := s.byte(); end != opEnd && s.err == nil {
		s.failAt(s.pos-1, "constant expression of more than one instruction")
	}
	if in.op != opI32Const || s.err != nil {
		return 0, false
	}
	again := reader{b: s.b, pos: start + 1, end: s.pos}
	return int32(again.signed(32)), true
}

func (s *scanner) exportSection() {
	n := s.count("exports", uint64(s.lim.Exports), 3)
	s.m.Largest.Exports = n
	seen := make(map[string]bool)
	for ; n > 0 && s.err == nil; n-- {
		start := s.pos
		e := Export{Name: s.nameOf("export name")}
		if strings.HasPrefix(e.Name, Prefix) {
			s.failAt(start, "export %q: names under %q are reserved", e.Name, Prefix)
		}
		if seen[e.Name] && s.err == nil {
			s.failAt(start, "export %q is there twice", e.Name)
		}
		seen[e.Name] = true
		e.Kind = Kind(s.byte())
		switch e.Kind {
		case KindFunc:
			e.Index = s.index("function", len(s.m.funcs))
		case KindTable:
			e.Index = s.index("table", len(s.m.Tables))
		case KindMemory:
			e.Index = s.index("memory", len(s.m.Memories))
		case KindGlobal:
			e.Index = s.index("global", len(s.m.Globals))
		default:
			s.failAt(s.pos-1, "unknown kind of export %d", e.Kind)
		}
		if s.err != nil {
			return
		}
		switch e.Kind {
		case KindFunc:
			e.Func = s.m.types[s.m.funcs[e.Index]]
		case KindTable:
			e.Table = s.m.Tables[e.Index]
		case KindMemory:
			e.Memory = s.m.Memories[e.Index]
		case KindGlobal:
			e.Global = s.m.Globals[e.Index]
		}
		s.m.Exports = append(s.m.Exports, e)
	}
}

// elementSection reads segments in their eight forms: bit 0 of the flags is
// passive or declarative, bit 1 an explicit table (or declarative), bit 2
// expressions in place of function indexes.
func (s *scanner) elementSection() {
	n := s.count("element segments", uint64(s.lim.Elements), 3)
	s.m.Largest.Elements = n
	for ; n > 0 && s.err == nil; n-- {
		start := s.pos
		flags := s.u32()
		if flags > 7 && s.err == nil {
			s.failAt(start, "unknown flags of an element segment 0x%x", flags)
			return
		}
		active, named, exprs := flags&1 == 0, flags&3 != 0, flags&4 != 0
		if active {
			if flags&2 != 0 {
				s.index("table", len(s.m.Tables))
			} else {
				s.inRange(start, "table", 0, len(s.m.Tables))
			}
			s.constExpr()
		}
		elem := FuncRef
		if named && exprs {
			elem = s.refType()
		} else if named {
			s.zero("element kind")
		}
		for items := s.count("elements of a segment", 1<<32-1, 1); items > 0 && s.err == nil; items-- {
			if exprs {
				s.constExpr()
			} else {
				s.index("function", len(s.m.funcs))
			}
		}
		s.m.elems = append(s.m.elems, elem)
	}
}

func (s *scanner) dataSection() {
	n := s.count("data segments", uint64(s.lim.Data), 2)
	s.m.data, s.m.Largest.Data = n, n
	for ; n > 0 && s.err == nil; n-- {
		start := s.pos
		switch flags := s.u32(); flags {
		case 0, 2:
			if flags == 2 {
				s.index("memory", len(s.m.Memories))
			}
			s.inRange(start, "memory", 0, len(s.m.Memories))
			s.constExpr()
		case 1:
		default:
			s.failAt(start, "unknown flags of a data segment 0x%x", flags)
			return
		}
		s.skip(s.count("bytes of a data segment", 1<<32-1, 1))
	}
}
