package wasmbin

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

func BenchmarkScan(b *testing.B) {
	bin := guests[len(guests)-1].bin(b)
	b.SetBytes(int64(len(bin)))
	b.ReportAllocs()
	for b.Loop() {
		mustScan(b, bin)
	}
}

func BenchmarkMeter(b *testing.B) {
	bin := guests[len(guests)-1].bin(b)
	m := mustScan(b, bin)
	b.SetBytes(int64(len(bin)))
	b.ReportAllocs()
	for b.Loop() {
		w, err := Meter(m, MeterOptions{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(w.Ticks), "ticks")
		b.ReportMetric(float64(len(w.Bin))/float64(len(bin)), "size/plain")
	}
}

// BenchmarkGuest calls each guest plain, metered, and with wazero's own bound,
// in turns, so that the ratios are of one run. ns/op is of the three together.
func BenchmarkGuest(b *testing.B) {
	for _, g := range guests {
		b.Run(g.name, func(b *testing.B) {
			bin := g.bin(b)
			c := engines[0].config
			metered := open(b, cached(b, "compiler", c()), mustMeter(b, bin).Bin)
			calls := []func(context.Context, uint64) (uint64, error){
				g.caller(b, open(b, cached(b, "compiler", c()), bin)),
				g.caller(b, metered),
				g.caller(b, open(b, cached(b, "interrupt", c()).WithCloseOnContextDone(true), bin)),
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			times := make([][]float64, len(calls))
			for b.Loop() {
				for k, call := range calls {
					start := time.Now()
					metered.refuel(plenty, maxFrames)
					if _, err := call(ctx, g.small); err != nil {
						b.Fatal(err)
					}
					times[k] = append(times[k], float64(time.Since(start)))
				}
			}
			var median [3]float64
			for k := range times {
				slices.Sort(times[k])
				median[k] = times[k][len(times[k])/2]
			}
			metered.refuel(plenty, maxFrames)
			calls[1](ctx, g.small)
			b.ReportMetric(median[0]/1000, "plain-us")
			b.ReportMetric(median[1]/median[0], "metered/plain")
			b.ReportMetric(median[2]/median[0], "interrupt/plain")
			b.ReportMetric(float64(plenty-metered.left()), "fuel")
		})
	}
}

// BenchmarkRefuel is what the host does around each call.
func BenchmarkRefuel(b *testing.B) {
	i := open(b, engines[0].config(), mustMeter(b, noop()).Bin)
	b.ReportAllocs()
	for b.Loop() {
		i.refuel(plenty, maxFrames)
		if i.left() < 0 {
			b.Fatal("no fuel")
		}
	}
}

// BenchmarkNoop is a call that does nothing; metered, with refuelling.
func BenchmarkNoop(b *testing.B) {
	ctx := context.Background()
	for _, v := range []string{"plain", "metered"} {
		b.Run(v, func(b *testing.B) {
			bin := noop()
			if v == "metered" {
				bin = mustMeter(b, bin).Bin
			}
			i := open(b, engines[0].config(), bin)
			run := i.ExportedFunction("run")
			b.ReportAllocs()
			for b.Loop() {
				if i.fuel != nil {
					i.refuel(plenty, maxFrames)
				}
				if err := run.CallWithStack(ctx, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWorst looks for the code that makes most of a tick: what an attacker
// would run. The costs in opcode.go come from here.
func BenchmarkWorst(b *testing.B) {
	local := func(op byte, code ...[]byte) []byte { return join(ins(opLocalGet, 0), join(code...), ins(op, 0x21, 0)) }
	one := func(op byte) []byte { return ins(0xb7, op, op, op, op, 0xaa) } // through f64 and back
	simd := func(op ...byte) []byte {
		return join(ins(opLocalGet, 0, 0xfd, 15), times(8, join(ins(opLocalGet, 0, 0xfd, 15, 0xfd), op)), ins(0xfd, 0x15, 0, 0x21, 0))
	}
	// A cycle through all of 32 MiB, a cache line at a time, out of order.
	scatter := loop(ins(opLocalGet, 1, opLocalGet, 1), i32c(1664525), ins(0x6c), i32c(64*10139), ins(0x6a), i32c(0x1ffffc0), ins(0x71, 0x36, 2, 0),
		ins(opLocalGet, 1), i32c(64), ins(0x6a, opLocalTee, 1), i32c(1<<25), ins(0x49, opBrIf, 0))
	rows := []struct {
		name  string
		unit  []byte
		setup []byte
	}{
		{"nothing", nil, nil},
		{"add", ins(opLocalGet, 0, opI32Const, 1, opI32Add, 0x21, 0), nil},
		{"load", ins(opLocalGet, 0, 0x28, 2, 0, 0x21, 0), nil},
		{"load-uncached", ins(opLocalGet, 0, 0x28, 2, 0, 0x21, 0), scatter},
		{"div", local(0x6d, ins(opLocalGet, 0, opI32Const, 3, 0x72)), nil},
		{"sqrt", ins(opLocalGet, 0, 0xb7, 0x9f, 0x9f, 0x9f, 0x9f, 0xaa, 0x21, 0), nil},
		{"nearest", join(ins(opLocalGet, 0), one(0x9e), ins(0x21, 0)), nil},
		{"trunc-sat", ins(opLocalGet, 0, 0xb7, 0xfc, 3, 0x21, 0), nil},
		{"simd-i64x2-mul", simd(0xd5, 0x01), nil},
		{"simd-f64x2-div", simd(0xf3, 0x01), nil},
		{"simd-swizzle", simd(0x0e), nil},
		{"call", call(0), nil},
		{"call-indirect", ins(opI32Const, 0, opCallIndirect, 0, 0), nil},
		{"memory.grow-0", ins(opI32Const, 0, opMemoryGrow, 0, 0x1a), nil},
		{"memory.fill-63", join(i32c(0), i32c(0), i32c(63), ins(0xfc, 11, 0)), nil},
		{"memory.copy-63", join(i32c(0), i32c(1000), i32c(63), ins(0xfc, 10, 0, 0)), nil},
		{"memory.fill-1MiB", join(i32c(0), i32c(0), i32c(1<<20), ins(0xfc, 11, 0)), nil},
		{"memory.copy-1MiB", join(i32c(0), i32c(1<<24), i32c(1<<20), ins(0xfc, 10, 0, 0)), nil},
		{"table.grow-0", ins(opRefNull, byte(FuncRef), opI32Const, 0, 0xfc, 15, 0, 0x1a), nil},
		{"table.fill-90", join(i32c(0), ins(opRefNull, byte(FuncRef)), i32c(90), ins(0xfc, 17, 0)), nil},
	}
	for _, r := range rows {
		for _, n := range []int{1, 20} {
			b.Run(fmt.Sprintf("%s-x%d", r.name, n), func(b *testing.B) {
				p := program{memory: 512, tableMin: 100, tableMax: 100, funcs: [][]byte{
					function(2, r.setup), function(2, loop(times(n, r.unit), ins(opBr, 0)))}}
				i := open(b, engines[0].config(), mustMeter(b, p.build()).Bin)
				i.refuel(plenty, maxFrames)
				if _, err := i.ExportedFunction("first").Call(context.Background()); err != nil {
					b.Fatal(err)
				}
				const fuel = 200_000 // a decision's budget
				run := i.ExportedFunction("run")
				for b.Loop() {
					i.refuel(fuel, maxFrames)
					_, err := run.Call(context.Background())
					if got := i.class(err); got != "out of fuel" {
						b.Fatal(got, err)
					}
				}
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/fuel, "ns/tick")
			})
		}
	}
}
