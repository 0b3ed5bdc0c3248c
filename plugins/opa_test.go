package plugins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/sdk/abi"
)

// regoRules is a real policy: testdata/rego_rules.rego.
var regoRules = PolicySpec{Name: "rego_rules", Module: testModule("rego_rules"),
	Settings: []byte(`{"min":5,"newest":11,"origins":["*.evil.example","bad.example","spam-*.example","*.worse.example"]}`)}

// regoCases answers as the first word of the reason says.
func regoCases() PolicySpec {
	p := policyOf("rego_cases")
	p.Settings = []byte(`{"list":[1,{"key":"é\n"}]}`)
	p.Limits = Limits{Faults: maxFaults, Wait: time.Hour}
	return p
}

func reasoned(reason string) *abi.Facts {
	f := knockFacts()
	f.Reason = abi.Some(reason)
	return f
}

// TestOPA: what a rule has as its value, and how it can fail to have one, on
// both engines, with the same fuel from a new instance.
func TestOPA(t *testing.T) {
	rows := []struct {
		reason  string
		verdict abi.Verdict
		class   FaultClass
		want    string // in the message, or in the fault's text
	}{
		{"allow", abi.Allow, FaultNone, ""},
		{"deny", abi.Deny, FaultNone, ""},
		{"incompatible", abi.Incompatible, FaultNone, ""},
		{"pass", abi.Pass, FaultNone, ""},
		{"object", abi.Deny, FaultNone, "words"},
		{"error", abi.Error, FaultError, "gave no reason"},
		{"gives-up", abi.Error, FaultError, "cannot tell"},
		{"maybe", abi.Error, FaultResult, `the verdict "maybe"`},
		{"misspelt", abi.Error, FaultResult, `the key "massage"`},
		{"number", abi.Error, FaultResult, `is "7"`},
		{"array", abi.Error, FaultResult, `must be the name of a verdict or an object`},
		{"nothing that has a rule", abi.Error, FaultResult, "undefined for this knock"},
		{"conflict", abi.Error, FaultTrap, "aborted: rego_cases.rego:23:1: var assignment conflict"},
		{"loop", abi.Error, FaultExhausted, "used up its 200000 ticks"},
		{"memory", abi.Error, FaultExhausted, "used up its 200000 ticks"},
	}
	var fuel [2][]int64
	for n, interpreter := range []bool{false, true} {
		e := newEngine(t, EngineOptions{Interpreter: interpreter})
		p := regoCases()
		p.Limits.Isolation = IsolationFresh
		c := load(t, e, ChainSpec{Policies: []PolicySpec{p}})
		faults := int64(0)
		for _, tt := range rows {
			var d Decision
			c.Evaluate(context.Background(), reasoned(tt.reason), &d)
			step := d.Steps[0]
			if step.Verdict != tt.verdict || step.Fault.Class != tt.class || !strings.Contains(d.Message+step.Fault.Text, tt.want) {
				t.Errorf("%q: %s with message %q, fault %+v; want %s, fault %q, %q", tt.reason, step.Verdict, d.Message, step.Fault, tt.verdict, tt.class, tt.want)
			}
			if tt.class != FaultNone {
				faults++
			}
			fuel[n] = append(fuel[n], d.Fuel)
		}
		if s := e.Stats(); s.Discarded != faults {
			t.Errorf("%d instances were discarded for %d faults", s.Discarded, faults)
		}
	}
	if fmt.Sprint(fuel[0]) != fmt.Sprint(fuel[1]) {
		t.Errorf("fuel on the compiler %d, on the interpreter %d", fuel[0], fuel[1])
	}
}

// TestOPAFacts: every fact of a room, with the largest ACL, is input to a rule like
// others, within the fuel that a decision has.
func TestOPAFacts(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{regoCases()}})
	f := reasoned("allow")
	f.Room = everyFact().Room
	globs := strings.Repeat(`"*.evil.example",`, (abi.MaxRoomACL-len(`{"allow":["*"],"deny":[""]}`))/len(`"*.evil.example",`))
	f.Room.ACL = abi.Some(`{"allow":["*"],"deny":[` + globs + `""]}`)
	for _, acl := range []abi.Text{{}, abi.Some(""), f.Room.ACL} {
		f.Room.ACL = acl
		var d Decision
		if c.Evaluate(context.Background(), f, &d); d.Verdict != abi.Allow || d.Fault.Class != FaultNone || len(acl.Value) > abi.MaxRoomACL {
			t.Errorf("an ACL of %d bytes: %s, fault %+v, %d ticks; want allow", len(acl.Value), d.Verdict, d.Fault, d.Fuel)
		}
	}
}

