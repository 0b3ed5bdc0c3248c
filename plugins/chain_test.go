package plugins

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tetratelabs/wazero/api"

	"github.com/knockgate/knockgate/sdk/abi"
)

func TestChain(t *testing.T) {
	scoped := func(p PolicySpec, change func(*PolicySpec)) PolicySpec {
		change(&p)
		return p
	}
	onError := func(v abi.Verdict) func(*PolicySpec) { return func(p *PolicySpec) { p.OnError = v } }
	type step struct {
		policy  string
		verdict abi.Verdict
		fault   FaultClass
	}
	tests := []struct {
		name     string
		policies []PolicySpec
		other    abi.Verdict // the default
		facts    func(*abi.Facts)

		want   abi.Verdict
		policy string
		fault  FaultClass
		steps  []step
	}{
		{name: "empty", want: abi.Deny},
		{name: "empty, default allow", other: abi.Allow, want: abi.Allow},
		{name: "allow", policies: []PolicySpec{policyOf("allow")}, want: abi.Allow, policy: "allow", steps: []step{{"allow", abi.Allow, ""}}},
		{name: "pass, then the default", policies: []PolicySpec{policyOf("pass")}, other: abi.Allow, want: abi.Allow, steps: []step{{"pass", abi.Pass, ""}}},
		{name: "pass, then the zero default", policies: []PolicySpec{policyOf("pass")}, want: abi.Deny, steps: []step{{"pass", abi.Pass, ""}}},
		{name: "the first that does not pass decides",
			policies: []PolicySpec{policyOf("pass"), says("first", `{"verdict":"incompatible"}`), policyOf("allow")},
			want:     abi.Incompatible, policy: "first", steps: []step{{"pass", abi.Pass, ""}, {"first", abi.Incompatible, ""}}},
		{name: "the order is the specification's", policies: []PolicySpec{policyOf("allow"), says("no", `{"verdict":"deny"}`)},
			want: abi.Allow, policy: "allow", steps: []step{{"allow", abi.Allow, ""}}},

		{name: "trap denies", policies: []PolicySpec{policyOf("trap"), policyOf("allow")}, other: abi.Allow,
			want: abi.Deny, policy: "trap", fault: FaultTrap, steps: []step{{"trap", abi.Error, FaultTrap}}},
		{name: "trap allows", policies: []PolicySpec{scoped(policyOf("trap"), onError(abi.Allow)), says("no", `{"verdict":"deny"}`)},
			want: abi.Allow, policy: "trap", fault: FaultTrap, steps: []step{{"trap", abi.Error, FaultTrap}}},
		{name: "trap passes", policies: []PolicySpec{scoped(policyOf("trap"), onError(abi.Pass)), policyOf("allow")},
			want: abi.Allow, policy: "allow", steps: []step{{"trap", abi.Error, FaultTrap}, {"allow", abi.Allow, ""}}},
		{name: "trap passes to the default", policies: []PolicySpec{scoped(policyOf("trap"), onError(abi.Pass))},
			want: abi.Deny, steps: []step{{"trap", abi.Error, FaultTrap}}},
		{name: "the verdict error is a fault", policies: []PolicySpec{says("e", `{"verdict":"error","error":"no list"}`)},
			want: abi.Deny, policy: "e", fault: FaultError, steps: []step{{"e", abi.Error, FaultError}}},

		{name: "out of phase", policies: []PolicySpec{scoped(policyOf("allow"), func(p *PolicySpec) { p.Phases = []abi.Phase{abi.MakeKnock} })}, want: abi.Deny},
		{name: "in phase", policies: []PolicySpec{scoped(policyOf("allow"), func(p *PolicySpec) { p.Phases = []abi.Phase{abi.MakeKnock, abi.SendKnock} })},
			want: abi.Allow, policy: "allow", steps: []step{{"allow", abi.Allow, ""}}},
		{name: "another room", policies: []PolicySpec{scoped(policyOf("allow"), func(p *PolicySpec) { p.Rooms = []string{"!roo:*", "!lobby:*"} })}, want: abi.Deny},
		{name: "the room", policies: []PolicySpec{scoped(policyOf("allow"), func(p *PolicySpec) { p.Rooms = []string{"!x", "!ROOM:*"} })},
			want: abi.Allow, policy: "allow", steps: []step{{"allow", abi.Allow, ""}}},
		{name: "another origin", policies: []PolicySpec{scoped(policyOf("allow"), func(p *PolicySpec) { p.Origins = []string{"*.peer.example"} })}, want: abi.Deny},
		{name: "the origin, without its port", policies: []PolicySpec{scoped(policyOf("allow"), func(p *PolicySpec) { p.Origins = []string{"*.EXAMPLE"} })},
			want: abi.Allow, policy: "allow", steps: []step{{"allow", abi.Allow, ""}}},
		{name: "facts of no phase are in no scope of phases",
			policies: []PolicySpec{scoped(policyOf("allow"), func(p *PolicySpec) { p.Phases = []abi.Phase{abi.SendKnock} })},
			facts:    func(f *abi.Facts) { f.Phase = 77 }, want: abi.Deny},
		{name: "facts too large", policies: []PolicySpec{policyOf("allow")}, other: abi.Allow,
			facts: func(f *abi.Facts) { f.Event = make([]byte, abi.MaxFrame) }, want: abi.Deny, policy: "allow", fault: FaultTooLarge,
			steps: []step{{"allow", abi.Error, FaultTooLarge}}},
		{name: "facts just not too large", policies: []PolicySpec{policyOf("allow")},
			facts: func(f *abi.Facts) {
				f.Event = nil
				f.Event = make([]byte, abi.MaxFrame-len(abi.AppendFrame(nil, f)))
			}, want: abi.Allow, policy: "allow", steps: []step{{"allow", abi.Allow, ""}}},
	}
	e := newEngine(t, EngineOptions{})
	var d Decision // used again for every case: nothing may stay
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := load(t, e, ChainSpec{Policies: tt.policies, Default: tt.other})
			f := knockFacts()
			if tt.facts != nil {
				tt.facts(f)
			}
			c.Evaluate(context.Background(), f, &d)
			if d.Verdict != tt.want || d.Policy != tt.policy || d.Fault.Class != tt.fault {
				t.Errorf("got %s by %q, fault %+v; want %s by %q, fault %q", d.Verdict, d.Policy, d.Fault, tt.want, tt.policy, tt.fault)
			}
			if d.Revision != c.Revision() || (d.PolicyRevision == "") != (d.Policy == "") {
				t.Errorf("revisions %q and %q of a chain %q decided by %q", d.Revision, d.PolicyRevision, c.Revision(), d.Policy)
			}
			var steps []step
			for _, s := range d.Steps {
				steps = append(steps, step{s.Policy, s.Verdict, s.Fault.Class})
			}
			if diff := cmp.Diff(tt.steps, steps, cmp.AllowUnexported(step{})); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		spec  PolicySpec
		class FaultClass
		text  string
	}{
		{policyOf("trap"), FaultTrap, "unreachable"},
		{policyOf("loop"), FaultExhausted, "used up its 200000 ticks"},
		{policyOf("verdict_zero"), FaultResult, "inline verdict 0"},
		{policyOf("verdict_unknown"), FaultResult, "inline verdict 5"},
		{policyOf("error_inline"), FaultError, "gave no reason"},
		{policyOf("bad_pointer"), FaultResult, "3 bytes at 0x7fffe, outside memory of 524288"},
		{policyOf("bad_pointer_wrap"), FaultResult, "outside memory"},
		{policyOf("oversized_result"), FaultResult, "16385 bytes; at most 16384"},
		{policyOf("invalid_utf8"), FaultResult, "not valid UTF-8"},
		{policyOf("exits"), FaultExit, "exited with code 0"},
		{policyOf("log_outside"), FaultTrap, "knock_v1.log: 32 bytes at 0x7fff0 are outside memory"},
		{policyOf("logs"), FaultTrap, "unreachable: panic: boom"},
		{says("p", `{}`), FaultResult, "no verdict"},
		{says("p", `{"verdict":"maybe"}`), FaultResult, `"maybe"`},
		{says("p", `{"verdict":"allow","verdict":"deny"}`), FaultResult, "stands twice"},
		{says("p", `{"verdict":"allow","reason":"x"}`), FaultResult, `the key "reason"`},
		{says("p", `{"verdict":"allow","error":"x"}`), FaultResult, "an error beside the verdict allow"},
		{says("p", `{"verdict":"allow","detail":[1]}`), FaultResult, "detail is no object"},
		{says("p", `{"verdict":1}`), FaultResult, "'\"' is due"},
		{says("p", `{"verdict":"deny","message":"\ud800"}`), FaultResult, "surrogate"},
		{says("p", `{"verdict":"error","error":"list is empty"}`), FaultError, "list is empty"},
		{says("p", `{"verdict":"error","note":"list is empty"}`), FaultError, "list is empty"},
	}
	for _, interpreter := range []bool{false, true} {
		e := newEngine(t, EngineOptions{Interpreter: interpreter})
		for _, tt := range tests {
			name := tt.spec.Name + string(tt.spec.Settings)
			c := load(t, e, ChainSpec{Policies: []PolicySpec{tt.spec}, Default: abi.Allow})
			before := e.Stats().Discarded
			var d Decision
			c.Evaluate(context.Background(), knockFacts(), &d)
			if d.Verdict != abi.Deny || d.Fault.Class != tt.class || !strings.Contains(d.Fault.Text, tt.text) {
				t.Errorf("%s: %s, fault %+v; want deny, fault %s with %q", name, d.Verdict, d.Fault, tt.class, tt.text)
			}
			if d.Message != "" || d.Note != "" || d.Code != "" || len(d.Detail) != 0 {
				t.Errorf("%s: a fault has words: %+v", name, d)
			}
			if n := e.Stats().Discarded - before; n != 1 {
				t.Errorf("%s: %d instances discarded, want 1", name, n)
			}
		}
	}
}

