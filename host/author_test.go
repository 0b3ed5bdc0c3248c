package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/author"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// writeAPolicy does what the README's section "Write a policy" says, block by block, in
// the folder of a running server with the sample configuration.
func writeAPolicy(t *testing.T, w *world, section string) {
	lobby := string(w.room("11", "knock"))
	p := w.peer()
	early := w.knock(p, "early", w.room("11", "knock"))
	early.Reason = "hello all"
	w.mustKnock(p, early, peer.Allowed)

	var said strings.Builder // by all commands since the last change
	begin := time.Now()
	swapped := func(change func()) {
		t.Helper()
		before := w.gate.Revision()
		change()
		waitFor(t, "the swap", func() bool { return w.gate.Revision() != before })
		said.Reset()
	}
	done := map[string]int{}
	for _, m := range regexp.MustCompile("(?ms)^```(sh|toml|go)\n(.*?)^```").FindAllStringSubmatch(section, -1) {
		language, text := m[1], m[2]
		done[language]++
		switch language {
		case "toml":
			swapped(func() { insert(t, "config.toml", "# Who may knock, by server.", text) })
		case "go":
			insert(t, "policies/my_rule/policy.go", "\t\treturn policy.Pass\n", text)
		case "sh":
			for line := range strings.Lines(text) {
				args := fields(strings.TrimPrefix(strings.TrimSpace(line), "go run ./host "))
				for i := range args {
					args[i] = strings.Replace(args[i], "!lobby-id:127.0.0.1:8448", lobby, 1)
				}
				run := func() {
					out, errs, code := command(args...)
					said.WriteString(out)
					// The knocks are refused, and the first of all would be today.
					if want := map[string]int{"knock": exitDenied, "replay": exitDenied}[args[0]]; code != want {
						t.Fatalf("%s: exit code %d, want %d\n%s%s", line, code, want, out, errs)
					}
				}
				if args[0] == "policy" && args[1] == "build" && done["toml"] > 0 {
					swapped(run)
				} else {
					run()
				}
			}
		}
		switch {
		case strings.Contains(text, "--user spammer"):
			if !strings.Contains(said.String(), "Another name, please.") {
				t.Errorf("the changed rule does not refuse in its own words:\n%s", &said)
			}
		case strings.Contains(text, "replay"):
			if !strings.Contains(said.String(), "allow -> deny") {
				t.Errorf("the replay does not say what would change:\n%s", &said)
			}
		case done["toml"] > 0 && strings.Contains(text, "hello all"):
			if !strings.Contains(said.String(), "Please say in 12 characters why you would like to join.") {
				t.Errorf("the new policy does not refuse in its own words:\n%s", &said)
			}
		}
	}
	if done["toml"] != 1 || done["go"] != 1 || done["sh"] < 4 {
		t.Errorf("the section has the blocks %v; this test knows 1 of toml, 1 of go and at least 4 of sh", done)
	}
	t.Logf("the machine's part: %s", time.Since(begin).Round(100*time.Millisecond))
}

