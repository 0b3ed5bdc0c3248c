package policytest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/plugins"
)

// Find returns the module and the folder of fixtures that an argument means: a
// module, or a policy's folder, in which there is one module or one of the
// folder's name.
func Find(arg string) (module, fixtures string, err error) {
	info, err := os.Stat(arg)
	if err != nil {
		return "", "", err
	}
	if !info.IsDir() {
		return arg, filepath.Join(filepath.Dir(arg), "testdata"), nil
	}
	fixtures = filepath.Join(arg, "testdata")
	abs, err := filepath.Abs(arg)
	if err != nil {
		return "", "", err
	}
	module = filepath.Join(arg, filepath.Base(abs)+".wasm")
	if _, err := os.Stat(module); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return module, fixtures, err
	}
	found, err := filepath.Glob(filepath.Join(arg, "*.wasm"))
	switch {
	case err != nil:
		return "", "", err
	case len(found) == 1:
		return found[0], fixtures, nil
	case len(found) == 0:
		return "", "", fmt.Errorf("%s: no module is there; build it with \"knockgate policy build %s\"", arg, arg)
	}
	return "", "", fmt.Errorf("%s: there are %s; name the one that is meant", arg, strings.Join(found, ", "))
}

// inspect looks at the module at path.
func inspect(path string) (*plugins.Inspection, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a file", path)
	case info.Size() > plugins.MaxModule:
		return nil, fmt.Errorf("%s: %d bytes; at most %d", path, info.Size(), plugins.MaxModule)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	in := plugins.Inspect(text)
	if in.Err != nil {
		return nil, fmt.Errorf("%s: %s: %w", path, in.Stage, in.Err)
	}
	return in, nil
}

// canonical returns settings as the configuration hands them over. What has no
// canonical form stays as it is, for the policy to refuse.
func canonical(settings []byte) []byte {
	var doc canonicaljson.Doc
	if doc.ParseLimits(settings, canonicaljson.Limits{MaxBytes: maxFile, MaxDepth: maxDepth, MaxNodes: 1 << 20}) != nil {
		return settings
	}
	return doc.Bytes()
}
