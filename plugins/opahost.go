package plugins

import (
	"bytes"
	"fmt"
	"log/slog"

	"github.com/tetratelabs/wazero/api"
)

// opaFunctions are what a module for OPA's Wasm ABI may import.
//
// Spec: Open Policy Agent, "Wasm", imports.
var opaFunctions = map[string]hostFunction{
	"opa_abort":    {[]api.ValueType{i32}, nil, opaAbort},
	"opa_println":  {[]api.ValueType{i32}, nil, opaPrintln},
	"opa_builtin0": {[]api.ValueType{i32, i32}, []api.ValueType{i32}, opaDispatch(0)},
	"opa_builtin1": {[]api.ValueType{i32, i32, i32}, []api.ValueType{i32}, opaDispatch(1)},
	"opa_builtin2": {[]api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}, opaDispatch(2)},
	"opa_builtin3": {[]api.ValueType{i32, i32, i32, i32, i32}, []api.ValueType{i32}, opaDispatch(3)},
	"opa_builtin4": {[]api.ValueType{i32, i32, i32, i32, i32, i32}, []api.ValueType{i32}, opaDispatch(4)},
}

// terminated returns the text at ptr, of at most so many bytes, which a zero
// byte ends: a view, good until the next call.
func terminated(mem api.Memory, ptr, most uint32) ([]byte, error) {
	size := mem.Size()
	if ptr == 0 || ptr >= size {
		return nil, fmt.Errorf("a text at %#x, outside memory of %d bytes", ptr, size)
	}
	b, _ := mem.Read(ptr, min(most+1, size-ptr))
	end := bytes.IndexByte(b, 0)
	switch {
	case end >= 0:
		return b[:end], nil
	case uint32(len(b)) > most:
		return nil, fmt.Errorf("a text of more than %d bytes at %#x", most, ptr)
	}
	return nil, fmt.Errorf("a text at %#x that memory ends before a zero byte does", ptr)
}

// said returns what the guest wants to be read, cut to the size of a line.
func said(mod api.Module, ptr uint64) []byte {
	mem := mod.Memory()
	if mem == nil || uint32(ptr) >= mem.Size() {
		return nil
	}
	b, _ := mem.Read(uint32(ptr), min(maxLogLine, mem.Size()-uint32(ptr)))
	b, _, _ = bytes.Cut(b, []byte{0})
	return b
}

// opaAbort ends the call, as the guest asks for.
func opaAbort(_ *guestState, mod api.Module, stack []uint64) {
	panic(guestError("aborted: " + escaped(said(mod, stack[0]))))
}

// opaPrintln logs a line.
func opaPrintln(g *guestState, mod api.Module, stack []uint64) {
	text := said(mod, stack[0])
	g.in.gauge.charge(ticksPerLine + len(text)*ticksPerByte)
	g.line(slog.LevelInfo, text)
}

// opaDispatch is the host function for builtins of so many operands. It has the
// guest write the operands as text, and read the result. Only there does the
// host call a guest that is running, so a builtin that is called by those
// functions ends the call.
func opaDispatch(operands int) hostFunc {
	return func(g *guestState, mod api.Module, stack []uint64) {
		o := g.in.opa
		if o == nil || o.builtins == nil {
			panic(guestError("a builtin is called before the module has said which it needs"))
		}
		b := o.builtins[uint32(stack[0])]
		switch {
		case b == nil:
			panic(guestError(fmt.Sprintf("builtin %d is called, which the module does not list", uint32(stack[0]))))
		case b.operands != operands:
			panic(guestError(fmt.Sprintf("%s is called with %d operands; it has %d", b.name, operands, b.operands)))
		case o.busy:
			panic(guestError(b.name + " is called by a function that serves a builtin"))
		}
		o.busy = true
		stack[0] = uint64(o.run(g, mod, b, stack[2:2+operands]))
		o.busy = false
	}
}

// run returns the address of a builtin's result, 0 if it is undefined.
func (o *opaGuest) run(g *guestState, mod api.Module, b *opaBuiltin, values []uint64) uint32 {
	g.charge(callTicks)
	var ends [len(o.operands)]int
	o.text = o.text[:0]
	for i, v := range values {
		text, err := terminated(mod.Memory(), o.call(g, o.dump, v), uint32(maxOperands-len(o.text)))
		if err != nil {
			panic(guestError(fmt.Sprintf("%s: operand %d: %v", b.name, i+1, err)))
		}
		g.charge(uint64(len(text)) * ticksPerByte)
		o.text = append(o.text, text...) // the guest runs again before it is read
		ends[i] = len(o.text)
	}
	from := 0
	for i := range values {
		o.operands[i], from = o.text[from:ends[i]], ends[i]
	}
	var defined bool
	if o.result, defined = b.run(g, o.result[:0], o.operands[:len(values)]); !defined {
		return 0
	}
	size := uint64(len(o.result))
	if size > maxOperands {
		panic(guestError(fmt.Sprintf("%s: a result of %d bytes; at most %d", b.name, size, maxOperands)))
	}
	g.charge(size * ticksPerByte)
	ptr := o.call(g, o.malloc, size)
	copy(view(mod, b.name+": its result", ptr, uint32(size)), o.result)
	return o.call(g, o.parse, uint64(ptr), size)
}

// call calls the guest while it waits for a host function. What ends that call
// ends the outer one.
func (o *opaGuest) call(g *guestState, f api.Function, args ...uint64) uint32 {
	copy(o.stack[:], args)
	if err := f.CallWithStack(&g.in.context, o.stack[:]); err != nil {
		panic(guestError(g.explain(err).Error()))
	}
	return uint32(o.stack[0])
}
