package policies_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/policies/internal/fixture"
)

// onlyConfigure are the faults of the cases that the schema does not see, and
// the policy's configure has to tell: what depends on another setting, and what
// a text says.
var onlyConfigure = map[string][]string{
	"expr/refused_when": { // what is in the text
		"rules[0].when", "rules[1].when", "rules[2].when", "rules[3].when", "rules[4].when", "rules[5].when", "rules[6].when", "rules[7].when", "rules[8].when", "rules[9].when", "rules[10].when", "rules[12].when", "rules[13].when", "rules[14].when", "rules[15].when", "rules[16].when", "rules[17].when", "rules[18].when", "rules[19].when", "rules[20].when", "rules[21].when", "rules[22].when", "rules[23].when", "rules[24].when", "rules[25].when", "rules[26].when", "rules[27].when",
	},
	"expr/refused_rules": {
		"rules[3].message", // nobody is told of allow
		"rules[4].message", // a space
	},
	"reason_rules/refused": {
		"forbidden[2]", "forbidden[3]", "forbidden[4]", // found in every reason
		"min",         // more than max
		"min_message", // a space
	},
	"reason_rules/refused_globs": {"forbidden"}, // 512 code points count after cleaning
	"server_rules/refused": {
		"rules[0]", "rules[1].deny", // not one of the four
		"rules[2].message",                                                                                 // nobody is told of allow
		"rules[4].deny[1]", "rules[4].deny[3]", "rules[4].deny[4]", "rules[4].deny[5]", "rules[4].deny[6]", // no server name
		"rules[4].deny[8]",
		"rules[6].except",  // a port
		"rules[0].message", // not asked for, as the rule is none
	},
	"server_rules/refused_default_message": {"default_message"}, // nobody is told of pass
}

// TestSchemas holds the schema in each module to the policy's own configure: it
// accepts all settings that the policy accepts, and refuses what it refuses but
// for onlyConfigure.
func TestSchemas(t *testing.T) {
	for _, name := range stock {
		t.Run(name, func(t *testing.T) {
			files, err := fixture.Load(filepath.Join(name, "testdata"))
			if err != nil {
				t.Fatal(err)
			}
			m := metadata(t, name)
			accepted, refused := 0, 0
			for _, f := range files {
				got := faultPaths(t, m.CheckSettings(f.Settings))
				if len(f.Refused) == 0 {
					accepted++
					if got != nil {
						t.Errorf("%s: the schema refuses %v, the policy nothing", f.Name, got)
					}
					continue
				}
				refused++
				unseen := onlyConfigure[name+"/"+f.Name]
				var want []string
				for _, fault := range f.Refused {
					if !slices.Contains(unseen, fault.Path) {
						want = append(want, fault.Path)
					}
				}
				if len(want)+len(unseen) != len(f.Refused) {
					t.Errorf("%s: onlyConfigure has %q, which are not all faults of the case", f.Name, unseen)
				}
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: faults that the schema is to see (-) and sees (+):\n%s", f.Name, diff)
				}
			}
			if accepted < 3 || refused < 3 {
				t.Errorf("%d files that are accepted, %d that are refused; want 3 of each", accepted, refused)
			}
		})
	}
}

// TestMetadata: a module has its metadata.json, its schema takes the settings
// of the README's examples, and the README names every setting of the schema.
func TestMetadata(t *testing.T) {
	for _, name := range stock {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(name, "metadata.json"))
			if err != nil {
				t.Fatal(err)
			}
			source, err := plugins.ParseMetadata(text)
			if err != nil {
				t.Fatal(err)
			}
			m := metadata(t, name)
			if string(m.JSON()) != string(source.JSON()) || m.Name != name {
				t.Errorf("the module has %s, metadata.json says\n%s", m.JSON(), source.JSON())
			}
			readme, err := os.ReadFile(filepath.Join(name, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range m.Table() {
				key := row.Path[strings.LastIndexByte(row.Path, '.')+1:]
				if !strings.HasSuffix(key, "[]") && !strings.Contains(string(readme), "| `"+key+"` |") {
					t.Errorf("README.md has no row for %s", row.Path)
				}
			}
			for _, b := range block.FindAllStringSubmatch(string(readme), -1) {
				var f fragment
				if _, err := toml.Decode(b[1], &f); err != nil {
					t.Fatal(err)
				}
				for _, p := range f.Policy {
					settings, err := json.Marshal(p.Settings)
					if err != nil {
						t.Fatal(err)
					}
					if err := m.CheckSettings(settings); err != nil {
						t.Errorf("%v in\n%s", err, b[1])
					}
				}
			}
		})
	}
}

// TestReadmeMetadata: the example of README.md is metadata that a host takes,
// and refuses the setting in the words that stand there.
func TestReadmeMetadata(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```json\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example in README.md")
	}
	m, err := plugins.ParseMetadata([]byte(example))
	if err != nil {
		t.Fatalf("%v in\n%s", err, example)
	}
	err = m.CheckSettings([]byte(`{"min":"ten"}`))
	if err == nil || !strings.Contains(string(text), "\npolicy mine: settings: my_policy.wasm: "+err.Error()+"\n") {
		t.Errorf("README.md does not say what the schema does: %v", err)
	}
}

func metadata(t *testing.T, name string) *plugins.Metadata {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(name, name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := plugins.ReadMetadata(wasm)
	if err != nil || m == nil || m.Settings == nil {
		t.Fatalf("%s: metadata %v, %v", name, m, err)
	}
	return m
}

// faultPaths returns the paths that settings were refused for, in order.
func faultPaths(t *testing.T, err error) (paths []string) {
	t.Helper()
	if err == nil {
		return nil
	}
	refused, ok := errors.AsType[*plugins.SettingsError](err)
	if !ok {
		t.Fatal(err)
	}
	for _, e := range refused.Errors {
		paths = append(paths, e.Path)
	}
	slices.Sort(paths)
	return paths
}
