package metrics

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// TestPolicy: the counts of one policy, and none of one that is not in force, or that
// is in another mode.
func TestPolicy(t *testing.T) {
	m := New("test")
	m.Use([]plugins.PolicyStatus{{Name: "a", Mode: plugins.Enforce}, {Name: "b", Mode: plugins.Monitor}})
	r := m.Recorder(&sink{})
	for _, phase := range phases {
		r.Record(&decisionlog.Record{Phase: phase, Verdict: abi.Deny, Policy: "a", Steps: []plugins.Step{step("a", "")}})
	}
	r.Record(&decisionlog.Record{Phase: abi.SendKnock, Verdict: abi.Deny, Policy: "a", Fault: "trap", Steps: []plugins.Step{step("a", plugins.FaultTrap)}})
	m.Monitored(&plugins.MonitorResult{Policy: "b", Phase: abi.SendKnock, Verdict: abi.Pass, Fuel: 7_000_000, Took: 2 * time.Second})

	a := m.Policy("a", plugins.Enforce)
	if want := map[string]int64{"allow": 0, "deny": 3, "incompatible": 0}; !maps.Equal(a.Verdicts, want) {
		t.Errorf("verdicts %v, want %v", a.Verdicts, want)
	}
	if want := map[string]int64{"trap": 1}; !maps.Equal(a.Faults, want) {
		t.Errorf("faults %v, want %v", a.Faults, want)
	}
	at := func(h Histogram, bound float64) int64 {
		i := slices.Index(h.Bounds, bound)
		if len(h.Counts) != len(h.Bounds)+1 || i < 0 {
			t.Fatalf("%d counts of %d bounds, %v among them at %d", len(h.Counts), len(h.Bounds), bound, i)
		}
		return h.Counts[i]
	}
	if n, ticks := at(a.Seconds, 250e-6), at(a.Fuel, 1000); n != 3 || ticks != 3 {
		t.Errorf("%d answers of 250 us and %d of 1000 ticks, want 3 of each", n, ticks)
	}
	b := m.Policy("b", plugins.Monitor)
	if b.Verdicts["pass"] != 1 || b.Fuel.Counts[len(b.Fuel.Bounds)] != 1 || b.Seconds.Counts[len(b.Seconds.Bounds)] != 1 {
		t.Errorf("in monitor mode, beyond all bounds: %+v", b)
	}
	for _, name := range []string{"b", "c", removed} {
		if c := m.Policy(name, plugins.Enforce); len(c.Fuel.Counts) != 0 || name != removed && len(c.Verdicts) != 0 {
			t.Errorf("%s, which is not enforced: %+v", name, c)
		}
	}
}
