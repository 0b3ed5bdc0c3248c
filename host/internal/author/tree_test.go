package author

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/sdk"
)

// TestBuildInTree: a policy without an SDK of its own is built with that of the tree
// it is in, says by what, and is the same module in whatever folder the tree is.
func TestBuildInTree(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds policies")
	}
	t.Setenv("CARGO_NET_OFFLINE", "true")
	for _, l := range languages {
		if l.name == "go" { // which has its module's root for that
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			var first *Built
			for _, tree := range []string{"one", "another tree"} {
				dir := plant(t, l, filepath.Join(t.TempDir(), tree))
				var output strings.Builder
				built, err := Build(t.Context(), dir, &output)
				if errors.Is(err, ErrUnusable) {
					t.Skip(err)
				}
				if err != nil {
					t.Fatalf("%v\n%s", err, &output)
				}
				if name, number, ok := strings.Cut(built.Toolchain, " "); !ok || name == "" || !version.MatchString(number) {
					t.Errorf("the toolchain is %q, want a name and a version", built.Toolchain)
				}
				if first == nil {
					first = built
				} else if !bytes.Equal(first.Module, built.Module) {
					t.Errorf("%s makes another module in another folder", built.Toolchain)
				}
			}
		})
	}
}

// plant makes a tree with the SDK of a language and a new policy that uses it, and
// returns the policy's folder.
func plant(t *testing.T, l *language, tree string) string {
	t.Helper()
	dir := filepath.Join(tree, "policies", "my_rule")
	if _, err := New(dir, l.name); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "sdk")); err != nil {
		t.Fatal(err)
	}
	files, err := sdk.FS(l.name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(tree, "sdk", l.name), files); err != nil {
		t.Fatal(err)
	}
	// The compilers that go by paths in the source are told the other one.
	err = fs.WalkDir(os.DirFS(dir), ".", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		at = filepath.Join(dir, at)
		text, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		for _, old := range []string{`"sdk"`, `"./sdk/`} {
			now := strings.Replace(old, "sdk", "../../sdk/"+l.name, 1)
			text = bytes.ReplaceAll(text, []byte(old), []byte(strings.Replace(now, "./../", "../", 1)))
		}
		return os.WriteFile(at, text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestNoSDK: a policy that has no SDK and is in no tree with one is not built.
func TestNoSDK(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.rego"), []byte("package knock\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := &job{ctx: t.Context(), dir: dir, output: io.Discard}
	if got, err := j.sdk("rego"); err == nil || !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "sdk/rego") {
		t.Errorf("sdk = %q, %v; want an error that names the folder", got, err)
	}
}