// TestOPAMemory: the memory limit of the policy holds, and says so.
func TestOPAMemory(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	p := regoCases()
	p.Limits.Fuel, p.Limits.MemoryPages = MaxFuel, 16
	c := load(t, e, ChainSpec{Policies: []PolicySpec{p}})
	var d Decision
	c.Evaluate(context.Background(), reasoned("memory"), &d)
	if d.Fault.Class != FaultTrap || !strings.Contains(d.Fault.Text, "opa_malloc: failed") {
		t.Errorf("fault %+v, want a trap that says what failed", d.Fault)
	}
	p.Limits.MemoryPages = 6
	_, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{p}}, nil)
	if err == nil || !strings.Contains(err.Error(), "opa_malloc") {
		t.Errorf("Load with 6 pages = %v, want an error of opa_malloc", err)
	}
}

// TestOPABuiltins: what the host's builtins give. The rows were compared with
// what opa eval 1.22.2 gives.
func TestOPABuiltins(t *testing.T) {
	rows := []struct{ reason, want string }{ // want as JSON; "" is undefined
		{`sprintf|%s is %d of %v, %x %5.1f|["a",7,[1,"b"],"zz",2.25]`, `"a is 7 of [1, \"b\"], 7a7a   2.2"`},
		{`sprintf|%v %v %v|[1.0,1e3,12345678901234567890]`, `"1 1000 12345678901234567890"`},
		{`sprintf|%d%%|["x"]`, `"%!d(string=x)%"`},
		{`sprintf|%[2]s %s|["x"]`, `"%!s(BADINDEX) x"`},
		{`sprintf|none|["<left>",null]`, `"none%!(EXTRA string=<left>, string=null)"`},
		{`sprintf|%s|{"a":1}`, ``},
		{`sprintf|100%% plain|[]`, `"100% plain"`},
		{`values`, `"{\"b\"} [set(), {1: null}, 1.5, true]"`},
		{`time`, `[1700000000123000000,[22,13,20],[2023,11,14],"Tuesday"]`},
		{`zone|UTC`, `[0,0,0]`},
		{`trace`, `true`},
		{`sha256|abc`, `"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"`},
		{`count|banana|an`, `2`},
		{`count|banana|`, `7`},
		{`prefix|banana|["x","ba"]`, `true`},
		{`prefix|banana|"ana"`, `false`},
		{`prefix|banana|[1]`, ``},
		{`suffix|banana|["x","na"]`, `true`},
		{`suffix|banana|[]`, `false`},
		{`settings`, `{"list":[1,{"key":"é\n"}]}`},
		{`input|origin`, `"peer.example:8448"`},
		{`input|reason`, `"builtin input|reason"`},
		{`input|absent`, ``},
	}
	faults := []struct{ reason, want string }{
		{`sprintf|%513d|[1]`, "a width or precision above 512"},
		{`sprintf|%.99999999999999999999d|[1]`, "a width or precision above 512"},
		{`sprintf|%*d|[1,2]`, "a width of *"},
		{`sprintf|` + strings.Repeat("%512d", 200) + `|[1]`, "the result may have"},
		{`sprintf|%s|["` + strings.Repeat("x", maxOperands) + `"]`, "sprintf: operand 2: a text of more than"},
		{`sprintf|%[1]s%[1]s|["` + strings.Repeat("x", 9000) + `"]`, "sprintf: a result of 18002 bytes; at most 16384"},
		{`zone|Europe/Berlin`, `the time zone "Europe/Berlin"`},
	}
	for _, interpreter := range []bool{false, true} {
		e := newEngine(t, EngineOptions{Interpreter: interpreter})
		p := regoCases()
		p.Limits.Fuel = MaxFuel
		c := load(t, e, ChainSpec{Policies: []PolicySpec{p}})
		for _, tt := range rows {
			var d Decision
			c.Evaluate(context.Background(), reasoned("builtin "+tt.reason), &d)
			switch {
			case tt.want == "":
				if d.Fault.Class != FaultResult || !strings.Contains(d.Fault.Text, "undefined") {
					t.Errorf("%s: %q, fault %+v; want it undefined", tt.reason, d.Message, d.Fault)
				}
			case d.Fault.Class != FaultNone || d.Message != tt.want:
				t.Errorf("%s: %s, fault %+v; want %s", tt.reason, d.Message, d.Fault, tt.want)
			}
		}
		for _, tt := range faults {
			var d Decision
			c.Evaluate(context.Background(), reasoned("builtin "+tt.reason), &d)
			if d.Fault.Class != FaultTrap || !strings.Contains(d.Fault.Text, tt.want) {
				t.Errorf("%.40s: %s, fault %+v; want a trap that says %q", tt.reason, d.Verdict, d.Fault, tt.want)
			}
		}
	}
}

