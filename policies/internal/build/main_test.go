package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// TestCommittedModules builds every policy anew, in another folder than the tree's, and
// compares it with the one in the repository. Another toolchain makes other bytes, so
// that it is only asked of the one that SHA256SUMS names.
func TestCommittedModules(t *testing.T) {
	if testing.Short() {
		t.Skip("builds every policy: left out with -short")
	}
	folder := filepath.Join("..", "..")
	names, err := policyNames(folder)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := readSums(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(sums) != len(names) {
		t.Errorf("%s has %d modules, there are the policies %q: run go generate ./policies", sumsName, len(sums), names)
	}
	b, err := newBuilder(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	// The program is built; the policies are in a tree elsewhere, so that a path in a
	// module would show.
	b.folder = copyTree(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			committed, err := os.ReadFile(filepath.Join(folder, name, name+".wasm"))
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%x", sha256.Sum256(committed)); got != sums[name].digest {
				t.Errorf("the module has the digest %s, %s says %s", got, sumsName, sums[name].digest)
			}
			built, toolchain, err := b.build(name)
			if missing := (*missingError)(nil); errors.As(err, &missing) {
				t.Skip(missing)
			}
			if err != nil {
				t.Fatal(err)
			}
			if toolchain != sums[name].toolchain {
				t.Skipf("it builds with the %s that is here; %s names %s", toolchain, sumsName, sums[name].toolchain)
			}
			if built, err = annotate(folder, name, built); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(built, committed) {
				t.Errorf("%s.wasm is not what its source gives: run go generate ./policies", name)
			}
		})
	}
}

// copyTree copies what policies are built of into a folder of another name, and returns
// the folder of the policies there.
func copyTree(t *testing.T) string {
	t.Helper()
	from, to := filepath.Join("..", "..", ".."), filepath.Join(t.TempDir(), "else where")
	for _, folder := range []string{"sdk", "policies"} {
		if err := os.CopyFS(filepath.Join(to, folder), os.DirFS(filepath.Join(from, folder))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(from, file))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, file), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(to, "policies")
}

func TestReadSums(t *testing.T) {
	folder := t.TempDir()
	for _, c := range []struct {
		text string
		want map[string]sum // nil: refused
	}{
		{"# built with go1.26.8\naa  a/a.wasm\n# built with rustc 1.63.0\nbb  b/b.wasm\n", map[string]sum{"a": {"go1.26.8", "aa"}, "b": {"rustc 1.63.0", "bb"}}},
		{"", map[string]sum{}},
		{"aa  a/a.wasm\n", nil},
		{"# built with go1.26.8\naa a/a.wasm\n", nil},
		{"# built with go1.26.8\naa  a/b.wasm\n", nil},
	} {
		if err := os.WriteFile(filepath.Join(folder, sumsName), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readSums(folder)
		if (err != nil) != (c.want == nil) || !maps.Equal(got, c.want) {
			t.Errorf("readSums of %q = %v, %v; want %v", c.text, got, err, c.want)
		}
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"one", "two", "two"} {
		if err := writeFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("got %q, %v, want %q", got, err, text)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("got %v, %v, want the file alone", left, err)
	}
	if err := writeFile(filepath.Join(path, "x"), nil); err == nil {
		t.Error("a file below a file: no error")
	}
}
