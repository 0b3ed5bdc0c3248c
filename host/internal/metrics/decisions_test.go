package metrics

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// sink counts what it is given.
type sink struct{ records int }

func (s *sink) Record(*decisionlog.Record) { s.records++ }

// step is what a policy said in 250 us with 1,000 ticks.
func step(policy string, class plugins.FaultClass) plugins.Step {
	return plugins.Step{Policy: policy, Fault: plugins.Fault{Class: class}, Micros: 250, Fuel: 1000}
}

// TestDecisions: which series a decision counts to.
func TestDecisions(t *testing.T) {
	const make, send = abi.MakeKnock, abi.SendKnock
	for _, tt := range []struct {
		name   string
		record decisionlog.Record
		want   map[string]float64
	}{
		{"a policy allows",
			decisionlog.Record{Phase: make, Verdict: abi.Allow, Policy: "servers", Steps: []plugins.Step{step("servers", "")}},
			map[string]float64{
				`decision_seconds{phase="make_knock"}`:                                                1,
				`decisions_total{mode="enforce",phase="make_knock",policy="servers",verdict="allow"}`: 1,
				`policy_seconds{policy="servers"}`:                                                    1, `policy_fuel_ticks{policy="servers"}`: 1,
			}},
		{"one passes, the next is incompatible",
			decisionlog.Record{Phase: send, Verdict: abi.Incompatible, Policy: "reasons", Steps: []plugins.Step{step("servers", ""), step("reasons", "")}},
			map[string]float64{
				`decision_seconds{phase="send_knock"}`:                                                       1,
				`decisions_total{mode="enforce",phase="send_knock",policy="reasons",verdict="incompatible"}`: 1,
				`policy_seconds{policy="servers"}`:                                                           1, `policy_fuel_ticks{policy="servers"}`: 1,
				`policy_seconds{policy="reasons"}`: 1, `policy_fuel_ticks{policy="reasons"}`: 1,
			}},
		{"the default",
			decisionlog.Record{Phase: send, Verdict: abi.Deny},
			map[string]float64{
				`decision_seconds{phase="send_knock"}`:                                               1,
				`decisions_total{mode="enforce",phase="send_knock",policy="default",verdict="deny"}`: 1,
			}},
		{"a trap denies",
			decisionlog.Record{Phase: send, Verdict: abi.Deny, Policy: "servers", Fault: "trap", Steps: []plugins.Step{step("servers", plugins.FaultTrap)}},
			map[string]float64{
				`decision_seconds{phase="send_knock"}`:                                               1,
				`decisions_total{mode="enforce",phase="send_knock",policy="servers",verdict="deny"}`: 1,
				`policy_errors_total{class="trap",policy="servers"}`:                                 1,
				`policy_seconds{policy="servers"}`:                                                   1, `policy_fuel_ticks{policy="servers"}`: 1,
			}},
		{"a fault passes, the default allows",
			decisionlog.Record{Phase: send, Verdict: abi.Allow, Steps: []plugins.Step{step("servers", plugins.FaultExhausted)}},
			map[string]float64{
				`decision_seconds{phase="send_knock"}`:                                                1,
				`decisions_total{mode="enforce",phase="send_knock",policy="default",verdict="allow"}`: 1,
				`policy_errors_total{class="exhausted",policy="servers"}`:                             1,
				`policy_seconds{policy="servers"}`:                                                    1, `policy_fuel_ticks{policy="servers"}`: 1,
			}},
		{"a permit lets in what a trap denies",
			decisionlog.Record{Phase: send, Verdict: abi.Allow, Policy: "permit", Steps: []plugins.Step{step("servers", plugins.FaultTrap)},
				Permit: &decisionlog.Permit{ID: 1, Chain: decisionlog.Outcome{Verdict: abi.Deny, Policy: "servers", Fault: "trap"}}},
			map[string]float64{
				`decision_seconds{phase="send_knock"}`:                                               1,
				`decisions_total{mode="enforce",phase="send_knock",policy="permit",verdict="allow"}`: 1,
				`policy_errors_total{class="trap",policy="servers"}`:                                 1,
				`policy_seconds{policy="servers"}`:                                                   1, `policy_fuel_ticks{policy="servers"}`: 1,
			}},
		{"a permit lets in what does not fit",
			decisionlog.Record{Phase: send, Verdict: abi.Allow, Policy: "permit",
				Permit: &decisionlog.Permit{ID: 1, Chain: decisionlog.Outcome{Verdict: abi.Deny, Policy: "servers", Fault: "too_large"}}},
			map[string]float64{
				`decision_seconds{phase="send_knock"}`:                                               1,
				`decisions_total{mode="enforce",phase="send_knock",policy="permit",verdict="allow"}`: 1,
				`policy_errors_total{class="too_large",policy="servers"}`:                            1,
			}},
		{"a policy rests: it was not asked",
			decisionlog.Record{Phase: send, Verdict: abi.Deny, Policy: "servers", Fault: "resting", Steps: []plugins.Step{step("servers", plugins.FaultResting)}},
			map[string]float64{
				`decision_seconds{phase="send_knock"}`:                                               1,
				`decisions_total{mode="enforce",phase="send_knock",policy="servers",verdict="deny"}`: 1,
				`policy_errors_total{class="resting",policy="servers"}`:                              1,
			}},
		{"no chain, no step",
			decisionlog.Record{Phase: send, Verdict: abi.Deny, Fault: "closed"},
			map[string]float64{
				`decision_seconds{phase="send_knock"}`:                                               1,
				`decisions_total{mode="enforce",phase="send_knock",policy="default",verdict="deny"}`: 1,
				`policy_errors_total{class="closed",policy="default"}`:                               1,
			}},
		{"a policy that is gone, in mid-flight",
			decisionlog.Record{Phase: send, Verdict: abi.Deny, Policy: "gone", Fault: "exit", Steps: []plugins.Step{step("gone", plugins.FaultExit)}},
			map[string]float64{
				`decision_seconds{phase="send_knock"}`:                                               1,
				`decisions_total{mode="enforce",phase="send_knock",policy="removed",verdict="deny"}`: 1,
				`policy_errors_total{class="exit",policy="removed"}`:                                 1,
			}},
		{"no verdict",
			decisionlog.Record{Phase: send, Verdict: abi.Error},
			map[string]float64{
				`decision_seconds{phase="send_knock"}`:                                               1,
				`decisions_total{mode="enforce",phase="send_knock",policy="default",verdict="deny"}`: 1,
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := New("")
			m.Use([]plugins.PolicyStatus{policy("servers"), policy("reasons")})
			before := values(t, m)
			next := &sink{}
			m.Recorder(next).Record(&tt.record)
			if next.records != 1 {
				t.Errorf("the next recorder got %d records, want 1", next.records)
			}
			changed(t, m, before, tt.want)
		})
	}
}

