package plugins

import (
	"context"
	"os"
	"testing"
)

// nineKV keeps nothing; every value is 9.
type nineKV struct{}

func (nineKV) Get(_ string, _ []byte, _ int64, dst []byte) ([]byte, bool) {
	return append(dst, 9), true
}
func (nineKV) Put(string, []byte, []byte, int64, int64) bool  { return true }
func (nineKV) Incr(string, []byte, int64, int64, int64) int64 { return 9 }

// TestAllocations: nothing is allocated from facts to decision, with metering,
// with host functions and with every isolation that keeps instances.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	go1 := benchPolicies[2]
	reset := policyOf("remembers")
	reset.Limits.Isolation = IsolationReset
	for _, tt := range []struct {
		name   string
		policy PolicySpec
		record bool
	}{
		{"Go", go1, false},
		{"reset", reset, false},
		{"inline", policyOf("allow"), false},
		{"with words", policyOf("deny_message"), false},
		{"with a loop", policyOf("exclusive"), false},
		{"with host functions", hostCallsSpec("calls"), false},
		{"with host functions, recorded", hostCallsSpec("calls"), true},
	} {
		if _, err := os.Stat(tt.policy.Module); err != nil {
			t.Logf("%s: not held: %v", tt.name, err)
			continue
		}
		e := newEngine(t, EngineOptions{Limits: Limits{Instances: 1}, KV: nineKV{}, Lists: mapLists{}, Record: tt.record})
		c := load(t, e, ChainSpec{Policies: []PolicySpec{tt.policy}})
		var d Decision
		f := scripted("n", "r", "m*.example|a", `a{"allow":["*.\u0061"]}|a`, "gx", "px|v", "ix", "lbad|a")
		c.Evaluate(context.Background(), f, &d)
		got := testing.AllocsPerRun(200, func() { c.Evaluate(context.Background(), f, &d) })
		if d.Fault.Class != FaultNone {
			t.Fatalf("%s: fault %+v", tt.name, d.Fault)
		}
		if got != 0 {
			t.Errorf("%s: %v allocations a decision, want 0", tt.name, got)
		}
	}
}
