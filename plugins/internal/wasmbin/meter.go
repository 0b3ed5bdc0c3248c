package wasmbin

import (
	"fmt"
	"slices"
)

// Names of the globals the metering exports.
const (
	// FuelGlobal is a mutable i64: the ticks left. The host sets it before each
	// call. Below zero means the call was stopped because fuel ran out; nothing
	// else ever makes it negative.
	FuelGlobal = Prefix + "fuel"
	// DepthGlobal is a mutable i32: the calls that may still be nested. The host
	// sets it before each call. Below zero means the call was stopped because
	// calls were nested too deep. After a call that returned it is what it was
	// before; after a trap it is not.
	DepthGlobal = Prefix + "depth"
)

// MeterOptions are the values the metering globals are born with. They bound
// instantiation: the start function runs on them.
type MeterOptions struct {
	InitialFuel int64
	MaxDepth    int32
}

// GlobalExport is a mutable global of the module, under the name by which the
// host reaches it. Its value is part of an instance's state, as memory is.
type GlobalExport struct {
	Name string
	// Index is the global's index in the module.
	Index uint32
	Type  ValueType
}

// Metered is the outcome of Meter.
type Metered struct {
	// Bin is the rewritten binary. It does not share memory with the original.
	Bin []byte
	// Globals lists every mutable global of the original module.
	Globals []GlobalExport
	// Ticks is the number of places where the code takes fuel.
	Ticks int
	// Debug says that DWARF sections were there and left out: their addresses
	// are wrong once code has moved.
	Debug bool
}

// Meter rewrites the module so that running it takes fuel and stops, by a trap,
// when there is none left or calls nest too deep. What it computes is otherwise
// the same. Indexes do not move, and imports, names and custom sections other
// than DWARF stay.
//
// It returns an *Error only if the output would be more than twice
// Limits.FileBytes.
func Meter(m *Module, o MeterOptions) (*Metered, error) {
	if o.InitialFuel < 0 || o.MaxDepth < 0 {
		return nil, fmt.Errorf("metering: negative fuel %d or depth %d", o.InitialFuel, o.MaxDepth)
	}
	w := &meter{
		m:      m,
		fuel:   uint32(len(m.Globals)),
		depth:  uint32(len(m.Globals)) + 1,
		reader: reader{b: m.bin},
	}
	for i, g := range m.Globals {
		if g.Mutable {
			w.out.Globals = append(w.out.Globals, GlobalExport{fmt.Sprintf("%sg%d", Prefix, i), uint32(i), g.Type})
		}
	}
	if err := w.module(o, w.codeSection()); err != nil {
		return nil, err
	}
	return &w.out, nil
}

type meter struct {
	reader
	m           *Module
	out         Metered
	fuel, depth uint32            // indexes of the new globals
	types       []FuncType        // added after the module's own
	blockTypes  map[uint32]uint32 // by type of function, see resultBlock
	control     []frame
	code        []byte
}

// module puts the sections together, with the code given.
func (w *meter) module(o MeterOptions, code []byte) *Error {
	if w.err != nil {
		return w.err
	}
	m := w.m
	out := make([]byte, 0, len(m.bin)-w.codeBytes()+len(code)+64*len(w.out.Globals)+256)
	out = append(out, header...)

	// The sections that have to be there, in order; a missing one is added before
	// the first section of a higher rank.
	added := []byte{secGlobal, secExport}
	if len(w.types) > 0 {
		added = []byte{secType, secGlobal, secExport}
	}
	flush := func(rank int) {
		for len(added) > 0 && sectionRank[added[0]] < rank {
			out = w.rewritten(out, added[0], nil, o)
			added = added[1:]
		}
	}
	for _, s := range m.sections {
		if s.debug {
			w.out.Debug = true
			continue
		}
		if s.id != secCustom {
			flush(sectionRank[s.id])
		}
		switch {
		case s.id == secCode:
			out = appendSection(out, secCode, code)
		case len(added) > 0 && added[0] == s.id:
			out = w.rewritten(out, s.id, m.bin[s.start:s.end], o)
			added = added[1:]
		default:
			out = append(out, m.bin[s.head:s.end]...)
		}
	}
	flush(len(sectionRank))
	w.tooLarge(len(out))
	w.out.Bin = out
	return w.err
}

