package plugins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/sdk/abi"
)

const echoMetadata = `{
	"name": "echo", "version": "1.0", "description": "Answers with its settings.",
	"settings": {
		"type": "object", "additionalProperties": false, "required": ["verdict"],
		"properties": {
			"verdict": {"enum": ["allow", "deny", "pass"], "description": "What it answers."},
			"message": {"type": "string", "maxLength": 20, "default": "no"}
		}
	}
}`

// custom returns a custom section of this name and contents.
func custom(name, contents string) []byte { return section(0, text(name), []byte(contents)) }

func annotated(t testing.TB, module, metadata string) []byte {
	t.Helper()
	out, err := Annotate(readModule(t, module), []byte(metadata))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParseMetadataErrors(t *testing.T) {
	with := func(rest string) string { return `{"description":"d","name":"n","version":"1"` + rest + `}` }
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", ``, "not JSON"},
		{"no object", `[]`, "no JSON object"},
		{"two objects", `{}{}`, "not JSON"},
		{"key twice", with(`,"name":"n"`), `the key "name" stands twice`},
		{"unknown key", with(`,"author":"a"`), `the key "author"; there are name, version, description and settings`},
		{"no name", `{"version":"1","description":"d"}`, "name must be one line of 1 to 64 bytes"},
		{"no version", `{"name":"n","description":"d"}`, "version must be one line of 1 to 64 bytes"},
		{"no description", `{"name":"n","version":"1"}`, "description must be one line of 1 to 1024 bytes"},
		{"name that is a number", `{"name":1,"version":"1","description":"d"}`, "name must be one line"},
		{"name that is empty", `{"name":"","version":"1","description":"d"}`, "name must be one line"},
		{"name too long", `{"name":"` + strings.Repeat("n", 65) + `","version":"1","description":"d"}`, "name must be one line"},
		{"name for a terminal", `{"name":"\u001b[2J","version":"1","description":"d"}`, "name must be one line"},
		{"lone surrogate", `{"name":"\ud800","version":"1","description":"d"}`, "half of a surrogate pair"},
		{"not UTF-8", "{\"name\":\"\xff\"}", "not UTF-8"},
		{"fraction", with(`,"settings":{"type":"object","default":{"a":1.5}}`), "the number 1.5; numbers are whole"},
		{"number in another spelling", with(`,"settings":{"type":"object","default":{"a":-0}}`), "the number -0"},
		{"settings that are none", with(`,"settings":null`), "settings: the schema must be an object, not null"},
		{"schema that is wrong", with(`,"settings":{"type":"object","properties":{"a":{"typ":"string"}}}`), "settings: properties.a.typ: unknown keyword"},
		{"schema from elsewhere", with(`,"settings":{"$ref":"https://peer.example/s"}`), "its own $defs only"},
		{"too deep", with(`,"settings":` + strings.Repeat(`{"items":`, 64) + `{}` + strings.Repeat(`}`, 64)), "nested deeper than 64"},
		{"too large", with(`,"settings":{"type":"object","default":{"a":"` + strings.Repeat("a", abi.MaxMetadata) + `"}}`), "at most 65536"},
		{"white space without end", strings.Repeat(" ", maxMetadataFile) + with(""), "at most 1048576"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseMetadata([]byte(tt.text))
			if err == nil || m != nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("ParseMetadata(%.200q) = %v, %v; want one line with %q", tt.text, m, err, tt.want)
			}
			if _, err := Annotate(readModule(t, "allow"), []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Annotate with %.200q: %v, want %q", tt.text, err, tt.want)
			}
		})
	}
}

