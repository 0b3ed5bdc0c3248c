package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/plugins"
)

const doorMetadata = `{
	"name": "door", "version": "0.1", "description": "A door that is open or shut.",
	"settings": {"type": "object", "additionalProperties": false, "properties": {
		"times": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1, "description": "How often to ring."}
	}}
}`

func command(args ...string) (stdout, stderr string, code int) {
	var out, errs strings.Builder
	code = runContext(context.Background(), args, &out, &errs)
	return out.String(), errs.String(), code
}

// TestPolicyAnnotate: the module is replaced, with its mode, or written beside;
// what a host would refuse writes nothing.
func TestPolicyAnnotate(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o640); err != nil {
			t.Fatal(err)
		}
		return path
	}
	read := func(path string) []byte {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	module, metadata := write("door.wasm", doorShut), write("door.json", []byte(doorMetadata))
	want, err := plugins.Annotate(doorShut, []byte(doorMetadata))
	if err != nil {
		t.Fatal(err)
	}

	beside := filepath.Join(dir, "new.wasm")
	out, errs, code := command("policy", "annotate", module, "--metadata", metadata, "-o", beside)
	if code != exitOK || !bytes.Equal(read(beside), want) || !bytes.Equal(read(module), doorShut) {
		t.Errorf("-o: exit code %d, %s; want the module beside, and the first as it was", code, errs)
	}
	if pin := plugins.Inspect(want).Digest; out != beside+" is door 0.1, "+pin+"\n" {
		t.Errorf("it says %q, want the new digest %s", out, pin)
	}
	for range 2 { // the second time changes nothing
		if _, errs, code := command("policy", "annotate", module, "--metadata", metadata); code != exitOK || !bytes.Equal(read(module), want) {
			t.Errorf("in place: exit code %d, %s", code, errs)
		}
	}
	if info, err := os.Stat(module); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode is %v, %v; want 0640", info.Mode(), err)
	}

	wrong := write("wrong.json", []byte(strings.Replace(doorMetadata, "integer", "number", 1)))
	text := write("text.wasm", []byte("no module"))
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{module}, []string{"--metadata is missing"}},
		{[]string{module, "--metadata", wrong}, []string{"wrong.json: settings: properties.times.type: settings hold whole numbers only"}},
		{[]string{text, "--metadata", metadata}, []string{"text.wasm: not a WebAssembly module"}},
		{[]string{module, "--metadata", filepath.Join(dir, "none.json")}, []string{"none.json"}},
		{[]string{filepath.Join(dir, "none.wasm"), "--metadata", metadata}, []string{"none.wasm"}},
		{[]string{dir, "--metadata", metadata}, []string{dir, "not a file"}},
		{[]string{module, "--metadata", metadata, "-o", dir}, []string{dir, "not a file"}},
		{[]string{module, "--metadata", metadata, "-o", filepath.Join(dir, "none", "x.wasm")}, []string{"none"}},
	} {
		out, errs, code := command(append([]string{"policy", "annotate"}, tt.args...)...)
		if code != exitFailed || out != "" {
			t.Errorf("annotate %q: exit code %d, %q; want %d and nothing", tt.args, code, out, exitFailed)
		}
		for _, part := range tt.want {
			if !strings.Contains(errs, part) {
				t.Errorf("annotate %q says %q, want %q", tt.args, errs, part)
			}
		}
	}
	if !bytes.Equal(read(module), want) || string(read(text)) != "no module" {
		t.Error("a command that failed changed a module")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 5 {
		t.Errorf("%d files, %v; want the 5 that were made", len(left), err)
	}
}

// TestPolicyInspect: what a module is, as a table and as JSON, also of one that
// is refused.
func TestPolicyInspect(t *testing.T) {
	annotated, err := plugins.Annotate(doorShut, []byte(doorMetadata))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, tt := range []struct {
		name    string
		content []byte
		code    int
		want    []string // in what it prints
		refused plugins.Stage
	}{
		{"annotated", annotated, exitOK, []string{"door", "0.1", "A door that is open or shut.", "needs none", "knock_v1_decide (i32) -> i64",
			"times    a whole number from 1 to 9  1        How often to ring."}, ""},
		{"plain", doorShut, exitOK, []string{"metadata  none"}, ""},
		{"bad section", append(bytes.Clone(doorShut), "\x00\x0e\x0cknock.policy{"...), exitFailed, []string{"metadata  none"}, plugins.StageMetadata},
		{"text", []byte("no module"), exitFailed, []string{"9 bytes"}, plugins.StageScan},
	} {
		path := filepath.Join(dir, "x.wasm")
		if err := os.WriteFile(path, tt.content, 0o600); err != nil {
			t.Fatal(err)
		}
		in := plugins.Inspect(tt.content)
		out, errs, code := command("policy", "inspect", path)
		if code != tt.code || code != exitOK && !strings.Contains(errs, "a host refuses it: "+string(tt.refused)) {
			t.Errorf("%s: exit code %d, %q; want %d and the stage %q", tt.name, code, errs, tt.code, tt.refused)
		}
		for _, part := range append(tt.want, in.Digest) {
			if !strings.Contains(out, part) {
				t.Errorf("%s: no %q in\n%s", tt.name, part, out)
			}
		}
		out, _, code = command("policy", "inspect", "--json", path)
		var got inspection
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != tt.code || got.Digest != in.Digest || got.Size != len(tt.content) {
			t.Errorf("%s --json: exit code %d, %v:\n%s", tt.name, code, err, out)
		}
		if (got.Refused == nil) != (tt.refused == "") || got.Refused != nil && got.Refused.Stage != tt.refused {
			t.Errorf("%s --json: refused is %+v, want %q", tt.name, got.Refused, tt.refused)
		}
		if tt.name == "annotated" && (got.Name != "door" || len(got.Settings) != 1 || len(got.Schema) == 0) {
			t.Errorf("--json: %+v", got)
		}
	}
}

// TestSettingsAgainstSchema: a configuration whose settings the module's schema
// refuses is told by policy, path and value.
func TestSettingsAgainstSchema(t *testing.T) {
	annotated, err := plugins.Annotate(doorShut, []byte(doorMetadata))
	if err != nil {
		t.Fatal(err)
	}
	s := newStarter(t, doorPolicy+"[policy.settings]\ntimes = 10\ntime = \"now\"\n")
	s.write("policies/door.wasm", annotated)
	_, _, err = s.start()
	if err == nil {
		t.Fatal("the server starts")
	}
	for _, want := range []string{"policy door: settings: ", "door.wasm", `time: unknown setting, set to "now"; did you mean times?`, "times: must be from 1 to 9, not 10"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}
