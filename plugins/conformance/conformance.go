// Package conformance holds what a policy SDK makes to one table, whatever the
// language. Each SDK has a probe: a policy whose settings say what it does, such as
// {"op":"echo","field":"reason"}. The table is here alone; README.md of this folder
// says what a probe must know.
package conformance

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Run holds a probe to the whole table, on wazero's compiler and on its
// interpreter, and fails t for each row that it answers otherwise. A probe for OPA's
// ABI is not asked what that ABI has nothing for; each such row says why.
func Run(t *testing.T, wasm []byte) {
	opa := isOPA(wasm)
	for _, interpreter := range []bool{false, true} {
		name := "compiler"
		if interpreter {
			name = "interpreter"
		}
		t.Run(name, func(t *testing.T) {
			runRows(t, wasm, opa, interpreter)
			if !opa {
				t.Run("frames", func(t *testing.T) { runFrames(t, wasm, interpreter) })
				t.Run("malformed settings", func(t *testing.T) { runMalformed(t, wasm, interpreter) })
			}
		})
	}
}

func isOPA(wasm []byte) bool {
	for _, export := range plugins.Inspect(wasm).Exports {
		if strings.HasPrefix(export, "opa_eval ") {
			return true
		}
	}
	return false
}

// row is one line of the table. Its steps are decisions of one policy, which keeps
// its values from one to the next.
type row struct {
	name  string
	steps []step
	// noRego says why a probe in Rego cannot be asked; "" if it is.
	noRego string
}

type step struct {
	settings string
	facts    *abi.Facts // nil: the facts of a plain knock
	want     answer
}

// answer is what a step comes to.
type answer struct {
	Verdict             abi.Verdict
	Message, Note, Code string
	Detail              string // with its keys in order
	Fault               plugins.FaultClass
	FaultText           string   // part of the fault's text
	Log                 string   // part of the log
	Refused             []string // "path: message" of each setting that is wrong, sorted
}

