package sdk_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/sdk"
)

// notCopied are the parts of a language's folder that a copied SDK does without.
var notCopied = []string{"README.md", ".gitignore", "probe", "example", "testdata", "target", "node_modules", "package-lock.json", "Cargo.lock"}

// TestFS: what is embedded of an SDK is all of its folder but tests, probes and
// what was built.
func TestFS(t *testing.T) {
	for _, language := range sdk.Languages() {
		files, err := sdk.FS(language)
		if err != nil {
			t.Fatal(err)
		}
		roots := map[string]string{language: ""}
		if language == "go" {
			roots = map[string]string{"go": "go", "abi": "abi"}
		}
		var want []string
		for root, prefix := range roots {
			err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
				switch {
				case err != nil:
					return err
				case slices.Contains(notCopied, d.Name()):
					if d.IsDir() {
						return filepath.SkipDir
					}
				case !d.IsDir() && !strings.HasSuffix(path, "_test.go"):
					want = append(want, filepath.ToSlash(filepath.Join(prefix, strings.TrimPrefix(path, root+string(filepath.Separator)))))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		err = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				got = append(got, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" || len(got) == 0 {
			t.Errorf("%s: the folder (-) and what is embedded (+) differ; mend the lists in embed.go:\n%s", language, diff)
		}
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "abi" && !slices.Contains(sdk.Languages(), e.Name()) {
			t.Errorf("the folder %s is no language of embed.go", e.Name())
		}
	}
	if _, err := sdk.FS("cobol"); err == nil || !strings.Contains(err.Error(), `"cobol"`) {
		t.Errorf("FS of a language without an SDK = %v, want an error that names it", err)
	}
}