func TestAnswerReachesTheDecision(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("deny_message")}})
	var got Decision
	for range 3 {
		c.Evaluate(context.Background(), knockFacts(), &got)
	}
	want := Decision{
		Verdict: abi.Deny, Policy: "deny_message", PolicyRevision: c.policies[0].revision, Revision: c.Revision(),
		Message: "not today", Note: "for us", Code: "closed", Detail: []byte(`{"a":[1,2]}`),
		Steps: []Step{{Policy: "deny_message", Revision: c.policies[0].revision, Verdict: abi.Deny, Note: "for us", Code: "closed"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Decision{}), cmpopts.IgnoreFields(Step{}, "Micros", "Fuel"), cmpopts.IgnoreFields(Decision{}, "Fuel")); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
	if !json.Valid(got.Detail) {
		t.Errorf("detail %q is no JSON", got.Detail)
	}
}

// TestTrappedInstanceIsGone uses a guest that changes its state and then traps,
// and that would allow whatever comes next.
func TestTrappedInstanceIsGone(t *testing.T) {
	e := newEngine(t, EngineOptions{Limits: Limits{Instances: 1}})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("trap_once")}})
	make, send := knockFacts(), knockFacts()
	make.Phase = abi.MakeKnock
	var d Decision
	for range 5 {
		c.Evaluate(context.Background(), make, &d)
		if d.Verdict != abi.Deny || d.Fault.Class != FaultNone {
			t.Fatalf("make_knock: %s, fault %+v; want deny by choice", d.Verdict, d.Fault)
		}
		c.Evaluate(context.Background(), send, &d)
		if d.Verdict != abi.Deny || d.Fault.Class != FaultTrap {
			t.Fatalf("send_knock: %s, fault %+v; want deny by a trap", d.Verdict, d.Fault)
		}
	}
	if got := e.Stats().Discarded; got != 5 {
		t.Errorf("%d instances discarded, want 5", got)
	}
}