func runRows(t *testing.T, wasm []byte, opa, interpreter bool) {
	var log buffer
	values := &store{values: map[string]value{}}
	engine, err := plugins.NewEngine(plugins.EngineOptions{
		Interpreter: interpreter, KV: values, Lists: lists{},
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		// What a probe takes of a busy machine's time is no matter here.
		Limits: plugins.Limits{Wait: time.Minute, Instances: 1, Fuel: plugins.MaxFuel},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	spec := plugins.PolicySpec{Name: "probe", Bytes: wasm}
	if !opa {
		spec.Grants = []string{"kv", "lists"}
	}
	// While it is held, the compiled code is.
	held, err := engine.Load(context.Background(), plugins.ChainSpec{Policies: []plugins.PolicySpec{spec}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	asked := 0
	for _, r := range rows() {
		if opa && r.noRego != "" {
			continue
		}
		asked++
		clear(values.values)
		for i, s := range r.steps {
			log.Take()
			spec.Settings = []byte(s.settings)
			got := ask(engine, spec, s.facts)
			if !strings.Contains(got.FaultText, s.want.FaultText) {
				t.Errorf("%s, step %d: the fault says %q, want %q in it", r.name, i, got.FaultText, s.want.FaultText)
			}
			if logged := log.Take(); !strings.Contains(logged, s.want.Log) {
				t.Errorf("%s, step %d: the log is %q, want %q in it", r.name, i, logged, s.want.Log)
			}
			got.FaultText, got.Log = s.want.FaultText, s.want.Log
			if diff := cmp.Diff(s.want, got); diff != "" {
				t.Errorf("%s, step %d, settings %.200s: want (-), got (+):\n%s", r.name, i, s.settings, diff)
			}
		}
	}
	if asked < 40 {
		t.Errorf("%d rows were asked; this test would say little", asked)
	}
	if !opa {
		checkRandom(t, engine, spec)
		if !interpreter { // where it takes long and says the same
			checkMemory(t, engine, spec)
		}
	}
}

// checkRandom: random bytes follow from the request, and are as many as were asked for.
func checkRandom(t *testing.T, engine *plugins.Engine, spec plugins.PolicySpec) {
	spec.Settings = []byte(settings("op=", "random", "number", "16"))
	other := knock()
	other.RequestID = "req-2"
	first, again, second := ask(engine, spec, nil), ask(engine, spec, nil), ask(engine, spec, other)
	if bytes, err := hex.DecodeString(first.Note); err != nil || len(bytes) != 16 || first.Note == strings.Repeat("00", 16) {
		t.Errorf("random: %+v, want 16 bytes in hex", first)
	}
	if !cmp.Equal(first, again) || first.Note == second.Note {
		t.Errorf("random: %q and then %q for one request, %q for another", first.Note, again.Note, second.Note)
	}
}

// checkMemory: an instance takes no more memory for its decisions as they go on. The
// host replaces one that has grown, at the latest when little is left.
func checkMemory(t *testing.T, engine *plugins.Engine, spec plugins.PolicySpec) {
	spec.Settings = []byte(settings("op=", "echo", "field=", "reason"))
	f := knock()
	f.Reason = abi.Some(strings.Repeat("é", 2000))
	// 3,000 decisions of 4 KB that are not given back are more than this. Go's runtime
	// settles at 7 to 8 MiB.
	spec.Limits.MemoryPages = 160
	chain, err := engine.Load(context.Background(), plugins.ChainSpec{Policies: []plugins.PolicySpec{spec}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Release()
	before := engine.Stats()
	var d plugins.Decision
	for range 3000 {
		if chain.Evaluate(context.Background(), f, &d); d.Fault.Class != plugins.FaultNone {
			t.Fatalf("fault %+v", d.Fault)
		}
	}
	if n := engine.Stats().Recycled - before.Recycled; n > 0 {
		t.Errorf("%d instances were replaced within 3,000 decisions; what they take is not given back", n)
	}
}

// moreFaults is how the last entry ends if not all faults fit a result.
const moreFaults = " more settings are wrong"

// ask loads the policy and has it judge one knock.
func ask(engine *plugins.Engine, spec plugins.PolicySpec, facts *abi.Facts) (a answer) {
	chain, err := engine.Load(context.Background(), plugins.ChainSpec{Policies: []plugins.PolicySpec{spec}}, nil)
	if err != nil {
		var refused *plugins.SettingsError
		if !errors.As(err, &refused) {
			a.Refused = []string{err.Error()}
			return a
		}
		if last := refused.Errors[len(refused.Errors)-1]; strings.HasSuffix(last.Message, moreFaults) {
			more, _ := strconv.Atoi(strings.TrimSuffix(last.Message, moreFaults))
			a.Refused = []string{fmt.Sprintf("%d faults", len(refused.Errors)-1+more)}
			return a
		}
		for _, e := range refused.Errors {
			a.Refused = append(a.Refused, e.Path+": "+e.Message)
		}
		slices.Sort(a.Refused)
		return a
	}
	defer chain.Release()
	if facts == nil {
		facts = knock()
	}
	var d plugins.Decision
	chain.Evaluate(context.Background(), facts, &d)
	step := d.Steps[0]
	a = answer{Verdict: step.Verdict, Message: d.Message, Note: d.Note, Code: d.Code, Detail: sorted(d.Detail),
		Fault: step.Fault.Class, FaultText: step.Fault.Text}
	return a
}

// sorted returns a JSON object with its keys in order.
func sorted(object []byte) string {
	if len(object) == 0 {
		return ""
	}
	var v map[string]any
	if err := json.Unmarshal(object, &v); err != nil {
		return err.Error()
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// knock returns the facts of a plain knock.
func knock() *abi.Facts {
	return &abi.Facts{
		Phase: abi.SendKnock, RoomID: "!room:here.example", RoomVersion: "11",
		UserID: "@alice:peer.example:8448", UserLocalpart: "alice", UserServer: "peer.example",
		Origin: "peer.example:8448", Reason: abi.Some("Grüße, “let me in” \\ 🚪"), Displayname: abi.Some(""),
		ContentHashOK: true, Event: []byte(`{"type":"m.room.member"}`), RequestID: "req-1", NowMS: 1_700_000_000_123,
		Room: abi.RoomFacts{Known: true, JoinRule: abi.Some("knock"), Topic: abi.Some("All & sundry"), Members: 1 << 40, AgeMS: 7},
	}
}

// asking returns the facts of a make_knock.
func asking(versions ...string) *abi.Facts {
	f := knock()
	f.Phase, f.SupportedVersions, f.ContentHashOK = abi.MakeKnock, versions, false
	f.Reason, f.Displayname, f.Event = abi.Text{}, abi.Text{}, nil
	return f
}

// settings makes the JSON of settings from pairs of a key and the JSON of its value
// or, with a key that ends with "=", its text.
func settings(pairs ...string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		key, text := strings.CutSuffix(pairs[i], "=")
		value := pairs[i+1]
		if text {
			value = quoted(value)
		}
		fmt.Fprintf(&b, "%s:%s", quoted(key), value)
	}
	b.WriteByte('}')
	return b.String()
}

// buffer is a log that the engine's goroutines write.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// Take returns what was written since it was last called.
func (b *buffer) Take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.buf.Reset()
	return b.buf.String()
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
