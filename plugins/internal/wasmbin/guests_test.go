package wasmbin

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

// TestGuests runs real modules, plain and metered, on both engines: equal
// results, and equal traps. Fuel is compared between the engines, over the same
// calls on fresh instances.
func TestGuests(t *testing.T) {
	for _, g := range guests {
		t.Run(g.name, func(t *testing.T) {
			bin := g.bin(t)
			metered := mustMeter(t, bin).Bin
			var want []uint64
			var fuels [][]int64
			for _, e := range engines {
				for _, b := range [][]byte{bin, metered} {
					i := open(t, cached(t, e.name, e.config()), b)
					run := g.caller(t, i)
					var got []uint64
					var fuel []int64
					for _, n := range []uint64{g.small, g.large, 0, g.small} {
						if i.fuel != nil {
							i.refuel(plenty, maxFrames)
						}
						v, err := run(context.Background(), n)
						if err != nil {
							t.Fatalf("%s: run(%d): %v", e.name, n, err)
						}
						got = append(got, v)
						if i.fuel != nil {
							fuel = append(fuel, plenty-i.left())
							if depth := api.DecodeI32(i.depth.Get()); depth != maxFrames {
								t.Errorf("%s: run(%d) came back with depth %d, not %d", e.name, n, depth, maxFrames)
							}
						}
					}
					if fuel != nil {
						fuels = append(fuels, fuel)
					}
					if want == nil {
						want = got
					}
					equal(t, e.name+": results", got, want)
					if i.ExportedFunction("fail") != nil {
						_, err := i.ExportedFunction("fail").Call(context.Background(), 9)
						if got := i.class(err); got != "trap" {
							t.Errorf("%s: fail: %s, want trap", e.name, got)
						}
					}
				}
			}
			equal(t, "fuel on the two engines", fuels[1], fuels[0])
			t.Logf("ticks: %d, %d, 0 and %d rounds took %d", g.small, g.large, g.small, fuels[0])
		})
	}
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: got %v, want %v", what, got, want)
			return
		}
	}
}

// A real guest stops within its fuel wherever it runs out, and says so.
func TestGuestsRunOut(t *testing.T) {
	for _, g := range guests {
		t.Run(g.name, func(t *testing.T) {
			bin := mustMeter(t, g.bin(t)).Bin
			c := cached(t, "compiler", engines[0].config())
			for _, fuel := range []int64{0, 1, 10, 100, 1000} {
				i := open(t, c, bin)
				run := g.caller(t, i)
				i.refuel(fuel, maxFrames)
				_, err := run(context.Background(), g.large)
				if got := i.class(err); got != "out of fuel" {
					t.Errorf("with %d ticks: %s, %v", fuel, got, err)
				}
			}
			i := open(t, c, bin)
			run := g.caller(t, i)
			i.refuel(plenty, 0)
			_, err := run(context.Background(), g.large)
			if got := i.class(err); got != "too deep" {
				t.Errorf("with a depth of 0: %s, %v", got, err)
			}
		})
	}
}

// Every mutable global is in reach, under the name that Meter returned.
func TestGuestsGlobals(t *testing.T) {
	for _, g := range guests {
		t.Run(g.name, func(t *testing.T) {
			w := mustMeter(t, g.bin(t))
			i := open(t, cached(t, "compiler", engines[0].config()), w.Bin)
			if len(w.Globals) == 0 {
				t.Error("no mutable global, not even a stack pointer")
			}
			for _, global := range w.Globals {
				v, ok := i.ExportedGlobal(global.Name).(api.MutableGlobal)
				if !ok || v.Type() != api.ValueType(global.Type) {
					t.Errorf("%s: %v, want a mutable %v", global.Name, v, global.Type)
				}
			}
		})
	}
}
