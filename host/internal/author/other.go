package author

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxModule is the most of a module that is taken out of a bundle. A host takes less.
const maxModule = 64 << 20

const ascInstall = "Run this in %s: npm install --save-exact assemblyscript@0.28.20"

// buildAssemblyScript builds with the asc of the policy's folder, of one above it, of the
// SDK's folder, or of PATH.
func buildAssemblyScript(j *job) error {
	var asc string
	for dir := j.dir; asc == ""; dir = filepath.Dir(dir) {
		at := filepath.Join(dir, "node_modules", ".bin", "asc")
		if _, err := os.Stat(at); err == nil {
			asc = at
		} else if dir == filepath.Dir(dir) {
			break
		}
	}
	if sdk, err := j.sdk("assemblyscript"); err == nil && asc == "" {
		at := filepath.Join(j.dir, sdk, "node_modules", ".bin", "asc")
		if _, err := os.Stat(at); err == nil {
			asc = at
		}
	}
	if asc == "" {
		var err error
		if asc, err = (tool{[]string{"asc"}, fmt.Sprintf(ascInstall, j.dir)}).find(); err != nil {
			return err
		}
	}
	entry, err := j.first("policy.ts", "assembly/index.ts")
	if err != nil {
		return err
	}
	config, err := j.first("asconfig.json", "sdk/asconfig.json")
	if err != nil {
		sdk, missing := j.sdk("assemblyscript")
		if missing != nil {
			return err
		}
		config = filepath.Join(sdk, "asconfig.json")
	}
	j.builtBy("asc", j.ask(asc, "--version"))
	return j.run(nil, asc, entry, "-o", j.out, "--config", config)
}

// first returns the first of some files that the policy's folder has.
func (j *job) first(names ...string) (string, error) {
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(j.dir, filepath.FromSlash(name))); err == nil {
			return name, nil
		}
	}
	return "", unusable{fmt.Errorf("%s: there is no %s", j.dir, strings.Join(names, " and no "))}
}

var opaTool = tool{[]string{"opa"}, "Install Open Policy Agent 1.22 (https://www.openpolicyagent.org/docs#running-opa) and have opa in PATH"}

// regoErrors is the rule by which a policy in Rego judges its settings.
var regoErrors = regexp.MustCompile(`(?m)^errors\b`)

// buildRego builds a bundle and takes the module out of it.
func buildRego(j *job) error {
	opa, err := opaTool.find()
	if err != nil {
		return err
	}
	sdk, err := j.sdk("rego")
	if err != nil {
		return err
	}
	j.builtBy("opa", j.ask(opa, "version"))
	bundle := filepath.Join(j.temp, "bundle.tar.gz")
	args := []string{"build", "-t", "wasm", "-e", "knock/verdict", "-o", bundle}
	var files []string
	judges := false
	for _, folder := range [...]string{".", sdk} {
		found, err := filepath.Glob(filepath.Join(j.dir, folder, "*.rego"))
		if err != nil {
			return err
		}
		for _, f := range found {
			name := filepath.Join(folder, filepath.Base(f))
			if strings.HasSuffix(name, "_test.rego") {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			judges = judges || folder == "." && regoErrors.Match(text)
			files = append(files, name)
		}
	}
	if judges {
		args = append(args, "-e", "knock/errors")
	}
	slices.Sort(files)
	if err := j.run(nil, opa, append(args, files...)...); err != nil {
		return err
	}
	module, err := fromBundle(bundle)
	if err != nil {
		return err
	}
	return os.WriteFile(j.out, module, 0o600)
}

// fromBundle returns the module of a bundle that opa made.
func fromBundle(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("opa made a bundle without a policy.wasm")
		} else if err != nil {
			return nil, err
		}
		if header.Name == "/policy.wasm" {
			return io.ReadAll(io.LimitReader(files, maxModule))
		}
	}
}
