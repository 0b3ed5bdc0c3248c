package plugins

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// resetEngines are the two ways to put memory back, on both of the engine's halves.
func resetEngines(t *testing.T, test func(t *testing.T, e *Engine, interpreter bool)) {
	for _, interpreter := range []bool{false, true} {
		for _, heap := range []bool{false, true} {
			t.Run(fmt.Sprintf("interpreter=%v,heap=%v", interpreter, heap), func(t *testing.T) {
				e := newEngine(t, EngineOptions{Interpreter: interpreter, Limits: Limits{Isolation: IsolationReset, Instances: 1, Wait: slow.Wait}})
				e.heapMemory = heap
				test(t, e, interpreter)
			})
		}
	}
}

// TestRestore writes all over memory, lets the guest run, and holds that all of
// memory is as it was, time after time.
func TestRestore(t *testing.T) {
	for _, spec := range guestPolicies {
		t.Run(spec.Name, func(t *testing.T) {
			resetEngines(t, func(t *testing.T, e *Engine, interpreter bool) {
				if spec.Name == "go" && interpreter {
					t.Skip("takes seconds to load, and has the same memory")
				}
				p := load(t, e, ChainSpec{Policies: []PolicySpec{spec}}).policies[0]
				in, fault := p.pool.get(context.Background())
				if in == nil {
					t.Fatal(fault)
				}
				defer p.pool.put(in)
				memory, _ := in.mem.Read(0, in.mem.Size())
				start := bytes.Clone(memory)
				if !bytes.Equal(in.image.picture.bytes, start) {
					t.Fatal("the picture is not what memory is")
				}
				f := knockFacts()
				frame := abi.AppendFrame(nil, f)
				random := rand.New(rand.NewPCG(1, 2))
				for round := range 30 {
					var a answer
					if fault := in.ask(frame, f, &a); fault.Class != FaultNone {
						t.Fatalf("round %d: fault %+v", round, fault)
					}
					for range random.IntN(40) {
						at, size := random.IntN(len(memory)), random.IntN(1<<random.IntN(17))
						for i := at; i < min(at+size, len(memory)); i++ {
							memory[i] = byte(random.Uint32())
						}
					}
					// The first and the last byte are where an end would be missed.
					memory[0]++
					memory[len(memory)-1]++
					if !in.restore() {
						t.Fatalf("round %d: restore gave up", round)
					}
					if i := firstDifference(memory, start); i >= 0 {
						t.Fatalf("round %d: byte %#x of %#x is not put back", round, i, len(start))
					}
				}
			})
		})
	}
}

func firstDifference(a, b []byte) int {
	for i := range b {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// TestResetAfterFaults: whatever a call left behind, and however it ended, the
// next one has the same answer and takes the same fuel as the first ever.
func TestResetAfterFaults(t *testing.T) {
	resetEngines(t, func(t *testing.T, e *Engine, _ bool) {
		c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("trap_once")}})
		send, mk := knockFacts(), knockFacts()
		mk.Phase = abi.MakeKnock
		for i := range 3 {
			var d Decision
			if c.Evaluate(context.Background(), send, &d); d.Fault.Class != FaultTrap {
				t.Errorf("round %d, send_knock: %s, fault %+v; want a trap", i, d.Verdict, d.Fault)
			}
			if c.Evaluate(context.Background(), mk, &d); d.Verdict != abi.Deny || d.Fault.Class != FaultNone {
				t.Errorf("round %d, make_knock: %s, fault %+v; want deny", i, d.Verdict, d.Fault)
			}
		}
	})
}

// TestSwappedRequests is row 24 of the hostile corpus: two knocks get the same
// answer, for the same fuel, in either order.
func TestSwappedRequests(t *testing.T) {
	first, second := knockFacts(), knockFacts()
	second.UserServer, second.Origin, second.RequestID = "bad.evil.example", "bad.evil.example", "req-2"
	specs := append([]PolicySpec{policyOf("remembers"), policyOf("wasi")}, guestPolicies...)
	e := newEngine(t, EngineOptions{})
	for _, isolation := range []Isolation{IsolationReset, IsolationFresh} {
		for _, spec := range specs {
			spec.Limits = Limits{Isolation: isolation, Instances: 1, Wait: slow.Wait}
			c := load(t, e, ChainSpec{Policies: []PolicySpec{spec}})
			seen := map[string]string{}
			for _, f := range []*abi.Facts{first, second, second, first, second, first, first} {
				var d Decision
				c.Evaluate(context.Background(), f, &d)
				got := fmt.Sprintf("%s %q %q, %d ticks, fault %+v", d.Verdict, d.Message, d.Note, d.Fuel, d.Fault)
				if want, ok := seen[f.RequestID]; ok && got != want {
					t.Errorf("%s, %s, %s: %s; before: %s", spec.Name, isolation, f.RequestID, got, want)
				}
				seen[f.RequestID] = got
			}
		}
	}
}

// TestOwnPicture: an instance that starts unlike the first is put back to what it
// was itself.
func TestOwnPicture(t *testing.T) {
	resetEngines(t, func(t *testing.T, e *Engine, _ bool) {
		c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("remembers")}})
		p := c.policies[0]
		first := p.picture
		other := bytes.Clone(first.bytes)
		other[5000]++
		p.picture = newPicture(other)
		in, err := p.start(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer in.close()
		if in.image.laid || in.image.picture == p.picture {
			t.Error("the instance stands on the picture of another")
		}
		in.mem.Write(4999, []byte("xxx"))
		if got, _ := in.mem.Read(0, in.mem.Size()); !in.restore() || firstDifference(got, first.bytes) >= 0 {
			t.Error("the instance is not put back to what it was")
		}
		p.picture.free()
		p.picture = first
	})
}
