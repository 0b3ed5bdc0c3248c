package policytest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// guest returns the path of a module of the engine's tests.
func guest(name string) string {
	return filepath.Join("..", "..", "..", "plugins", "testdata", name+".wasm")
}

// runText runs the fixtures of one text.
func runText(t *testing.T, module, text string) (*File, *Report) {
	t.Helper()
	f, err := parse("x.json", []byte(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	r, err := Run(t.Context(), module, []*File{f}, Options{})
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return f, r
}

// TestSteps: the steps of a case are one after the other in time, with what the policy
// remembers of them; the next case begins anew. kv_counter allows two knocks a minute.
func TestSteps(t *testing.T) {
	_, r := runText(t, guest("kv_counter"), `{"cases":[
		{"name":"a","steps":[
			{"times":2,"want":{"verdict":"allow"}},
			{"want":{"verdict":"deny"}},
			{"name":"just before","after":"59999ms","want":{"verdict":"deny"}},
			{"name":"over","after":"1ms","want":{"verdict":"allow"}}]},
		{"name":"anew","want":{"verdict":"allow"}},
		{"name":"preset","kv":{"knocks":2},"want":{"verdict":"deny"}},
		{"name":"hex","kv":{"knocks":{"hex":"0100000000000000"}},"steps":[{"want":{"verdict":"allow"}},{"want":{"verdict":"deny"}}]},
		{"name":"too often","steps":[{"times":3,"want":{"verdict":"allow"}}]}]}`)
	var got []string
	for _, x := range r.Results {
		got = append(got, x.Name+" = "+x.Got.Verdict)
	}
	want := []string{"a: step 1 = allow", "a: step 2 = deny", "a: just before = deny", "a: over = allow", "anew = allow", "preset = deny",
		"hex: step 1 = allow", "hex: step 2 = deny", "too often: step 1, time 3 of 3 = deny"}
	if diff := cmp.Diff(want, got); diff != "" || r.Failed() != 1 {
		t.Errorf("%d failed, want 1 (-want +got):\n%s", r.Failed(), diff)
	}
}

// TestHostResults: lists and the clock are as the fixture says. host_calls calls what
// the lines of the reason name.
func TestHostResults(t *testing.T) {
	one, none, absent := strings.Repeat("0", 15)+"1", strings.Repeat("0", 16), strings.Repeat("f", 16)
	text := `{"lists":{"bad":["evil.example",".sub.example"]},"cases":[
		{"name":"exact","facts":{"reason":"lbad|EVIL.example"},"want":{"verdict":"allow","note":"` + one + `"}},
		{"name":"suffix","facts":{"reason":"lbad|a.sub.example"},"want":{"verdict":"allow","note":"` + one + `"}},
		{"name":"not there","facts":{"reason":"lbad|good.example"},"want":{"verdict":"allow","note":"` + none + `"}},
		{"name":"no such list","facts":{"reason":"lworse|evil.example"},"want":{"verdict":"allow","note":"` + absent + `"}},
		{"name":"of the case","lists":{"worse":["x"],"bad":[]},"facts":{"reason":"lworse|x\nlbad|evil.example"},"want":{"verdict":"allow","note":"` + one + none + `"}},
		{"name":"clock","facts":{"reason":"n","now_ms":16},"want":{"verdict":"allow","note":"0000000000000010"}}]}`
	_, r := runText(t, guest("host_calls"), text)
	for _, x := range r.Results {
		for _, d := range x.Differences {
			t.Errorf("%s: %s: got %s, want %s", x.Name, d.What, d.Got, d.Want)
		}
	}
}

// TestDifferences: each thing that is not as wanted is told, and nothing else.
func TestDifferences(t *testing.T) {
	for _, tt := range []struct {
		module, want string
		differ       []string
	}{
		{"pass", `{"verdict":"pass"}`, nil},
		{"pass", `{"verdict":"pass","fuel":1}`, nil},
		{"pass", `{"verdict":"pass","fuel":0}`, []string{"fuel: got 1 ticks, want at most 0"}},
		{"pass", `{"verdict":"deny"}`, []string{"verdict: got pass, want deny"}},
		{"deny_message", `{"verdict":"deny"}`, nil},
		{"deny_message", `{"verdict":"deny","message":"x","code":"y","note":"z"}`, []string{"message: got", "code: got", "note: got"}},
		{"loop", `{"verdict":"error","fault":"exhausted"}`, nil},
		{"loop", `{"verdict":"error","fault":"trap"}`, []string{`fault: got "exhausted", want "trap"`}},
		{"loop", `{"verdict":"deny"}`, []string{"verdict: got error (fault exhausted: "}},
		{"trap", `{"verdict":"error","fault":"trap"}`, nil},
	} {
		_, r := runText(t, guest(tt.module), `{"cases":[{"want":`+tt.want+`}]}`)
		got := r.Results[0].Differences
		ok := len(got) == len(tt.differ)
		for i := 0; ok && i < len(got); i++ {
			ok = strings.HasPrefix(fmt.Sprintf("%s: got %s, want %s", got[i].What, got[i].Got, got[i].Want), tt.differ[i])
		}
		if !ok {
			t.Errorf("%s, want %s: got %q, want %q", tt.module, tt.want, got, tt.differ)
		}
	}
	_, r := runText(t, guest("pass"), `{"cases":[{"name":"new"}]}`)
	if d := r.Results[0].Differences; len(d) != 1 || d[0].What != "want" || !strings.Contains(d[0].Want, "--update") {
		t.Errorf("a fixture that wants nothing: %q, want it to fail and to say what to do", d)
	}
}

// TestRefusal: settings that must be refused are held to the faults that are told.
func TestRefusal(t *testing.T) {
	const stock = "../../../policies/server_rules/server_rules.wasm"
	for _, tt := range []struct{ module, text, differ string }{
		{stock, `{"settings":{"defualt":"deny"},"refused":[{"path":"defualt","says":""}]}`, ""},
		{stock, `{"settings":{"default":5},"refused":[{"path":"rules","says":""}]}`, "fault"},
		{stock, `{"settings":{},"refused":[{"path":"rules","says":""}]}`, "settings"},
		{stock, `{"settings":{"default":5},"cases":[{"want":{"verdict":"pass"}}]}`, "settings"},
		{guest("pass"), `{"settings":{"a":1},"refused":[{"path":"","says":"takes no settings"}]}`, ""},
		{guest("refuses_settings"), `{"refused":[{"path":"rules[0].min","says":"a number"},{"path":"","says":"no rule"}]}`, ""},
		{guest("refuses_settings"), `{"refused":[{"path":"rules[0].min","says":"a text"},{"path":"","says":"no rule"}]}`, "fault"},
		{guest("refuses_settings"), `{"refused":[{"path":"rules[0].min","says":"a number"}]}`, "faults"},
	} {
		_, r := runText(t, tt.module, tt.text)
		got := ""
		if d := r.Results[0].Differences; len(d) > 0 {
			got = d[0].What
		}
		if got != tt.differ {
			t.Errorf("%s, %s: got %+v, want the difference %q", tt.module, tt.text, r.Results[0].Differences, tt.differ)
		}
	}
}

// TestUnusable: a module that no host takes, and grants that it lacks, are errors and
// no failed fixtures.
func TestUnusable(t *testing.T) {
	for _, tt := range []struct{ module, text, want string }{
		{guest("abi_2"), `{"cases":[{}]}`, "built for another ABI"},
		{guest("program"), `{"cases":[{}]}`, "build a reactor"},
		{guest("kv_counter"), `{"grants":[],"cases":[{}]}`, `grant it with grants = ["kv"]`},
		{guest("kv_counter"), `{"grants":["net"],"cases":[{}]}`, `the grant "net"; there are ["kv" "lists"]`},
		{"none.wasm", `{"cases":[{}]}`, "none.wasm"},
		{"fixture.go", `{"cases":[{}]}`, "not a WebAssembly module"},
		{guest("pass"), `{"fuel":99999999,"cases":[{}]}`, "fuel"},
		{guest("pass"), `{"kv":{"` + strings.Repeat("k", 600) + `":1},"cases":[{}]}`, "a key is 1 to 512 bytes"},
		{guest("pass"), `{"lists":{"a":["` + strings.Repeat("k", 2000) + `"]},"cases":[{}]}`, "lists: a: line 1"},
	} {
		f, err := parse("x.json", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), tt.module, []*File{f}, Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %.60s: got error %v, want %q", tt.module, tt.text, err, tt.want)
		}
	}
}

// TestUpdate: what came out takes the place of what was wanted, nothing else in the
// file changes, and then every fixture holds.
func TestUpdate(t *testing.T) {
	for _, tt := range []struct{ name, module, text, want string }{
		{"holds", "pass", `{"cases":[{"want":{"verdict":"pass"}}]}`, `{"cases":[{"want":{"verdict":"pass"}}]}`},
		{"one line", "deny_message", `{"cases":[{"want":{"verdict":"pass"},"name":"a"}]}`, `{"cases":[{"want":{"verdict": "deny"},"name":"a"}]}`},
		{"only what was given", "deny_message", `{"cases":[{"want":{"code":"", "verdict":"deny","fuel":0}}]}`, `{"cases":[{"want":{"verdict": "deny", "code": "closed", "fuel": 1}}]}`},
		{"several lines", "pass", "{\n  \"cases\": [\n    {\n      \"want\": {\n        \"verdict\": \"deny\",\n        \"message\": \"x\"\n      }\n    }\n  ]\n}\n",
			"{\n  \"cases\": [\n    {\n      \"want\": {\n        \"verdict\": \"pass\",\n        \"message\": \"\"\n      }\n    }\n  ]\n}\n"},
		{"nothing wanted", "pass", `{"cases":[{}, {"name":"a"}]}`, `{"cases":[{"want": {"verdict": "pass"}}, {"name":"a", "want": {"verdict": "pass"}}]}`},
		{"nothing wanted, several lines", "pass", "{\n\t\"cases\": [\n\t\t{\n\t\t\t\"name\": \"a\"\n\t\t}\n\t]\n}\n",
			"{\n\t\"cases\": [\n\t\t{\n\t\t\t\"name\": \"a\",\n\t\t\t\"want\": {\"verdict\": \"pass\"}\n\t\t}\n\t]\n}\n"},
		{"step", "pass", `{"cases":[{"steps":[{"want":{"verdict":"pass"}},{"want":{"verdict":"deny"}}]}]}`, `{"cases":[{"steps":[{"want":{"verdict":"pass"}},{"want":{"verdict": "pass"}}]}]}`},
		{"fault", "loop", `{"cases":[{"want":{"verdict":"deny"}}]}`, `{"cases":[{"want":{"verdict": "error"}}]}`},
	} {
		f, r := runText(t, guest(tt.module), tt.text)
		got := string(f.Update(r))
		if got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
			continue
		}
		if _, again := runText(t, guest(tt.module), got); again.Failed() > 0 {
			t.Errorf("%s: after the update %+v", tt.name, again.Results)
		}
	}
	f, r := runText(t, guest("refuses_settings"), `{"refused":[{"path":"x","says":"y"}]}`)
	if _, again := runText(t, guest("refuses_settings"), string(f.Update(r))); again.Failed() > 0 {
		t.Errorf("refused: after the update %s: %+v", f.Update(r), again.Results)
	}
}

