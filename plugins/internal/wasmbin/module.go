package wasmbin

import (
	"fmt"
	"strings"
)

// ValueType is the type of a value, as the binary format writes it.
type ValueType byte

// The value types of WebAssembly core 2.0.
const (
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	V128      ValueType = 0x7b
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
)

func (t ValueType) known() bool {
	return t >= V128 && t <= I32 || t == FuncRef || t == ExternRef
}

// String returns the type's name in the text format.
func (t ValueType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	}
	return fmt.Sprintf("type 0x%02x", byte(t))
}

// Kind is what an import or export is, as the binary format writes it.
type Kind byte

// The kinds of imports and exports.
const (
	KindFunc   Kind = 0
	KindTable  Kind = 1
	KindMemory Kind = 2
	KindGlobal Kind = 3
)

// FuncType is the type of a function.
type FuncType struct {
	Params, Results []ValueType
}

// String returns the type in the form "(i32 i32) -> i64".
func (t FuncType) String() string {
	var b strings.Builder
	list := func(types []ValueType) {
		for i, v := range types {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(v.String())
		}
	}
	b.WriteByte('(')
	list(t.Params)
	b.WriteString(") -> ")
	if len(t.Results) == 1 {
		list(t.Results)
	} else {
		b.WriteByte('(')
		list(t.Results)
		b.WriteByte(')')
	}
	return b.String()
}

// Size is the size of a memory in pages of 65,536 bytes, or of a table in
// elements. Max counts only if HasMax is set.
type Size struct {
	Min, Max uint32
	HasMax   bool
}

// Table is the type of a table.
type Table struct {
	Elem ValueType
	Size
}

// Global is the type of a global.
type Global struct {
	Type    ValueType
	Mutable bool
}

// Extern is the type of an import or export. Kind says which other field is
// meaningful.
type Extern struct {
	Kind   Kind
	Func   FuncType
	Table  Table
	Memory Size
	Global Global
}

// Import is something a module wants from its host.
type Import struct {
	Module, Name string
	Extern
}

// Export is something a module offers its host. Index counts within its kind,
// imports first.
type Export struct {
	Name  string
	Index uint32
	Extern
}

// Custom is a custom section. Its bytes are bin[Start:End] of the binary that
// was scanned, after the name.
type Custom struct {
	Name       string
	Start, End int
}

// Largest holds the largest figures met in a module, for those that Limits
// bound; see the field of the same name there.
type Largest struct {
	Types, Params, Results, Imports, Functions, Locals, Nesting, Labels, Blocks,
	Body, Instructions, Tables, TableMin, Globals, MemoryMin, Exports,
	Elements, Data, Customs, CustomBytes, Name, Names int
}

// Module describes a binary that Scan accepted. It refers to the binary, which
// must not change while the Module is in use.
type Module struct {
	Imports []Import
	Exports []Export
	// Tables, Memories and Globals hold the imported ones first.
	Tables   []Table
	Memories []Size
	Globals  []Global
	Customs  []Custom
	// Start is the index of the start function, -1 if there is none.
	Start int
	// Hidden says that the code changes tables or drops segments: state of an
	// instance that neither its memory nor its globals show.
	Hidden  bool
	Largest Largest

	bin      []byte
	limits   Limits
	types    []FuncType
	funcs    []uint32 // type of each function, imported ones first
	bodies   []body
	imported struct {
		funcs, globals int
		memory         span
	}
	sections  []section
	consts    map[uint32]int32 // see Constant
	dataCount int              // -1: no such section
	data      int
	elems     []ValueType
}

// Custom returns the bytes of the first custom section called name.
func (m *Module) Custom(name string) ([]byte, bool) {
	for _, c := range m.Customs {
		if c.Name == name {
			return m.bin[c.Start:c.End], true
		}
	}
	return nil, false
}

// Export returns the export called name.
func (m *Module) Export(name string) (Export, bool) {
	for _, e := range m.Exports {
		if e.Name == name {
			return e, true
		}
	}
	return Export{}, false
}

// Constant returns the value of the global with an index, if that is an i32
// that the module defines, cannot change, and gives in one instruction.
func (m *Module) Constant(global uint32) (int32, bool) {
	v, ok := m.consts[global]
	return v, ok
}

// section is one section of the binary: its id at bin[head], contents at
// bin[start:end].
type section struct {
	id               byte
	head, start, end int
	debug            bool // a custom section with DWARF
}

// span is an import of a memory: its entry at bin[start:end], its limits at
// bin[limits:end].
type span struct{ start, limits, end int }

// body is a function defined in the module: locals at bin[start:code],
// instructions at bin[code:end].
type body struct {
	start, code, end int
	locals           uint32 // with parameters
	calls            bool   // calls something that may call back into the module
	bulk             bool   // has an instruction charged by length
}
