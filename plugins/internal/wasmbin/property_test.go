package wasmbin

import (
	"context"
	"hash/fnv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"pgregory.net/rapid"
)

// counted rewrites the module so that the global called fuel counts up the
// units of every instruction that runs: the slow and plain way, to compare the
// meter with.
func counted(t testing.TB, bin []byte) []byte {
	t.Helper()
	m := mustScan(t, bin)
	w := &meter{m: m, fuel: uint32(len(m.Globals)), depth: uint32(len(m.Globals)) + 1, reader: reader{b: bin}}
	code := u32(len(m.bodies))
	for _, b := range m.bodies {
		f := bodyMeter{meter: w}
		w.code = append([]byte{}, bin[b.start:b.code]...)
		w.pos, w.end = b.code, b.end
		var in instr
		for w.left() > 0 {
			w.next(&in)
			if in.cost > 0 {
				f.indexed(opGlobalGet, w.fuel)
				w.code = append(w.code, opI64Const)
				w.code = append(appendI64(w.code, int64(in.cost)), 0x7c)
				f.indexed(opGlobalSet, w.fuel)
			}
			w.code = append(w.code, bin[in.pos:in.end]...)
		}
		code = join(code, u32(len(w.code)), w.code)
	}
	if err := w.module(MeterOptions{}, code); err != nil {
		t.Fatal(err)
	}
	return w.out.Bin
}

// outcome is what a call of a generated module leaves behind.
type outcome struct {
	end    string
	value  uint64
	memory uint64
}

func play(t *rapid.T, c wazero.RuntimeConfig, bin []byte, fuel int64, arg uint64) (outcome, int64) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, c)
	defer r.Close(ctx)
	mod, err := r.Instantiate(ctx, bin)
	if err != nil {
		t.Fatalf("%v", err)
	}
	i := &instance{Module: mod}
	i.fuel, _ = mod.ExportedGlobal(FuelGlobal).(api.MutableGlobal)
	i.depth, _ = mod.ExportedGlobal(DepthGlobal).(api.MutableGlobal)
	if i.fuel != nil {
		i.refuel(fuel, 50)
	}
	out, err := mod.ExportedFunction("run").Call(ctx, arg)
	got := outcome{end: i.class(err)}
	if got.end == "trap" {
		got.end, _, _ = strings.Cut(err.Error(), "\n")
	}
	if err == nil {
		got.value = out[0]
		if i.depth != nil && api.DecodeI32(i.depth.Get()) != 50 {
			t.Fatalf("depth left: %d, want 50", api.DecodeI32(i.depth.Get()))
		}
	}
	h := fnv.New64()
	mem, _ := mod.Memory().Read(0, mod.Memory().Size())
	h.Write(mem)
	got.memory = h.Sum64()
	if i.fuel == nil {
		return got, 0
	}
	return got, fuel - i.left()
}

// TestMeterProperties draws modules that validate and end. Metered they still
// validate, give the same result and the same memory on both engines, and take
// the same fuel each time; what they take pays for the work they do; and with
// less fuel than that they stop.
func TestMeterProperties(t *testing.T) {
	seen, mostTicks, mostUnits := map[string]int{}, int64(0), int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		bin := genModule(rt)
		arg := uint64(rapid.Uint32().Draw(rt, "argument"))
		m, err := Scan(bin, DefaultLimits())
		if err != nil && strings.Contains(err.Error(), "over the limit") {
			rt.Skip(err)
		}
		if err != nil {
			rt.Fatalf("Scan: %v", err)
		}
		w, err := Meter(m, MeterOptions{InitialFuel: 1, MaxDepth: 1})
		if err != nil {
			rt.Fatalf("Meter: %v", err)
		}
		var fuel []int64
		var want outcome
		for k, e := range engines {
			plain, _ := play(rt, e.config(), bin, 0, arg)
			if k == 0 {
				want = plain
			} else if plain != want {
				rt.Skip("wazero's engines differ on the plain module")
			}
			got, used := play(rt, e.config(), w.Bin, plenty, arg)
			if got != want {
				rt.Fatalf("%s: metered %+v, plain %+v", e.name, got, want)
			}
			fuel = append(fuel, used)
			if got, _ := play(rt, e.config(), w.Bin, used-1, arg); got.end != "out of fuel" {
				rt.Fatalf("%s: with one tick too few: %+v", e.name, got)
			}
			if got, again := play(rt, e.config(), w.Bin, used, arg); got != want || again != used {
				rt.Fatalf("%s: with just enough: %+v, %d ticks, want %+v, %d", e.name, got, again, want, used)
			}
		}
		if fuel[0] != fuel[1] {
			rt.Fatalf("fuel on the two engines: %d", fuel)
		}
		seen[want.end]++

		_, work := play(rt, engines[1].config(), counted(t, bin), 0, arg)
		work = -work
		mostTicks, mostUnits = max(mostTicks, fuel[0]), max(mostUnits, work/fuel[0])
		if most := fuel[0] * (unitsPerTick + payAt + costGrow + unitsPerTick); work > most {
			rt.Fatalf("%d ticks paid for %d units, more than %d", fuel[0], work, most)
		}
	})
	t.Logf("how they ended: %v; most ticks of one: %d; most units for a tick: %d", seen, mostTicks, mostUnits)
}
