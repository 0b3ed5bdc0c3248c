package plugins

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/sdk/abi"
)

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	allow, err := os.ReadFile(testModule("allow"))
	if err != nil {
		t.Fatal(err)
	}
	short := Limits{StartFuel: 300_000, ConfigureFuel: 200_000}
	tests := []struct {
		name  string
		spec  PolicySpec
		stage Stage
		want  []string
	}{
		{"no name", PolicySpec{Module: testModule("allow")}, StageSpec, []string{"name"}},
		{"on_error incompatible", PolicySpec{Name: "p", OnError: abi.Incompatible}, StageSpec, []string{"on_error", "incompatible"}},
		{"phase 3", PolicySpec{Name: "p", Phases: []abi.Phase{3}}, StageSpec, []string{"phase 3"}},
		{"empty glob", PolicySpec{Name: "p", Rooms: []string{""}}, StageSpec, []string{`glob ""`}},
		{"settings are an array", PolicySpec{Name: "p", Settings: []byte(`[1]`)}, StageSpec, []string{"no JSON object"}},
		{"settings are half an object", PolicySpec{Name: "p", Settings: []byte(`{"a":`)}, StageSpec, []string{"no JSON object"}},
		{"settings too large", PolicySpec{Name: "p", Settings: bytes.Repeat([]byte{' '}, abi.MaxSettings+1)}, StageSpec, []string{"at most 131072"}},
		{"memory limit past 32 bits", PolicySpec{Name: "p", Limits: Limits{MemoryPages: 65536}}, StageSpec, []string{"65535 pages"}},
		{"too much fuel", PolicySpec{Name: "p", Limits: Limits{Fuel: MaxFuel + 1}}, StageSpec, []string{"fuel is 0 to 5000000"}},
		{"isolation of no kind", PolicySpec{Name: "p", Limits: Limits{Isolation: "none"}}, StageSpec, []string{"reuse, reset or fresh"}},
		{"mode", PolicySpec{Name: "p", Mode: "watch"}, StageSpec, []string{`mode "watch"`, "monitor"}},
		{"digest of another kind", PolicySpec{Name: "p", Digest: "md5:00"}, StageSpec, []string{"md5:00", "sha256:"}},
		{"another module than pinned", PolicySpec{Name: "p", Module: testModule("allow"), Digest: "sha256:" + strings.Repeat("0", 64)}, StageDigest,
			[]string{"allow.wasm", "sha256:" + digest(allow), "pinned is sha256:" + strings.Repeat("0", 64)}},
		{"missing file", PolicySpec{Name: "p", Module: filepath.Join(dir, "gone.wasm")}, StageRead, []string{"gone.wasm", "correct the path"}},
		{"a folder", PolicySpec{Name: "p", Module: dir}, StageRead, []string{"not a file"}},
		{"too large", PolicySpec{Name: "p", Module: file("big.wasm", make([]byte, MaxModule+1))}, StageSize, []string{"big.wasm", "16 MiB"}},
		{"text", PolicySpec{Name: "p", Module: file("x.wasm", []byte("hello, world"))}, StageScan,
			[]string{`x.wasm: not a WebAssembly module (it starts with "hello, world")`}},
		{"empty", PolicySpec{Name: "p", Module: file("empty.wasm", nil)}, StageScan, []string{"not a WebAssembly module"}},
		{"text format", PolicySpec{Name: "p", Module: filepath.Join("testdata", "allow.wat")}, StageScan, []string{";; Allows"}},
		{"component", PolicySpec{Name: "p", Bytes: []byte("\x00asm\x0d\x00\x01\x00")}, StageScan, []string{"component"}},
		{"cut short", PolicySpec{Name: "p", Bytes: allow[:len(allow)-5]}, StageScan, []string{"not a valid module"}},
		{"import not granted", policyOf("unknown_import"), StageImports, []string{`"env.abort"`, "not granted", "knock_v1"}},
		{"WASI function not granted", policyOf("unknown_wasi"), StageImports, []string{`"wasi_snapshot_preview1.path_open"`, "not granted"}},
		{"import of another type", policyOf("import_type"), StageImports, []string{`"knock_v1.now_ms" as () -> i32`, "() -> i64"}},
		{"memory imported", policyOf("import_memory"), StageImports, []string{`memory "env.memory"`}},
		{"no buffer", policyOf("no_buffer"), StageExports, []string{"no function knock_v1_buffer", "(i32) -> i32", "SDK", "sdk/README.md"}},
		{"no memory", policyOf("no_memory"), StageExports, []string{`no memory named "memory"`}},
		{"decide of another type", policyOf("wrong_types"), StageExports, []string{"knock_v1_decide as (i32) -> i32", "must be (i32) -> i64"}},
		{"decide is a global", policyOf("wrong_kind"), StageExports, []string{"knock_v1_decide as a global"}},
		{"a program with the exports", policyOf("program_exports"), StageExports, []string{"exports _start but no _initialize", "-buildmode=c-shared"}},
		{"a program", policyOf("program"), StageExports, []string{"_start", "-buildmode=c-shared"}},
		{"another ABI", policyOf("abi_2"), StageExports, []string{`built for another ABI: exports "knock_v2_decide"`}},
		{"memory over its limit", policyOf("memory_large"), StageExports, []string{"16384 pages", "limit is 512"}},
		{"body does not validate", policyOf("invalid_body"), StageCompile, []string{"invalid_body.wasm: not a valid module"}},
		{"start section does not end", PolicySpec{Name: "p", Module: testModule("start_loop"), Limits: short}, StageInstantiate, []string{"used up its 300000 ticks"}},
		{"_initialize does not end", PolicySpec{Name: "p", Module: testModule("initialize_loop"), Limits: short}, StageInstantiate, []string{"_initialize: used up its 300000 ticks"}},
		{"exits at start", policyOf("exits_at_start"), StageInstantiate, []string{"exits while it starts"}},
		{"buffer refused", policyOf("buffer_refused"), StageInstantiate, []string{"no room for 262144 bytes"}},
		{"buffer outside memory", policyOf("buffer_outside"), StageInstantiate, []string{"outside its memory of 262144"}},
		{"configure does not end", PolicySpec{Name: "p", Module: testModule("configure_loop"), Limits: short}, StageConfigure, []string{"knock_v1_configure: used up its 200000 ticks"}},
		{"settings refused", PolicySpec{Name: "p", Module: testModule("refuses_settings"), Settings: []byte(`{"rules":[]}`)}, StageConfigure,
			[]string{"rules[0].min: must be a number", "; no rule is left"}},
		{"refusal is no object", policyOf("bad_refusal"), StageConfigure, []string{"no JSON object"}},
		{"settings for one that takes none", PolicySpec{Name: "p", Module: testModule("allow"), Settings: []byte(`{"a":1}`)}, StageConfigure,
			[]string{"takes no settings"}},
	}
	for _, interpreter := range []bool{false, true} {
		e := newEngine(t, EngineOptions{Interpreter: interpreter})
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{policyOf("allow"), tt.spec}}, nil)
				if c != nil {
					c.Release()
				}
				failure, ok := errors.AsType[*LoadError](err)
				if !ok {
					t.Fatalf("Load = %v, want a *LoadError", err)
				}
				if failure.Stage != tt.stage || failure.Policy != tt.spec.Name {
					t.Errorf("Load fails at %s of policy %q, want %s of %q: %v", failure.Stage, failure.Policy, tt.stage, tt.spec.Name, err)
				}
				for _, part := range tt.want {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the error does not say %q: %v", part, err)
					}
				}
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("the error is more than a line: %v", err)
				}
				if s := e.Stats(); s.Policies != 0 || s.Instances != 0 {
					t.Errorf("%d policies and %d instances are left, want none", s.Policies, s.Instances)
				}
			})
		}
	}
}

