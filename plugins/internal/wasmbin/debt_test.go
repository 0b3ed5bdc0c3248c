package wasmbin

import (
	"context"
	"testing"
)

// TestDebt runs bodies that are entered once and have no loop, along paths that
// step round the ticks. Whatever way they take, what was run and not paid for
// is less than payAt and an instruction.
func TestDebt(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine does all of it")
	}
	units := func(n int) []byte { return times(n/4, ins(opGlobalGet, 0, opI32Const, 1, opI32Add, opGlobalSet, 0)) }
	short, long := units(60), units(600) // long has ticks of its own
	no, yes := ins(opI32Const, 0), ins(opI32Const, 1)
	rows := []struct {
		name string
		code []byte
	}{
		{"straight line", long},
		{"br over a tick", join(ins(opBlock, 0x40), short, ins(opBr, 0), long, ins(opEnd))},
		{"br_if over a tick", join(ins(opBlock, 0x40), short, yes, ins(opBrIf, 0), long, ins(opEnd))},
		{"br_if not taken", join(ins(opBlock, 0x40), short, no, ins(opBrIf, 0), ins(opEnd))},
		{"br_table over a tick", join(ins(opBlock, 0x40, opBlock, 0x40), short, yes, ins(opBrTable, 1, 0, 1, opEnd), long, ins(opEnd))},
		{"br out of two blocks", join(ins(opBlock, 0x40, opBlock, 0x40), short, ins(opBr, 1, opEnd), long, ins(opEnd))},
		{"if not taken", join(short, no, ins(opIf, 0x40), long, ins(opEnd))},
		{"if taken", join(short, yes, ins(opIf, 0x40), short, ins(opEnd))},
		{"else, after a then that pays", join(short, no, ins(opIf, 0x40), long, ins(opElse), short, ins(opEnd))},
		{"else, after a then that leaves", join(short, no, ins(opIf, 0x40, opReturn, opElse), short, ins(opEnd))},
		{"then, before an else that pays", join(short, yes, ins(opIf, 0x40), short, ins(opElse), long, ins(opEnd))},
		{"br out of an arm", join(short, yes, ins(opIf, 0x40), short, ins(opBr, 0), long, ins(opElse), long, ins(opEnd))},
		{"loop entered once", join(ins(opLoop, 0x40), short, ins(opEnd))},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			p := program{funcs: [][]byte{function(0, times(100, r.code))}, globals: [][]byte{ins(byte(I32), 1, opI32Const, 0, opEnd)}}
			bin := p.build()
			ran := func(bin []byte) int64 {
				i := open(t, engines[1].config(), bin)
				i.refuel(plenty, maxFrames)
				if _, err := i.ExportedFunction("run").Call(context.Background()); err != nil {
					t.Fatal(err)
				}
				return plenty - i.left()
			}
			paid, work := ran(mustMeter(t, bin).Bin)*unitsPerTick, -ran(counted(t, bin))
			if work-paid >= payAt+costPlain {
				t.Errorf("%d units ran, %d were paid for", work, paid)
			}
			if paid > 2*work+unitsPerTick && r.name != "loop entered once" {
				t.Errorf("%d units were paid for, but only %d ran", paid, work)
			}
		})
	}
}
