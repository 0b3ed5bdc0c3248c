package sdk_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeExamples: the policy in each SDK's README is the one that stands in its
// folder.
func TestReadmeExamples(t *testing.T) {
	for readme, example := range map[string]string{
		"go/README.md":             "go/example/main.go",
		"rust/README.md":           "rust/example/src/lib.rs",
		"c/README.md":              "c/example/example.c",
		"assemblyscript/README.md": "assemblyscript/example/example.ts",
		"rego/README.md":           "rego/example/example.rego",
	} {
		text, err := os.ReadFile(readme)
		if err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile(filepath.FromSlash(example))
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?ms)^```[a-z]+\n(.*?)^```").FindAllSubmatch(text, -1)
		if len(blocks) != 1 {
			t.Errorf("%s: %d blocks in a language, want the example", readme, len(blocks))
			continue
		}
		if block := strings.TrimSpace(string(blocks[0][1])); !strings.Contains(string(source), block) {
			t.Errorf("%s: the policy is not that of %s:\n%s", readme, example, block)
		}
	}
}