// TestOPARules asks a policy as an author would write it.
func TestOPARules(t *testing.T) {
	friend := func(f *abi.Facts) { f.UserID = "@friend-1:peer.example" }
	rows := []struct {
		name    string
		change  func(*abi.Facts)
		verdict abi.Verdict
		code    string
		message string
	}{
		{"nothing applies", func(*abi.Facts) {}, abi.Pass, "", ""},
		{"origin refused", func(f *abi.Facts) { f.Origin = "a.evil.example:8448" }, abi.Deny, "origin", "Knocks from a.evil.example are not taken."},
		{"origin refused by another glob", func(f *abi.Facts) { f.Origin = "spam-1.example" }, abi.Deny, "origin", "Knocks from spam-1.example are not taken."},
		{"reason too short", func(f *abi.Facts) { f.Reason = abi.Some(" hi ") }, abi.Deny, "reason", "Say why, in at least 5 characters."},
		{"no reason", func(f *abi.Facts) { f.Reason = abi.Text{} }, abi.Deny, "reason", "Say why, in at least 5 characters."},
		{"make_knock has none", func(f *abi.Facts) { f.Phase, f.Reason = abi.MakeKnock, abi.Text{} }, abi.Pass, "", ""},
		{"a newer room", func(f *abi.Facts) { f.RoomVersion = "12" }, abi.Incompatible, "", ""},
		{"a friend", friend, abi.Allow, "", ""},
	}
	for _, interpreter := range []bool{false, true} {
		c := load(t, newEngine(t, EngineOptions{Interpreter: interpreter, Limits: slow}), ChainSpec{Policies: []PolicySpec{regoRules}})
		for _, tt := range rows {
			f := knockFacts()
			tt.change(f)
			var d Decision
			c.Evaluate(context.Background(), f, &d)
			if s := d.Steps[0]; s.Verdict != tt.verdict || d.Code != tt.code || d.Message != tt.message || s.Fault.Class != FaultNone {
				t.Errorf("%s: %s, code %q, message %q, fault %+v; want %s, %q, %q", tt.name, s.Verdict, d.Code, d.Message, s.Fault, tt.verdict, tt.code, tt.message)
			}
		}
	}
}

// TestOPASettings: a policy with the rule knock/errors refuses settings at load.
func TestOPASettings(t *testing.T) {
	for _, interpreter := range []bool{false, true} {
		e := newEngine(t, EngineOptions{Interpreter: interpreter})
		for settings, want := range map[string][]SettingError{
			``:                             {{"min", "must be a number"}, {"newest", "must be a number"}, {"origins", "must be a list of globs"}},
			`{"min":"5","newest":1}`:       {{"min", "must be a number"}, {"origins", "must be a list of globs"}},
			`{"mni":5,"newest":1,"min":5}`: {{"mni", "is no setting"}, {"origins", "must be a list of globs"}},
			string(regoRules.Settings):     nil,
		} {
			p := regoRules
			p.Settings = []byte(settings)
			c, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{p}}, nil)
			if err == nil {
				c.Release()
			}
			var got []SettingError
			if refused, ok := errors.AsType[*SettingsError](err); ok {
				got = refused.Errors
				slices.SortFunc(got, func(a, b SettingError) int { return strings.Compare(a.Path, b.Path) })
			}
			if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want == nil) {
				t.Errorf("settings %s: Load = %v (-want +got):\n%s", settings, err, diff)
			}
		}
	}
}

// TestOPAIsolation: each decision begins with the same heap, so one knock does
// not see the one before, in any isolation; and reset need not replace
// instances for what a decision allocates.
func TestOPAIsolation(t *testing.T) {
	knocks := []string{"builtin settings", "object", "builtin sprintf|%s|[\"a\"]", "allow", "builtin input|reason", "builtin settings"}
	for _, isolation := range []Isolation{IsolationReuse, IsolationReset, IsolationFresh} {
		e := newEngine(t, EngineOptions{})
		p := regoCases()
		p.Limits.Isolation, p.Limits.Instances = isolation, 1
		c := load(t, e, ChainSpec{Policies: []PolicySpec{p}})
		var first [][]string
		for round := range 50 {
			var got []string
			for _, reason := range knocks {
				var d Decision
				c.Evaluate(context.Background(), reasoned(reason), &d)
				got = append(got, fmt.Sprint(d.Verdict, d.Message, d.Fault))
			}
			if round == 0 {
				first = append(first, got)
			} else if fmt.Sprint(got) != fmt.Sprint(first[0]) {
				t.Fatalf("%s: round %d gives %q, the first gave %q", isolation, round, got, first[0])
			}
		}
		if s := e.Stats(); isolation != IsolationFresh && s.Started != 1 || s.Discarded != 0 {
			t.Errorf("%s: %d instances started, %d discarded; want one that does all", isolation, s.Started, s.Discarded)
		}
	}
}