// sampleWorld starts a resident server with the sample configuration.
func sampleWorld(t *testing.T) *world {
	t.Helper()
	sample, err := os.ReadFile("../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), log: &logBuffer{}}
	for _, name := range []string{"server_rules", "reason_rules"} {
		at := filepath.Join(w.dir, "policies", name)
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		module, err := os.ReadFile(filepath.Join("..", "policies", name, name+".wasm"))
		if err == nil {
			err = os.WriteFile(filepath.Join(at, name+".wasm"), module, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.start(func(address string) string {
		return strings.NewReplacer("127.0.0.1:8448", address, "127.0.0.1:9448", freeAddress(t)).Replace(string(sample))
	})
	return w
}

// insert puts text into a file before the line that begins with mark.
func insert(t testing.TB, path, mark, text string) {
	t.Helper()
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(old), mark) != 1 {
		t.Fatalf("%s has %q %d times", path, mark, strings.Count(string(old), mark))
	}
	if err := replaceFile(path, []byte(strings.Replace(string(old), mark, text+mark, 1))); err != nil {
		t.Fatal(err)
	}
}

// TestPolicyNewBuildTest: in every language whose toolchain is there, a new policy
// builds offline, is annotated, passes its tests as it is, and put in the place of another
// refuses a knock on a running server.
func TestPolicyNewBuildTest(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds policies")
	}
	t.Setenv("GOPROXY", "off")
	t.Setenv("CARGO_NET_OFFLINE", "true")
	w := newWorld(t, "[policies]\ndefault = \"allow\"\n[[policy]]\nname = \"mine\"\nmodule = \"my_rule.wasm\"\n", map[string][]byte{"my_rule.wasm": doorOpen})
	p, room := w.peer(), w.room("11", "knock")
	for _, language := range author.Languages() {
		t.Run(language, func(t *testing.T) {
			begin := time.Now()
			dir := filepath.Join(t.TempDir(), "some", "my_rule")
			out, errs, code := command("policy", "new", dir, "--lang", language)
			if code != exitOK || !strings.Contains(out, "policy build "+dir) {
				t.Fatalf("new: exit code %d, %s%s", code, out, errs)
			}
			if modules, err := filepath.Abs("../sdk/assemblyscript/node_modules"); err != nil {
				t.Fatal(err)
			} else if _, err := os.Stat(modules); err == nil && language == "assemblyscript" {
				if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
					t.Fatal(err)
				}
			}
			out, errs, code = command("policy", "build", dir)
			if code == exitUnusable {
				if !strings.Contains(errs, "nstall") {
					t.Fatalf("build does not say how to install what is missing: %s", errs)
				}
				t.Skip(errs)
			}
			if code != exitOK || !strings.Contains(out, "digest") || !strings.Contains(out, "my_rule.wasm") {
				t.Fatalf("build: exit code %d, %s%s", code, out, errs)
			}
			if out, errs, code = command("policy", "test", "--engine", "both", dir); code != exitOK || strings.Count(out, "0 failed") != 2 {
				t.Fatalf("test: exit code %d, %s%s", code, out, errs)
			}
			if out, errs, code = command("policy", "inspect", filepath.Join(dir, "my_rule.wasm")); code != exitOK || !strings.Contains(out, "a whole number from 0 to 500") {
				t.Errorf("inspect: exit code %d, %s%s", code, out, errs)
			}
			module, err := os.ReadFile(filepath.Join(dir, "my_rule.wasm"))
			if err != nil {
				t.Fatal(err)
			}
			before := w.gate.Revision()
			if err := replaceFile(filepath.Join(w.dir, "policies", "my_rule.wasm"), module); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the swap", func() bool { return w.gate.Revision() != before })
			k := w.knock(p, language, room)
			k.Reason = "hi"
			if words := lastWords(w.mustKnock(p, k, peer.Denied)); words != "Please say in 10 characters why you would like to join." {
				t.Errorf("a knock is refused with %q", words)
			}
			t.Logf("from policy new to a changed verdict: %s", time.Since(begin).Round(100*time.Millisecond))
		})
	}
}

// TestPolicyNewRefuses: what is there is left alone, and a failure leaves nothing.
func TestPolicyNewRefuses(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{full}, "there is something in it already"},
		{[]string{filepath.Join(dir, "file")}, "not a directory"},
		{[]string{filepath.Join(dir, "file", "x")}, "not a directory"},
		{[]string{filepath.Join(dir, "My Rule")}, `the name "My Rule": it must be`},
		{[]string{filepath.Join(dir, "test")}, `the name "test"`},
		{[]string{filepath.Join(dir, "a"), "--lang", "cobol"}, `the language "cobol" is none of go, rust, assemblyscript, c, rego`},
	} {
		if out, errs, code := command(append([]string{"policy", "new"}, tt.args...)...); code != exitFailed || !strings.Contains(errs, tt.want) || out != "" {
			t.Errorf("new %q: exit code %d, %s%s; want %q", tt.args, code, out, errs, tt.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%v, %v are left; want what was there", left, err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := command("policy", "new", empty); code != exitOK {
		t.Errorf("an empty folder: exit code %d, %s; want it used", code, errs)
	}
}

// TestPolicyBuildRefuses: no source, a compiler that refuses, and a module that a host
// would refuse are told apart, and no module is left where none was made.
func TestPolicyBuildRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds policies")
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Dir(at)
	}
	none := write("none/README.md", "nothing")
	broken := write("broken/main.go", "package main\n\nfunc main() { nonsense }\n")
	write("broken/go.mod", "module broken\n\ngo 1.26\n")
	empty := write("empty/main.go", "package main\n\nfunc main() {}\n")
	write("empty/go.mod", "module empty\n\ngo 1.26\n")
	for _, tt := range []struct {
		dir  string
		code int
		want []string
	}{
		{none, exitUnusable, []string{none, "no source of a policy is there", "go.mod", "Cargo.toml"}},
		{filepath.Join(dir, "nowhere"), exitUnusable, []string{"nowhere"}},
		{broken, exitFailed, []string{"undefined: nonsense", "go ended with exit code 1; what it said is above"}},
		{empty, exitFailed, []string{"empty.wasm: a host refuses it: exports: exports no function knock_v1_decide"}},
	} {
		out, errs, code := command("policy", "build", tt.dir)
		if code != tt.code {
			t.Errorf("%s: exit code %d, want %d: %s%s", tt.dir, code, tt.code, out, errs)
		}
		for _, want := range tt.want {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: it says %q, want %q", tt.dir, errs, want)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(broken, "broken.wasm")); err == nil {
		t.Error("a build that failed left a module")
	}
	t.Setenv("PATH", "")
	if _, errs, code := command("policy", "build", empty); code != exitUnusable || !strings.Contains(errs, "go is not installed. Install Go 1.26 or later: https://go.dev/doc/install") {
		t.Errorf("without Go: exit code %d, %s; want how to install it", code, errs)
	}
}