func TestParseMetadata(t *testing.T) {
	m, err := ParseMetadata([]byte(echoMetadata))
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "echo" || m.Version != "1.0" || m.Description != "Answers with its settings." {
		t.Errorf("got %q, %q, %q", m.Name, m.Version, m.Description)
	}
	want := []Setting{
		{Path: "message", Kind: "a text", Default: `"no"`},
		{Path: "verdict", Kind: "a text", Allowed: []string{`"allow"`, `"deny"`, `"pass"`}, Description: "What it answers.", Required: true},
	}
	if diff := cmp.Diff(want, m.Table()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if m, err := ParseMetadata([]byte(`{"name":"n","version":"1","description":"d"}`)); err != nil || m.Settings != nil || m.Table() != nil || m.CheckSettings([]byte(`{"a":1}`)) != nil {
		t.Errorf("without a schema: %+v, %v; want one that takes any settings", m, err)
	}
}

// TestAnnotate: the section is added, or replaced wherever it is, with nothing
// else changed; the same metadata again changes nothing.
func TestAnnotate(t *testing.T) {
	plain := readModule(t, "echo")
	once := annotated(t, "echo", echoMetadata)
	if !bytes.HasPrefix(once, plain) {
		t.Error("the module before the section is not as it was")
	}
	m, err := ReadMetadata(once)
	if err != nil || m.Name != "echo" {
		t.Fatalf("read back: %+v, %v", m, err)
	}
	for name, metadata := range map[string]string{"the same": echoMetadata, "what it holds": string(m.JSON())} {
		if twice, err := Annotate(once, []byte(metadata)); err != nil || !bytes.Equal(twice, once) {
			t.Errorf("annotated again with %s: %v, or other bytes", name, err)
		}
	}
	header, rest := plain[:8], plain[8:]
	other := custom("other", "kept")
	for name, module := range map[string][]byte{
		"a wrong one first":      bytes.Join([][]byte{header, custom(abi.MetadataSection, "{"), rest, other}, nil),
		"a wrong one in between": bytes.Join([][]byte{header, other, custom(abi.MetadataSection, ""), other, rest, custom(abi.MetadataSection, "{}")}, nil),
	} {
		want := bytes.ReplaceAll(bytes.ReplaceAll(bytes.ReplaceAll(module, custom(abi.MetadataSection, "{"), nil), custom(abi.MetadataSection, "{}"), nil), custom(abi.MetadataSection, ""), nil)
		got, err := Annotate(module, []byte(echoMetadata))
		if err != nil || !bytes.Equal(got, append(want, once[len(plain):]...)) {
			t.Errorf("%s: %v, or something else has changed", name, err)
		}
	}
	if m, err := ReadMetadata(plain); m != nil || err != nil {
		t.Errorf("a module without: %v, %v; want neither", m, err)
	}
	full := append(bytes.Clone(plain), bytes.Repeat(other, 64)...)
	for name, module := range map[string][]byte{"no module": []byte("no"), "sections too many": full, "cut short": plain[:len(plain)-3]} {
		if out, err := Annotate(module, []byte(echoMetadata)); err == nil || out != nil {
			t.Errorf("%s: annotated", name)
		}
	}
}

// TestMetadataAtLoad: what is wrong in the section, and with the settings, is
// told by stage, before any of the module's code runs.
func TestMetadataAtLoad(t *testing.T) {
	allow := readModule(t, "allow")
	sections := func(list ...string) []byte {
		out := bytes.Clone(allow)
		for _, text := range list {
			out = append(out, custom(abi.MetadataSection, text)...)
		}
		return out
	}
	const good = `{"description":"d","name":"n","version":"1"}`
	// Its start section does not end.
	stuck := annotated(t, "start_loop", echoMetadata)
	echo := annotated(t, "echo", echoMetadata)
	for _, tt := range []struct {
		name     string
		module   []byte
		settings string
		stage    Stage
		want     []string
	}{
		{"no JSON", sections("no"), ``, StageMetadata, []string{"the module: its section knock.policy: not JSON"}},
		{"empty", sections(""), ``, StageMetadata, []string{"its section knock.policy: not JSON"}},
		{"twice", sections(good, good), ``, StageMetadata, []string{"its section knock.policy stands twice"}},
		{"too large", sections(strings.Repeat(" ", abi.MaxMetadata+1)), ``, StageMetadata, []string{"65537 bytes; at most 65536"}},
		{"white space", sections(" " + good), ``, StageMetadata, []string{"not canonical JSON", "knockgate policy annotate"}},
		{"order of keys", sections(`{"name":"n","description":"d","version":"1"}`), ``, StageMetadata, []string{"not canonical JSON"}},
		{"an escape too many", sections(`{"description":"\u0064","name":"n","version":"1"}`), ``, StageMetadata, []string{"not canonical JSON"}},
		{"a schema that refers to itself", sections(`{"description":"d","name":"n","settings":{"$defs":{"a":{"$ref":"#/$defs/a"}},"type":"object"},"version":"1"}`), ``, StageMetadata,
			[]string{"settings: $defs.a.$ref: \"a\" refers to itself"}},
		{"no settings", stuck, ``, StageSettings, []string{`policy p: settings: the module: the policy refuses its settings: verdict: is missing; it must be one of "allow", "deny", "pass"`}},
		{"settings that are wrong", stuck, `{"mesage":"x","message":"` + strings.Repeat("y", 30) + `","verdict":7}`, StageSettings, []string{
			`mesage: unknown setting, set to "x"; did you mean message?`,
			`; message: the number of its characters must be at most 20, not 30: "yyy`,
			`; verdict: must be one of "allow", "deny", "pass", not 7`}},
		{"a setting twice", stuck, `{"verdict":"allow","verdict":"deny"}`, StageSettings, []string{`the key "verdict" stands twice`}},
		{"settings that are right, for one that takes none", stuck, `{"verdict":"allow"}`, StageConfigure, []string{"takes no settings"}},
		{"configure has the last word", annotated(t, "refuses_settings", good), `{"a":1}`, StageConfigure, []string{"rules[0].min: must be a number"}},
		{"good", echo, `{"verdict":"allow"}`, "", nil},
		{"good, and the rest of it", sections(good), ``, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEngine(t, EngineOptions{})
			c, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{{
				Name: "p", Bytes: tt.module, Settings: []byte(tt.settings), Limits: Limits{StartFuel: 300_000},
			}}}, nil)
			if tt.stage == "" {
				if err != nil {
					t.Fatal(err)
				}
				var d Decision
				c.Evaluate(context.Background(), knockFacts(), &d)
				if d.Verdict != abi.Allow || d.Fault.Class != FaultNone {
					t.Errorf("got %s (%+v), want allow", d.Verdict, d.Fault)
				}
				c.Release()
				return
			}
			failure, ok := errors.AsType[*LoadError](err)
			if !ok || failure.Stage != tt.stage || failure.Policy != "p" {
				t.Fatalf("Load = %v, want an error at %s of policy p", err, tt.stage)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
		})
	}
}

