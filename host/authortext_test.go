package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAuthorsErrors: what authors get wrong is told with what to do about it, by the
// commands that they meet it in.
func TestAuthorsErrors(t *testing.T) {
	dir, made := t.TempDir(), 0
	// policy makes a policy's folder of a module of the engine's tests, or of a stock
	// policy, and one file of fixtures.
	policy := func(module, fixtures string) string {
		t.Helper()
		made++
		at := filepath.Join(dir, fmt.Sprint(made))
		if err := os.MkdirAll(filepath.Join(at, "testdata"), 0o700); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join("..", module))
		if err != nil {
			t.Fatal(err)
		}
		for path, content := range map[string][]byte{filepath.Base(module): text, "testdata/a.json": []byte(fixtures)} {
			if err := os.WriteFile(filepath.Join(at, path), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return at
	}
	const one = `{"cases":[{"name":"a"}]}`
	for _, tt := range []struct {
		name   string
		folder string
		code   int
		want   []string
	}{
		{"another ABI", policy("plugins/testdata/abi_2.wasm", one), exitUnusable, []string{"knock_v2_decide", "this host knows knock_v1_decide", "build it with the SDK of this version"}},
		{"forgotten export", policy("plugins/testdata/no_buffer.wasm", one), exitUnusable, []string{"exports no function knock_v1_buffer of type (i32) -> i32", "export it as sdk/README.md says"}},
		{"a program", policy("plugins/testdata/program_exports.wasm", one), exitUnusable, []string{"built as a program", "Go: -buildmode=c-shared", "knockgate policy build"}},
		{"setting of the wrong type", policy("policies/reason_rules/reason_rules.wasm", `{"settings":{"min":"ten"},"cases":[{"name":"a"}]}`), exitFailed,
			[]string{"settings: got refused: min: must be a whole number, not \"ten\", want accepted"}},
		{"import that is not granted", policy("plugins/testdata/kv_counter.wasm", `{"grants":[],"cases":[{"name":"a"}]}`), exitUnusable,
			[]string{`"knock_v1.kv_incr", which needs the capability "kv"; grant it with grants = ["kv"]`}},
		{"fixture that fails", policy("plugins/testdata/allow.wasm", `{"cases":[{"name":"a","want":{"verdict":"deny"}}]}`), exitFailed,
			[]string{"FAIL a: a (a.json, cases[0])", "verdict: got allow, want deny", "Change the policy and build it again", "--update"}},
		{"fixture that is none", policy("plugins/testdata/allow.wasm", `{"cases":[{"name":"a","facts":{"reasn":"x"}}]}`), exitUnusable,
			[]string{"a.json: cases[0].facts.reasn: unknown key; there are avatar_url", "reason"}},
		{"fixture that wants nothing", policy("plugins/testdata/allow.wasm", one), exitFailed, []string{"want: got allow, want nothing is wanted yet; --update writes what comes out"}},
	} {
		out, errs, code := command("policy", "test", tt.folder)
		if code != tt.code {
			t.Errorf("%s: exit code %d, want %d", tt.name, code, tt.code)
		}
		for _, want := range tt.want {
			if !strings.Contains(out+errs, want) {
				t.Errorf("%s: it does not say %q:\n%s%s", tt.name, want, out, errs)
			}
		}
	}
}

// TestPolicyTestCommand: the table, --json, both engines, --update, and what is no input.
func TestPolicyTestCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one thing after the other, in processes of its own or in one goroutine")
	}
	dir := t.TempDir()
	fixtures := filepath.Join(dir, "testdata", "a.json")
	if err := os.Mkdir(filepath.Dir(fixtures), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "door.wasm"), doorShut, 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(fixtures, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	try := func(want int, says string, args ...string) string {
		t.Helper()
		out, errs, code := command(append([]string{"policy", "test"}, args...)...)
		if code != want || !strings.Contains(out+errs, says) {
			t.Errorf("test %q: exit code %d, want %d and %q:\n%s%s", args, code, want, says, out, errs)
		}
		return out
	}
	try(exitUnusable, "no fixtures", dir)
	write(`{"cases":[{"name":"a","want":{"verdict":"allow","message":"x"}},{"name":"b"}]}`)
	try(exitFailed, "0 ok, 2 failed", dir)
	try(exitOK, "a.json: 2 updated", "--update", dir)
	try(exitOK, "all fixtures hold", "--update", dir)
	out := try(exitOK, "interpreter: 2 ok, 0 failed", "--engine", "both", filepath.Join(dir, "door.wasm"))
	if !strings.Contains(out, "compiler: 2 ok, 0 failed") || !strings.Contains(out, "a: b") {
		t.Errorf("--engine both prints\n%s", out)
	}
	if text, err := os.ReadFile(fixtures); err != nil || !strings.Contains(string(text), `"message": "The door is shut for the night"`) {
		t.Errorf("after --update the file is %s, %v", text, err)
	}
	try(exitOK, `"engine": "compiler"`, "--json", dir)
	try(exitUnusable, "must be compiler, interpreter or both", "--engine", "jit", dir)
	try(exitUnusable, "isolation", "--isolation", "none", dir)
	try(exitUnusable, "nowhere", filepath.Join(dir, "nowhere"))
}

// TestPolicyBenchCommand: every knock, the floor, and how near it is to the limits.
func TestPolicyBenchCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one thing after the other, in processes of its own or in one goroutine")
	}
	path := filepath.Join(t.TempDir(), "door.wasm")
	if err := os.WriteFile(path, doorShut, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := command("policy", "bench", "--calls", "100", path)
	for _, want := range []string{"standard: make_knock", "standard: send_knock", "the floor", "most fuel", "of 200000 ticks", "of 32768 KiB", "of 16777216 bytes"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q in\n%s%s", code, want, out, errs)
		}
	}
	if out, errs, code = command("policy", "bench", "--json", "--calls", "1", path); code != exitOK || !strings.Contains(out, `"p99_ns"`) {
		t.Errorf("--json: exit code %d, %s%s", code, out, errs)
	}
	if _, errs, code = command("policy", "bench", "--calls", "0", path); code != exitUnusable || !strings.Contains(errs, "--calls 0") {
		t.Errorf("--calls 0: exit code %d, %s", code, errs)
	}
}