// TestMonitored: what a policy in monitor mode would have said counts apart.
func TestMonitored(t *testing.T) {
	m := New("")
	m.Use([]plugins.PolicyStatus{{Name: "new", Mode: plugins.Monitor}})
	before := values(t, m)
	m.Monitored(&plugins.MonitorResult{Phase: abi.SendKnock, Policy: "new", Verdict: abi.Pass, Took: time.Millisecond, Fuel: 5})
	m.Monitored(&plugins.MonitorResult{Phase: abi.SendKnock, Policy: "new", Verdict: abi.Deny, Took: time.Millisecond, Fault: plugins.Fault{Class: plugins.FaultTrap}})
	changed(t, m, before, map[string]float64{
		`decisions_total{mode="monitor",phase="send_knock",policy="new",verdict="pass"}`: 1,
		`decisions_total{mode="monitor",phase="send_knock",policy="new",verdict="deny"}`: 1,
		`policy_errors_total{class="trap",policy="new"}`:                                 1,
		`policy_seconds{policy="new"}`:                                                   2,
		`policy_fuel_ticks{policy="new"}`:                                                1,
	})
}

// TestUse: a swap keeps the counts of policies that stay, and takes the series of
// those that go, or go into another mode.
func TestUse(t *testing.T) {
	m := New("")
	count := func(policies ...string) {
		for _, p := range policies {
			m.Recorder(&sink{}).Record(&decisionlog.Record{Phase: abi.SendKnock, Verdict: abi.Deny, Policy: p, Steps: []plugins.Step{step(p, "")}})
		}
	}
	of := func(policy string) (names []string) {
		for name := range values(t, m) {
			if strings.Contains(name, `policy="`+policy+`"`) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	m.Use([]plugins.PolicyStatus{policy("stays"), policy("goes"), policy("turns")})
	count("stays", "goes", "turns")
	stays, turns := of("stays"), of("turns")
	if len(stays) != 6+13+2 || len(of("goes")) != len(stays) {
		t.Fatalf("%d series of a policy, want 6 verdicts, 13 faults and 2 histograms:\n%s", len(stays), strings.Join(stays, "\n"))
	}
	m.Use([]plugins.PolicyStatus{policy("stays"), {Name: "turns", Mode: plugins.Monitor}})
	if got := of("goes"); len(got) != 0 {
		t.Errorf("series of a policy that has gone: %v", got)
	}
	if got := of("stays"); !slices.Equal(got, stays) {
		t.Errorf("series of a policy that stays: %v, want %v", got, stays)
	}
	if got := of("turns"); len(got) != len(turns)+2 || slices.ContainsFunc(got, func(n string) bool { return strings.Contains(n, "enforce") }) {
		t.Errorf("series of a policy that is in monitor mode now: %v", got)
	}
	if got := values(t, m)[`decisions_total{mode="enforce",phase="send_knock",policy="stays",verdict="deny"}`]; got != 1 {
		t.Errorf("%v denials of a policy that stays, want 1", got)
	}
	// A policy of that name that comes back begins anew.
	m.Use([]plugins.PolicyStatus{policy("goes")})
	if got, ok := values(t, m)[`decisions_total{mode="enforce",phase="send_knock",policy="goes",verdict="deny"}`]; got != 0 || !ok {
		t.Errorf("%v denials (there: %v) of a policy that came back, want 0", got, ok)
	}
}

// TestSwapsWhileCounting: no decision is lost to a swap, whatever it finds.
func TestSwapsWhileCounting(t *testing.T) {
	const workers, each = 4, 2000
	m := New("")
	m.Use([]plugins.PolicyStatus{policy("p0")})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range workers {
		wg.Go(func() {
			r := m.Recorder(&nowhere{})
			for i := range each {
				p := "p" + strconv.Itoa(i%3)
				r.Record(&decisionlog.Record{Phase: abi.MakeKnock, Verdict: abi.Allow, Policy: p, Steps: []plugins.Step{step(p, plugins.FaultTrap)}})
			}
		})
	}
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				m.Use([]plugins.PolicyStatus{policy("p0"), policy("p" + strconv.Itoa(1+i%2))})
			}
		}
	}()
	wg.Wait()
	close(stop)
	<-swapped
	got := values(t, m)
	if n := got[`decision_seconds{phase="make_knock"}`]; n != workers*each {
		t.Errorf("%v decisions, want %d", n, workers*each)
	}
	// p0 is in every chain, so its counts are whole.
	if n := got[`decisions_total{mode="enforce",phase="make_knock",policy="p0",verdict="allow"}`]; n != workers*667 {
		t.Errorf("%v decisions of the policy that stays, want %d", n, workers*667)
	}
}