// tooLarge refuses output that has grown past any use: only a module that is
// all loops gets there.
func (w *meter) tooLarge(n int) bool {
	return w.over(len(w.b), "metered size in bytes", uint64(n), uint64(2*w.m.limits.FileBytes))
}

func (w *meter) codeBytes() int {
	for _, s := range w.m.sections {
		if s.id == secCode {
			return s.end - s.start
		}
	}
	return 0
}

// rewritten appends section id with the metering's own entries after those in
// old, which is nil if the module has no such section.
func (w *meter) rewritten(out []byte, id byte, old []byte, o MeterOptions) []byte {
	var n uint32
	if old != nil {
		r := reader{b: old, end: len(old)}
		n = r.u32()
		old = old[r.pos:]
	}
	var entries []byte
	switch id {
	case secType:
		n += uint32(len(w.types))
		for _, t := range w.types {
			entries = append(entries, 0x60, 0)
			entries = appendU32(entries, uint32(len(t.Results)))
			for _, v := range t.Results {
				entries = append(entries, byte(v))
			}
		}
	case secGlobal:
		n += 2
		entries = append(entries, byte(I64), 1, opI64Const)
		entries = append(appendI64(entries, o.InitialFuel), opEnd)
		entries = append(entries, byte(I32), 1, opI32Const)
		entries = append(appendI64(entries, int64(o.MaxDepth)), opEnd)
	case secExport:
		n += 2 + uint32(len(w.out.Globals))
		entries = appendExport(entries, FuelGlobal, w.fuel)
		entries = appendExport(entries, DepthGlobal, w.depth)
		for _, g := range w.out.Globals {
			entries = appendExport(entries, g.Name, g.Index)
		}
	}
	head := appendU32(nil, n)
	out = append(out, id)
	out = appendU32(out, uint32(len(head)+len(old)+len(entries)))
	out = append(out, head...)
	out = append(out, old...)
	return append(out, entries...)
}

// resultBlock appends the type of a block that takes nothing and leaves the
// results of a function of type t. Several results need a function type: one
// the module has, or a new one.
func (w *meter) resultBlock(out []byte, t uint32) []byte {
	results := w.m.types[t].Results
	switch len(results) {
	case 0:
		return append(out, 0x40)
	case 1:
		return append(out, byte(results[0]))
	}
	index, ok := w.blockTypes[t]
	if !ok {
		index = w.funcType(results)
		if w.blockTypes == nil {
			w.blockTypes = make(map[uint32]uint32)
		}
		w.blockTypes[t] = index
	}
	return appendI64(out, int64(index))
}

// funcType returns the index of the type () -> results.
func (w *meter) funcType(results []ValueType) uint32 {
	match := func(t FuncType) bool { return len(t.Params) == 0 && slices.Equal(t.Results, results) }
	if i := slices.IndexFunc(w.m.types, match); i >= 0 {
		return uint32(i)
	}
	i := slices.IndexFunc(w.types, match)
	if i < 0 {
		i = len(w.types)
		w.types = append(w.types, FuncType{Results: results})
	}
	return uint32(len(w.m.types) + i)
}

func appendSection(out []byte, id byte, contents []byte) []byte {
	out = appendU32(append(out, id), uint32(len(contents)))
	return append(out, contents...)
}

func appendExport(out []byte, name string, global uint32) []byte {
	out = appendU32(out, uint32(len(name)))
	out = append(out, name...)
	return appendU32(append(out, byte(KindGlobal)), global)
}

func appendU32(out []byte, v uint32) []byte {
	for v >= 0x80 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v))
}

func appendI64(out []byte, v int64) []byte {
	for v < -64 || v > 63 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v)&0x7f)
}
