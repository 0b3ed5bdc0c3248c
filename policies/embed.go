package policies

import (
	"embed"
	"io/fs"
	"path"
)

// FS holds the built modules, each at NAME/NAME.wasm.
//
//go:embed */*.wasm
var FS embed.FS

// Names returns the names of the policies, in order.
func Names() ([]string, error) {
	paths, err := fs.Glob(FS, "*/*.wasm")
	if err != nil {
		return nil, err
	}
	names := make([]string, len(paths))
	for i, at := range paths {
		names[i] = path.Dir(at)
	}
	return names, nil
}