// nowhere keeps nothing.
type nowhere struct{}

func (nowhere) Record(*decisionlog.Record) {}

// TestAllocations: counting a decision or a refusal allocates nothing.
func TestAllocations(t *testing.T) {
	m := New("")
	m.Use([]plugins.PolicyStatus{policy("servers"), policy("reasons")})
	r := m.Recorder(&nowhere{})
	record := &decisionlog.Record{Phase: abi.SendKnock, Verdict: abi.Deny, Policy: "reasons", Fault: "trap",
		Steps: []plugins.Step{step("servers", ""), step("reasons", plugins.FaultTrap)}}
	if n := testing.AllocsPerRun(100, func() { r.Record(record) }); n != 0 {
		t.Errorf("%v allocations a decision, want 0", n)
	}
	refused := refusals[0].err
	if n := testing.AllocsPerRun(100, func() { m.Refused("make_knock", refused) }); n != 0 {
		t.Errorf("%v allocations a refusal, want 0", n)
	}
}

// TestFaultClasses: each class of fault that plugins has is counted.
func TestFaultClasses(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../../plugins/decision.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 || v.Names[0].Name == "FaultNone" {
			return true
		}
		if kind, ok := v.Type.(*ast.Ident); !ok || kind.Name != "FaultClass" {
			return true
		}
		class, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if !slices.Contains(faultClasses, plugins.FaultClass(class)) {
			t.Errorf("%s is not counted", v.Names[0].Name)
		}
		return true
	})
	if found != len(faultClasses) {
		t.Errorf("%d classes of fault in plugins, and %d counted", found, len(faultClasses))
	}
}

// BenchmarkRecord is what counting adds to a decision of two policies.
func BenchmarkRecord(b *testing.B) {
	m := New("")
	m.Use([]plugins.PolicyStatus{policy("servers"), policy("reasons")})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := m.Recorder(&nowhere{})
		record := &decisionlog.Record{Phase: abi.SendKnock, Verdict: abi.Deny, Policy: "reasons",
			Steps: []plugins.Step{step("servers", ""), step("reasons", "")}}
		for pb.Next() {
			r.Record(record)
		}
	})
}
