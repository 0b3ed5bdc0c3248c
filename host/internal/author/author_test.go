package author

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/plugins"
)

// TestFiles: what New writes has, in every language, the source that it names, metadata
// that a host takes, fixtures, and the SDK; and no template is left unfilled.
func TestFiles(t *testing.T) {
	for _, l := range languages {
		files, err := l.files("my_rule")
		if err != nil {
			t.Errorf("%s: %v", l.name, err)
			continue
		}
		for _, want := range []string{l.source, "README.md", "metadata.json", "testdata/reason.json", "testdata/min.json", "testdata/refused.json"} {
			if len(files[want]) == 0 {
				t.Errorf("%s: no %s", l.name, want)
			}
		}
		if m, err := plugins.ParseMetadata(files["metadata.json"]); err != nil || m.Name != "my_rule" {
			t.Errorf("%s: the metadata is %+v, %v", l.name, m, err)
		}
		copied := 0
		for path, text := range files {
			if strings.HasPrefix(path, "sdk/") {
				copied++
			} else if strings.Contains(string(text), "{{") || strings.HasSuffix(path, ".tmpl") {
				t.Errorf("%s: %s is a template", l.name, path)
			}
			if strings.HasSuffix(path, "_test.go") && strings.HasPrefix(path, "sdk/") {
				t.Errorf("%s: %s is copied", l.name, path)
			}
		}
		if copied == 0 {
			t.Errorf("%s: no SDK", l.name)
		}
		if !bytes.Contains(files["README.md"], []byte("# my_rule\n")) || !bytes.Contains(files["README.md"], []byte(l.about)) {
			t.Errorf("%s: its README does not say its name, or how it is built", l.name)
		}
	}
}

// TestDetect: a folder is known by what New puts there, and by less.
func TestDetect(t *testing.T) {
	for _, l := range languages {
		dir := filepath.Join(t.TempDir(), "my_rule")
		source, err := New(dir, l.name)
		if err != nil || source != filepath.Join(dir, filepath.FromSlash(l.source)) {
			t.Fatalf("New in %s: %q, %v", l.name, source, err)
		}
		if got, err := detect(dir); err != nil || got != l {
			t.Errorf("a new policy in %s is detected as %+v, %v", l.name, got, err)
		}
	}
	for file, want := range map[string]string{"main.go": "go", "x.c": "c", "x.rego": "rego", "asconfig.json": "assemblyscript", "Cargo.toml": "rust"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := detect(dir); err != nil || got.name != want {
			t.Errorf("a folder with %s is detected as %+v, %v; want %s", file, got, err, want)
		}
		if _, err := detect(filepath.Join(dir, file)); err == nil || !strings.Contains(err.Error(), "not a folder") {
			t.Errorf("a file is detected: %v", err)
		}
	}
}

func TestOld(t *testing.T) {
	for version, want := range map[string]bool{
		"rustc 1.63.0": true, "rustc 1.67.1 (d5a82bbd2 2023-02-07)": true, "rustc 1.68.0": false, "rustc 1.96.0-nightly": false, "": false, "rustc 2.0.0": false,
	} {
		if got := old(version); got != want {
			t.Errorf("old(%q) = %v, want %v", version, got, want)
		}
	}
}

// TestFromBundle: the module is taken out of a bundle; what is no bundle is an error.
func TestFromBundle(t *testing.T) {
	bundle := func(names ...string) string {
		t.Helper()
		var b bytes.Buffer
		zipped := gzip.NewWriter(&b)
		files := tar.NewWriter(zipped)
		for _, name := range names {
			if err := files.WriteHeader(&tar.Header{Name: name, Size: int64(len(name)), Mode: 0o600}); err != nil {
				t.Fatal(err)
			}
			if _, err := files.Write([]byte(name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := files.Close(); err != nil {
			t.Fatal(err)
		}
		if err := zipped.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "bundle.tar.gz")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if got, err := fromBundle(bundle("/data.json", "/policy.wasm")); err != nil || string(got) != "/policy.wasm" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := fromBundle(bundle("/data.json")); err == nil || !strings.Contains(err.Error(), "policy.wasm") {
		t.Errorf("without a module: %v", err)
	}
	if _, err := fromBundle("author_test.go"); err == nil {
		t.Error("what is no bundle is taken")
	}
}