func TestNilChainDenies(t *testing.T) {
	var c *Chain
	d := Decision{Verdict: abi.Allow, Policy: "last", Message: "last", Steps: make([]Step, 3)}
	c.Evaluate(context.Background(), knockFacts(), &d)
	if d.Verdict != abi.Deny || d.Fault.Class != FaultClosed || d.Policy != "" || d.Message != "" || len(d.Steps) != 0 {
		t.Errorf("a nil chain decides %+v", d)
	}
	c.Release()
	if c.Revision() != "" || c.Policies() != nil {
		t.Error("a nil chain has a revision or policies")
	}
}

func TestEndedRequestDenies(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	p := policyOf("allow")
	p.OnError = abi.Allow
	c := load(t, e, ChainSpec{Policies: []PolicySpec{p}, Default: abi.Allow})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var d Decision
	c.Evaluate(ctx, knockFacts(), &d)
	if d.Verdict != abi.Deny || d.Fault.Class != FaultRequest {
		t.Errorf("an ended request is decided %s, fault %+v; want deny, %s", d.Verdict, d.Fault, FaultRequest)
	}
}

// TestHostBugDenies: a panic in a host function is not taken for the guest's
// fault, and on_error has no say.
func TestHostBugDenies(t *testing.T) {
	good := hostFunctions[abi.Module][abi.ImportLog]
	bad := good
	bad.body = func(*guestState, api.Module, []uint64) { panic("a bug of ours") }
	hostFunctions[abi.Module][abi.ImportLog] = bad
	defer func() { hostFunctions[abi.Module][abi.ImportLog] = good }()

	e := newEngine(t, EngineOptions{})
	p := policyOf("log_outside")
	p.OnError = abi.Allow
	c := load(t, e, ChainSpec{Policies: []PolicySpec{p}, Default: abi.Allow})
	var d Decision
	c.Evaluate(context.Background(), knockFacts(), &d)
	if d.Verdict != abi.Deny || d.Fault.Class != FaultHost || !strings.Contains(d.Fault.Text, "a bug of ours") {
		t.Errorf("a bug of the host is decided %s, fault %+v; want deny, %s", d.Verdict, d.Fault, FaultHost)
	}
	if e.Stats().Discarded != 1 {
		t.Error("the instance was kept")
	}

	// Outside any guest, the chain itself is the boundary.
	c.Evaluate(context.Background(), nil, &d)
	if d.Verdict != abi.Deny || d.Fault.Class != FaultHost {
		t.Errorf("nil facts are decided %s, fault %+v; want deny, %s", d.Verdict, d.Fault, FaultHost)
	}
}