func TestLoadChainErrors(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	for name, spec := range map[string]ChainSpec{
		"default pass":  {Default: abi.Pass},
		"name twice":    {Policies: []PolicySpec{policyOf("allow"), policyOf("allow")}},
		"too many":      {Policies: make([]PolicySpec, MaxPolicies+1)},
		"default error": {Default: abi.Error},
	} {
		c, err := e.Load(context.Background(), spec, nil)
		if failure, ok := errors.AsType[*LoadError](err); !ok || failure.Stage != StageSpec || c != nil {
			t.Errorf("%s: Load = %v, %v, want an error at %s", name, c, err, StageSpec)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Load(ctx, ChainSpec{Policies: []PolicySpec{policyOf("allow")}}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with an ended context = %v, want context.Canceled", err)
	}
}

func TestSettingsError(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	_, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{policyOf("refuses_settings")}}, nil)
	refused, ok := errors.AsType[*SettingsError](err)
	if !ok {
		t.Fatalf("Load = %v, want a *SettingsError", err)
	}
	want := []SettingError{{"rules[0].min", "must be a number"}, {"", "no rule is left"}}
	if diff := cmp.Diff(want, refused.Errors); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestRevision(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	base := func() ChainSpec {
		return ChainSpec{Policies: []PolicySpec{says("a", `{"verdict":"allow"}`), policyOf("pass")}}
	}
	first := load(t, e, base()).Revision()
	if len(first) != 64 || strings.Trim(first, "0123456789abcdef") != "" {
		t.Fatalf("revision %q is no hex SHA-256", first)
	}
	if again := load(t, e, base()).Revision(); again != first {
		t.Errorf("the same chain has revision %s and then %s", first, again)
	}
	explicit := base()
	module, err := os.ReadFile(explicit.Policies[0].Module)
	if err != nil {
		t.Fatal(err)
	}
	explicit.Policies[0].Digest, explicit.Policies[0].Mode = "sha256:"+digest(module), Enforce
	explicit.Default, explicit.Policies[0].OnError, explicit.Policies[0].Limits.MemoryPages = abi.Deny, abi.Deny, 512
	if again := load(t, e, explicit).Revision(); again != first {
		t.Errorf("defaults written out change the revision")
	}
	seen := map[string]string{first: "nothing"}
	for name, change := range map[string]func(*ChainSpec){
		"default":   func(s *ChainSpec) { s.Default = abi.Allow },
		"order":     func(s *ChainSpec) { s.Policies[0], s.Policies[1] = s.Policies[1], s.Policies[0] },
		"fewer":     func(s *ChainSpec) { s.Policies = s.Policies[:1] },
		"settings":  func(s *ChainSpec) { s.Policies[0].Settings = []byte(`{"verdict":"deny"}`) },
		"on_error":  func(s *ChainSpec) { s.Policies[0].OnError = abi.Pass },
		"phases":    func(s *ChainSpec) { s.Policies[0].Phases = []abi.Phase{abi.MakeKnock} },
		"rooms":     func(s *ChainSpec) { s.Policies[0].Rooms = []string{"!a*"} },
		"origins":   func(s *ChainSpec) { s.Policies[0].Origins = []string{"!a*"} },
		"name":      func(s *ChainSpec) { s.Policies[0].Name = "b" },
		"module":    func(s *ChainSpec) { s.Policies[1].Module = testModule("allow") },
		"memory":    func(s *ChainSpec) { s.Policies[1].Limits.MemoryPages = 100 },
		"fuel":      func(s *ChainSpec) { s.Policies[1].Limits.Fuel = 100_000 },
		"isolation": func(s *ChainSpec) { s.Policies[1].Limits.Isolation = IsolationFresh },
		"mode":      func(s *ChainSpec) { s.Policies[0].Mode = Monitor },
		"faults":    func(s *ChainSpec) { s.Policies[0].Limits.Faults = 3 },
		"window":    func(s *ChainSpec) { s.Policies[0].Limits.FaultWindow = time.Hour },
	} {
		spec := base()
		change(&spec)
		r := load(t, e, spec).Revision()
		if same, ok := seen[r]; ok {
			t.Errorf("changing %s gives the revision of changing %s", name, same)
		}
		seen[r] = name
	}
}

func TestUnchangedPolicyKeepsItsPool(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	spec := ChainSpec{Policies: []PolicySpec{says("a", `{"verdict":"pass"}`), policyOf("allow")}}
	first := load(t, e, spec)
	spec.Policies[0].Settings = []byte(`{"verdict":"deny"}`)
	second, err := e.Load(context.Background(), spec, first)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Stats(); got.Policies != 3 || got.Started != 3 {
		t.Errorf("%d policies, %d instances made; want 3 and 3: the second is shared", got.Policies, got.Started)
	}
	if first.policies[1] != second.policies[1] || first.policies[0] == second.policies[0] {
		t.Error("the wrong policy is shared")
	}
	second.Release()
	var d Decision
	first.Evaluate(context.Background(), knockFacts(), &d)
	if d.Verdict != abi.Allow || e.Stats().Policies != 2 {
		t.Errorf("after the other chain's release: verdict %s (%+v), %d policies", d.Verdict, d.Fault, e.Stats().Policies)
	}
}

func TestCacheDir(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, part := range map[string]string{link: "symbolic link", open: "0750", file: "not a directory"} {
		if _, err := NewEngine(EngineOptions{CacheDir: path}); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("NewEngine with the cache %s = %v, want an error with %q", path, err, part)
		}
	}
	fresh := filepath.Join(dir, "state", "cache")
	for range 2 {
		e := newEngine(t, EngineOptions{CacheDir: fresh})
		load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("allow")}})
	}
	if entries, err := os.ReadDir(fresh); err != nil || len(entries) == 0 {
		t.Errorf("the cache has %d entries, err %v", len(entries), err)
	}
}
