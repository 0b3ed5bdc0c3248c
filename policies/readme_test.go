package policies_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/policies"
	"github.com/knockgate/knockgate/sdk/abi"
)

var headings = []string{"Name", "Description", "Settings", "Examples", "Verdicts"}

var heading = regexp.MustCompile(`(?m)^## (.*)$`)

var block = regexp.MustCompile("(?s)```toml\n(.*?)```")

// fragment is the part of the host's configuration that the examples use.
type fragment struct {
	Policy []struct {
		Name     string         `toml:"name"`
		Module   string         `toml:"module"`
		Mode     string         `toml:"mode"`
		OnError  string         `toml:"on_error"`
		Phases   []string       `toml:"phases"`
		Rooms    []string       `toml:"rooms"`
		Origins  []string       `toml:"origins"`
		Grants   []string       `toml:"grants"`
		Settings map[string]any `toml:"settings"`
	} `toml:"policy"`
	List []struct {
		Name string `toml:"name"`
		File string `toml:"file"`
	} `toml:"list"`
}

// TestReadmes: each policy's README has the headings that all have, and the
// module takes the settings of its examples.
func TestReadmes(t *testing.T) {
	for _, name := range stock {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join(name, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
				got = append(got, m[1])
			}
			if !slices.Equal(got, headings) {
				t.Errorf("got headings %q, want %q", got, headings)
			}
			blocks := block.FindAllStringSubmatch(string(text), -1)
			if len(blocks) < 2 {
				t.Fatalf("%d examples, want at least 2", len(blocks))
			}
			var m module
			if !speaksOPA(t, name) { // whose examples TestMetadata holds to the schema
				m = compile(t, name)
			}
			for _, b := range blocks {
				tryExample(t, m, name, b[1])
			}
		})
	}
}

func tryExample(t *testing.T, m module, name, text string) {
	t.Helper()
	var f fragment
	meta, err := toml.Decode(text, &f)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, key := range meta.Undecoded() {
		if !strings.HasPrefix(key.String(), "policy.settings.") {
			t.Errorf("unknown key %s in\n%s", key, text)
		}
	}
	if len(f.Policy) == 0 {
		t.Fatalf("no policy in\n%s", text)
	}
	for _, p := range f.Policy {
		if want := name + "/" + name + ".wasm"; p.Name == "" || p.Module != want {
			t.Errorf("name %q, module %q, want a name and %q", p.Name, p.Module, want)
		}
		for _, phase := range p.Phases {
			if phase != abi.MakeKnock.String() && phase != abi.SendKnock.String() {
				t.Errorf("phase %q", phase)
			}
		}
		if m.code == nil {
			continue
		}
		settings, err := json.Marshal(p.Settings)
		if err != nil {
			t.Fatal(err)
		}
		if faults := m.instantiate(t).configure(t, settings); faults != nil {
			t.Errorf("%v in\n%s", faults, text)
		}
	}
}

// TestSizes: a policy without a runtime of its own, as Go's and OPA's are, is at most
// 60 KiB.
func TestSizes(t *testing.T) {
	small := 0
	for _, name := range stock {
		source, err := filepath.Glob(filepath.Join(name, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		if len(source) > 0 || speaksOPA(t, name) {
			continue
		}
		small++
		if module, err := policies.FS.ReadFile(name + "/" + name + ".wasm"); err != nil || len(module) > 60<<10 {
			t.Errorf("%s has %d bytes, %v; want at most %d", name, len(module), err, 60<<10)
		}
	}
	if small < 10 {
		t.Errorf("%d small policies, want at least 10", small)
	}
}

// TestReadmeSource builds the policy in Go of README.md.
func TestReadmeSource(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(source) != 1 {
		t.Fatalf("%d blocks of Go, want one", len(source))
	}
	// It is built as a package of this module, in a folder that is there for the
	// compiler alone.
	dir := t.TempDir()
	place, err := filepath.Abs("of_readme")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(place, "main.go"): filepath.Join(dir, "main.go")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"main.go": []byte(source[0][1]), "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	module := filepath.Join(dir, "of_readme.wasm")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-buildmode=c-shared", "-o", module, "./of_readme")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, source[0][1], out)
	}
	built, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	if in := plugins.Inspect(built); in.Err != nil {
		t.Errorf("a host refuses it: %s: %v", in.Stage, in.Err)
	}
}