// TestFind: a module, a folder with one module or with one of its name, and what is
// neither.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	write := func(path ...string) string {
		t.Helper()
		at := filepath.Join(append([]string{dir}, path...)...)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return at
	}
	one := write("one", "other.wasm")
	write("two", "a.wasm")
	two := write("two", "two.wasm")
	write("many", "a.wasm")
	write("many", "b.wasm")
	write("none", "policy.go")
	for _, tt := range []struct{ arg, module, err string }{
		{one, one, ""},
		{filepath.Join(dir, "one"), one, ""},
		{filepath.Join(dir, "two"), two, ""},
		{filepath.Join(dir, "many"), "", "name the one that is meant"},
		{filepath.Join(dir, "none"), "", "policy build"},
		{filepath.Join(dir, "nowhere"), "", "nowhere"},
	} {
		module, fixtures, err := Find(tt.arg)
		if module != tt.module || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("Find(%q) = %q, %v; want %q and error %q", tt.arg, module, err, tt.module, tt.err)
		}
		if err == nil && fixtures != filepath.Join(filepath.Dir(module), "testdata") {
			t.Errorf("Find(%q): fixtures in %q", tt.arg, fixtures)
		}
	}
}

// TestReadmeFixtures: the example of policies/README.md holds for the module that it is
// about, and the tables name every key that there is.
func TestReadmeFixtures(t *testing.T) {
	readme, err := os.ReadFile("../../../policies/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Fixtures\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, example, _ := strings.Cut(section, "```json\n")
	example, _, ok := strings.Cut(example, "```")
	if !ok {
		t.Fatal("no example")
	}
	_, r := runText(t, guest("kv_counter"), example)
	if len(r.Results) != 4 || r.Failed() > 0 {
		t.Errorf("%+v", r.Results)
	}
	for _, s := range []*shape{fileShape, fileShape.keys["cases"].each, fileShape.keys["cases"].each.keys["steps"].each, fileShape.keys["cases"].each.keys["want"]} {
		for key := range s.keys {
			if !strings.Contains(section, "`"+key+"`") {
				t.Errorf("the section does not name %s", key)
			}
		}
	}
}