// TestMetadataIsInTheRevision: a module with other metadata is another module.
func TestMetadataIsInTheRevision(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	seen := map[string]bool{}
	for i := range 2 {
		module := annotated(t, "allow", fmt.Sprintf(`{"name":"n","version":"%d","description":"d"}`, i))
		seen[load(t, e, ChainSpec{Policies: []PolicySpec{{Name: "p", Bytes: module}}}).Revision()] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d revisions, want 2", len(seen))
	}
}

// FuzzMetadata: whatever the bytes of a section, it is refused, or read as what
// is written back by Annotate byte for byte, which a host reads as the same.
func FuzzMetadata(f *testing.F) {
	allow := readModule(f, "allow")
	m, err := ParseMetadata([]byte(echoMetadata))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{echoMetadata, string(m.JSON()), `{"description":"d","name":"n","version":"1"}`, `{"name":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		raw, rawErr := ReadMetadata(append(bytes.Clone(allow), custom(abi.MetadataSection, string(text))...))
		m, err := ParseMetadata(text)
		if (m == nil) == (err == nil) {
			t.Fatalf("got %v and %v", m, err)
		}
		if err != nil {
			if rawErr == nil {
				t.Errorf("ParseMetadata refuses (%v) what stands in a module", err)
			}
			return
		}
		if canonical := bytes.Equal(m.JSON(), text); canonical != (rawErr == nil) || canonical && !bytes.Equal(raw.JSON(), text) {
			t.Errorf("canonical is %v, ReadMetadata says %v", canonical, rawErr)
		}
		module, err := Annotate(allow, text)
		if err != nil {
			t.Fatalf("Annotate refuses what ParseMetadata takes: %v", err)
		}
		again, err := ReadMetadata(module)
		if err != nil || !bytes.Equal(again.JSON(), m.JSON()) || !bytes.HasSuffix(module, custom(abi.MetadataSection, string(m.JSON()))) {
			t.Errorf("read back: %v", err)
		}
	})
}
