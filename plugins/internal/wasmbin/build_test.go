package wasmbin

import "slices"

// The tiny builder the tests make modules with: bytes in, bytes out.

func u32(v int) []byte { return appendU32(nil, uint32(v)) }

func s64(v int64) []byte { return appendI64(nil, v) }

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func vec(items ...[]byte) []byte { return join(u32(len(items)), join(items...)) }

func str(s string) []byte { return join(u32(len(s)), []byte(s)) }

func sec(id byte, parts ...[]byte) []byte {
	b := join(parts...)
	return join([]byte{id}, u32(len(b)), b)
}

func wasm(sections ...[]byte) []byte { return join(header, join(sections...)) }

func fn(params, results []ValueType) []byte {
	b := append([]byte{0x60}, u32(len(params))...)
	for _, t := range params {
		b = append(b, byte(t))
	}
	b = append(b, u32(len(results))...)
	for _, t := range results {
		b = append(b, byte(t))
	}
	return b
}

// function makes an entry of the code section. Locals are one run of i32.
func function(locals int, code ...[]byte) []byte {
	runs := vec()
	if locals > 0 {
		runs = vec(join(u32(locals), []byte{byte(I32)}))
	}
	b := join(runs, join(code...), []byte{opEnd})
	return join(u32(len(b)), b)
}

func export(name string, kind Kind, index int) []byte {
	return join(str(name), []byte{byte(kind)}, u32(index))
}

// program is a module of functions () -> () of which the last is exported as
// "run" and the first as "first". Sections go where their ids say.
type program struct {
	funcs    [][]byte
	memory   int // pages; 0: none
	memMax   int
	tableMax int // 0: no table
	tableMin int // elements, all the first function
	start    bool
	globals  [][]byte
}

func (p program) build() []byte {
	types := make([][]byte, len(p.funcs))
	for i := range types {
		types[i] = u32(0)
	}
	out := [][]byte{sec(secType, vec(fn(nil, nil))), sec(secFunction, vec(types...))}
	if p.tableMax > 0 {
		out = append(out, sec(secTable, vec(join([]byte{byte(FuncRef), 1}, u32(p.tableMin), u32(p.tableMax)))))
	}
	if p.memory > 0 {
		out = append(out, sec(secMemory, vec(join([]byte{1}, u32(p.memory), u32(max(p.memory, p.memMax))))))
	}
	if len(p.globals) > 0 {
		out = append(out, sec(secGlobal, vec(p.globals...)))
	}
	out = append(out, sec(secExport, vec(export("run", KindFunc, len(p.funcs)-1), export("first", KindFunc, 0))))
	if p.start {
		out = append(out, sec(secStart, u32(len(p.funcs)-1)))
	}
	if p.tableMin > 0 {
		out = append(out, sec(secElement, vec(join(ins(0, opI32Const, 0, opEnd), vec(repeat(p.tableMin, u32(0))...)))))
	}
	return wasm(append(out, sec(secCode, vec(p.funcs...)))...)
}

// Instructions.

func i32c(v int) []byte { return join([]byte{opI32Const}, s64(int64(v))) }

func ins(bytes ...byte) []byte { return bytes }

func call(f int) []byte { return join([]byte{opCall}, u32(f)) }

func loop(body ...[]byte) []byte { return join([]byte{opLoop, 0x40}, join(body...), []byte{opEnd}) }

func times(n int, b []byte) []byte { return slices.Repeat(b, n) }

var forever = loop(ins(opBr, 0))
