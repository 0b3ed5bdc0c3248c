// Package author makes the folder of a new policy, and builds policies with the
// toolchains of their languages.
package author

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// language is a row of what policies can be written in. To add one, add a row and a
// folder of templates.
type language struct {
	name   string // as in --lang; also that of its templates, and of its SDK
	title  string
	source string // the file that an author edits
	sdk    string // where the SDK is put; "" if it needs none
	// marks are patterns of files by which a folder is known to be of the
	// language. Those of the first row that has one count.
	marks []string
	// extra are files that come with the SDK and are not in it.
	extra map[string]string
	about string // how it is built, for the new policy's README
	build func(*job) error
}

// languages are in the order in which a folder is looked at.
var languages = []*language{
	{
		name: "go", title: "Go", source: "policy.go", sdk: "sdk", marks: []string{"go.mod", "*.go"},
		extra: map[string]string{"sdk/go.mod": "module github.com/knockgate/knockgate/sdk\n\ngo 1.26\n"},
		about: "Go 1.26 is all that it takes; `go test` asks the policy without building a module.",
		build: buildGo,
	},
	{
		name: "rust", title: "Rust", source: "src/lib.rs", sdk: "sdk", marks: []string{"Cargo.toml"},
		about: "It takes cargo and rustc with the target `wasm32-unknown-unknown`, and no crates.",
		build: buildRust,
	},
	{
		name: "assemblyscript", title: "AssemblyScript", source: "policy.ts", sdk: "sdk", marks: []string{"policy.ts", "asconfig.json"},
		about: "It takes Node and AssemblyScript: `npm install` in this folder, once, is the only step that needs a network.",
		build: buildAssemblyScript,
	},
	{
		name: "c", title: "C", source: "policy.c", sdk: "sdk", marks: []string{"*.c"},
		about: "It takes clang and lld, and no C library.",
		build: buildC,
	},
	{
		name: "rego", title: "Rego", source: "policy.rego", sdk: "sdk", marks: []string{"*.rego"},
		about: "It takes Open Policy Agent's program `opa`, 1.22, in PATH.",
		build: buildRego,
	},
}

// Languages returns the names of the languages that a policy can be made in.
func Languages() []string {
	var names []string
	for _, l := range languages {
		names = append(names, l.name)
	}
	return names
}

// find returns a language by its name.
func find(name string) (*language, error) {
	for _, l := range languages {
		if l.name == name {
			return l, nil
		}
	}
	return nil, fmt.Errorf("the language %q is none of %s", name, strings.Join(Languages(), ", "))
}

// detect returns the language that the policy in a folder is written in.
func detect(dir string) (*language, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s: not a folder; name the one that holds the policy's source", dir)
	}
	var marks []string
	for _, l := range languages {
		for _, pattern := range l.marks {
			found, err := fs.Glob(os.DirFS(dir), pattern)
			if err != nil {
				return nil, err
			}
			if len(found) > 0 {
				return l, nil
			}
			marks = append(marks, pattern)
		}
	}
	return nil, fmt.Errorf("%s: no source of a policy is there; a policy's folder has one of %s", dir, strings.Join(marks, ", "))
}

// Name returns what the policy in a folder is called: its module is NAME.wasm.
func Name(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	return filepath.Base(abs), err
}
