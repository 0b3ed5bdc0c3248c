// Package sdk holds the files of the SDKs, for programs that put one beside a
// policy. README.md is the normative text of the ABI.
package sdk

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

var (
	//go:embed abi/abi.go abi/frame.go abi/json.go
	//go:embed go/glob/automaton.go go/glob/fold.go go/glob/glob.go go/glob/text.go
	//go:embed go/policy/doc.go go/policy/guest_wasip1.go go/policy/host.go go/policy/host_native.go
	//go:embed go/policy/knock.go go/policy/register.go go/policy/settings.go go/policy/settingsjson.go go/policy/verdict.go
	goFiles embed.FS
	//go:embed rust/Cargo.toml rust/src
	rustFiles embed.FS
	//go:embed c/knockgate.h c/knockgate.c
	cFiles embed.FS
	//go:embed assemblyscript/package.json assemblyscript/asconfig.json assemblyscript/assembly
	assemblyscriptFiles embed.FS
	//go:embed rego/knockgate.rego
	regoFiles embed.FS
)

// languages are the SDKs by the names of their folders.
var languages = map[string]embed.FS{
	"go": goFiles, "rust": rustFiles, "c": cFiles, "assemblyscript": assemblyscriptFiles, "rego": regoFiles,
}

// Languages returns the languages that there is an SDK for, which are also the
// names of the folders here, in order.
func Languages() []string { return slices.Sorted(maps.Keys(languages)) }

// FS returns the files that a policy in a language needs of its SDK: no tests,
// no probes, nothing that was built. Their paths are those in the language's folder.
// Those of go are the exception: they begin with abi/ and go/, and belong in the folder
// sdk of a module github.com/knockgate/knockgate. It fails for a language without an SDK.
func FS(language string) (fs.FS, error) {
	files, ok := languages[language]
	switch {
	case !ok:
		return nil, fmt.Errorf("there is no SDK for %q; there are those for %q", language, Languages())
	case language == "go":
		return files, nil
	}
	return fs.Sub(files, language)
}