// TestOPAReplay: a recorded decision, replayed, is the same; by other settings
// it is not.
func TestOPAReplay(t *testing.T) {
	e := newEngine(t, EngineOptions{Record: true, Limits: slow})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{regoRules, regoCases()}})
	f := reasoned("builtin time")
	was := record(t, c, f)
	if was.Message == "" || len(was.Steps) != 2 {
		t.Fatalf("message %q, steps %+v; want the time from the second", was.Message, was.Steps)
	}
	var d Decision
	for range 3 {
		if diff := c.Replay(context.Background(), was, &d); len(diff) != 0 {
			t.Errorf("a replay differs: %v", diff)
		}
	}
	other := regoRules
	other.Settings = bytes.Replace(other.Settings, []byte("bad.example"), []byte("peer.example"), 1)
	if diff := load(t, e, ChainSpec{Policies: []PolicySpec{other, regoCases()}}).Replay(context.Background(), was, &d); len(diff) == 0 {
		t.Error("a replay with other settings does not differ")
	}
}

// TestOPAConcurrently: many decisions at once, some of which fault, get their
// own answers.
func TestOPAConcurrently(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{regoCases()}})
	var all sync.WaitGroup
	for worker := range 6 {
		all.Go(func() {
			var d Decision
			for i := range 40 {
				word := fmt.Sprintf("w%d-%d", worker, i)
				if i%10 == 9 {
					c.Evaluate(context.Background(), reasoned("conflict"), &d)
					if d.Fault.Class != FaultTrap {
						t.Errorf("conflict: fault %+v, want a trap", d.Fault)
					}
					continue
				}
				c.Evaluate(context.Background(), reasoned(`builtin sprintf|%s|["`+word+`"]`), &d)
				if d.Message != `"`+word+`"` {
					t.Errorf("message %q, fault %+v; want %q", d.Message, d.Fault, word)
				}
			}
		})
	}
	all.Wait()
}

// TestOPAAllocations: a decision without builtins allocates nothing, one with a
// sprintf little, with words that are those of last time.
func TestOPAAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for reason, most := range map[string]float64{"allow": 0, "object": 0, "builtin trace": 3, `builtin sprintf|%s of %d|["a",7]`: 12} {
		p := regoCases()
		p.Limits.Instances = 1
		c := load(t, newEngine(t, EngineOptions{}), ChainSpec{Policies: []PolicySpec{p}})
		var d Decision
		f := reasoned(reason)
		c.Evaluate(context.Background(), f, &d)
		got := testing.AllocsPerRun(200, func() { c.Evaluate(context.Background(), f, &d) })
		if d.Fault.Class != FaultNone || got > most {
			t.Errorf("%s: %v allocations a decision, fault %+v; want at most %v", reason, got, d.Fault, most)
		}
	}
}

// TestRegoIsBuilt holds that every .wasm beside a .rego of testdata is what opa
// 1.22.2 makes of it: opa build -t wasm -e knock/verdict NAME.rego, in testdata,
// with the entrypoints below, and then policy.wasm of the bundle.
func TestRegoIsBuilt(t *testing.T) {
	tool, err := exec.LookPath("opa")
	if err != nil {
		t.Skip("opa is not installed; the .wasm files are taken as they are")
	}
	if out, err := exec.Command(tool, "version").Output(); err != nil || !bytes.Contains(out, []byte("Version: 1.22.2\n")) {
		t.Skipf("another version of opa: %.40s, err %v", out, err)
	}
	sources, err := filepath.Glob("testdata/*.rego")
	if err != nil || len(sources) < 4 {
		t.Fatalf("%d sources in testdata, err %v", len(sources), err)
	}
	for _, source := range sources {
		entries := []string{"-e", opaEntrypoint}
		switch filepath.Base(source) {
		case "rego_entrypoint.rego":
			entries = []string{"-e", "knock/answer"}
		case "rego_rules.rego":
			entries = append(entries, "-e", opaErrors)
		}
		bundle := filepath.Join(t.TempDir(), "bundle.tar.gz")
		args := append([]string{"build", "-t", "wasm", "-o", bundle}, entries...)
		build := exec.Command(tool, append(args, filepath.Base(source))...)
		build.Dir = "testdata"
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", source, err, out)
			continue
		}
		want, err := exec.Command("tar", "-xzOPf", bundle, "/policy.wasm").Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(strings.TrimSuffix(source, ".rego") + ".wasm")
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s: the .wasm beside it is another", source)
		}
	}
}
