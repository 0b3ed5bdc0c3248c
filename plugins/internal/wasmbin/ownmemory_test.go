package wasmbin

import (
	"context"
	"testing"
)

// TestOwnMemory: a guest whose memory is its own computes what it did with one
// that it imported, plain and metered, on both engines.
func TestOwnMemory(t *testing.T) {
	g := guests[3]
	bin := g.bin(t)
	m := mustScan(t, bin)
	own := OwnMemory(m)
	o := mustScan(t, own)
	if len(o.Imports) != len(m.Imports)-1 || len(o.Memories) != 1 || o.Memories[0] != m.Memories[0] {
		t.Fatalf("imports %v and memories %v; want one import less than %v, and %v", o.Imports, o.Memories, m.Imports, m.Memories)
	}
	equal(t, "exports", names(o.Exports), names(m.Exports))
	if OwnMemory(o) != nil {
		t.Error("a module that imports no memory was rewritten")
	}
	var want uint64
	for _, e := range engines {
		for _, b := range [][]byte{bin, own, mustMeter(t, own).Bin} {
			i := open(t, cached(t, e.name, e.config()), b)
			if i.fuel != nil {
				i.refuel(plenty, maxFrames)
			}
			got, err := g.caller(t, i)(context.Background(), g.large)
			if err != nil {
				t.Fatal(err)
			}
			if want == 0 {
				want = got
			}
			if got != want {
				t.Errorf("%s: run(%d) = %d, want %d", e.name, g.large, got, want)
			}
		}
	}
}

func names(exports []Export) (list []string) {
	for _, e := range exports {
		list = append(list, e.Name)
	}
	return list
}

// TestOwnMemoryOrder: the memory is defined where its section belongs, whatever
// other sections there are, with the limits that were imported.
func TestOwnMemoryOrder(t *testing.T) {
	memory := func(limits ...byte) []byte {
		return sec(secImport, vec(join(str("env"), str("memory"), join([]byte{byte(KindMemory)}, limits))))
	}
	for n, tt := range []struct {
		sections [][]byte
		want     Size
	}{
		{[][]byte{memory(0, 3)}, Size{Min: 3}},
		{[][]byte{memory(1, 3, 0x80, 2)}, Size{Min: 3, Max: 256, HasMax: true}},
		{[][]byte{sec(secCustom, str("x")), memory(0, 1), sec(secCustom, str("y"))}, Size{Min: 1}},
		{[][]byte{memory(0, 1), sec(secMemory, vec())}, Size{Min: 1}},
		{[][]byte{memory(0, 1), sec(secTable, vec([]byte{byte(FuncRef), 0, 0})), sec(secExport, vec(join(str("memory"), []byte{byte(KindMemory), 0})))}, Size{Min: 1}},
		{[][]byte{memory(0, 1), sec(secData, vec([]byte{0, opI32Const, 0, opEnd, 1, 'x'}))}, Size{Min: 1}},
	} {
		m := mustScan(t, wasm(tt.sections...))
		own := OwnMemory(m)
		o := mustScan(t, own)
		if len(o.Imports) != 0 || len(o.Memories) != 1 || o.Memories[0] != tt.want || len(o.Exports) != len(m.Exports) || len(o.Customs) != len(m.Customs) {
			t.Errorf("case %d: imports %v, memories %v, exports %v; want no import and %v", n, o.Imports, o.Memories, o.Exports, tt.want)
		}
		r := newRuntime(t, engines[0].config())
		i, err := r.Instantiate(context.Background(), own)
		if err != nil {
			t.Errorf("case %d: %v", n, err)
		} else if i.Memory().Size() != tt.want.Min<<16 {
			t.Errorf("case %d: memory of %d bytes, want %d pages", n, i.Memory().Size(), tt.want.Min)
		}
	}
}

// TestConstant: the value of a global is known if it is a constant i32 of the
// module that cannot change.
func TestConstant(t *testing.T) {
	m := mustScan(t, wasm(
		sec(secImport, vec(join(str("env"), str("g"), []byte{byte(KindGlobal), byte(I32), 0}))),
		sec(secGlobal, vec(
			[]byte{byte(I32), 0, opI32Const, 0x7f, opEnd},
			[]byte{byte(I32), 1, opI32Const, 5, opEnd},
			[]byte{byte(I64), 0, opI64Const, 5, opEnd},
			[]byte{byte(I32), 0, opGlobalGet, 0, opEnd},
			[]byte{byte(I32), 0, opI32Const, 0xff, 0xff, 0xff, 0xff, 0x07, opEnd},
		))))
	for i, want := range []struct {
		value int32
		ok    bool
	}{{0, false}, {-1, true}, {0, false}, {0, false}, {0, false}, {1<<31 - 1, true}, {0, false}} {
		if v, ok := m.Constant(uint32(i)); v != want.value || ok != want.ok {
			t.Errorf("Constant(%d) = %d, %t; want %d, %t", i, v, ok, want.value, want.ok)
		}
	}
}
