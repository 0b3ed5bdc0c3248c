// Build makes the .wasm files of the stock policies and SHA256SUMS. It is run by
//
//	go generate ./policies
//
// or, from any folder of the repository, by go run ./policies/internal/build.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knockgate/knockgate/plugins"
)

// sumsName is the file that names the toolchain and the digest of each module.
const sumsName = "SHA256SUMS"

func main() { os.Exit(run()) }

func run() int {
	folder, err := policiesFolder()
	if err == nil {
		err = rebuild(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		return 1
	}
	return 0
}

// policiesFolder returns the folder policies of the module that the working
// directory is in.
func policiesFolder() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("no Go module here: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "policies"), nil
}

// rebuild builds every policy in its place.
func rebuild(folder string) error {
	names, err := policyNames(folder)
	if err != nil {
		return err
	}
	sums, err := build(folder, names, func(name string) string {
		return filepath.Join(folder, name, name+".wasm")
	})
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(folder, sumsName), sums)
}

// policyNames returns the folders that hold a policy in Go: those with a
// main.go.
func policyNames(folder string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*", "main.go"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, path := range paths {
		names = append(names, filepath.Base(filepath.Dir(path)))
	}
	slices.Sort(names)
	if len(names) == 0 {
		return nil, fmt.Errorf("no policies in %s", folder)
	}
	return names, nil
}

// build builds the named policies, each to the path that place gives, and
// returns the text of SHA256SUMS.
func build(folder string, names []string, place func(name string) string) ([]byte, error) {
	version, err := toolchain()
	if err != nil {
		return nil, err
	}
	var sums bytes.Buffer
	fmt.Fprintf(&sums, "# built with %s\n", version)
	for _, name := range names {
		temp, err := os.MkdirTemp("", "knockgate-build-")
		if err != nil {
			return nil, err
		}
		wasm, err := compile(folder, name, filepath.Join(temp, "policy.wasm"))
		if err := errors.Join(err, os.RemoveAll(temp)); err != nil {
			return nil, err
		}
		if wasm, err = annotate(folder, name, wasm); err != nil {
			return nil, err
		}
		if err := writeFile(place(name), wasm); err != nil {
			return nil, err
		}
		fmt.Fprintf(&sums, "%x  %s/%s.wasm\n", sha256.Sum256(wasm), name, name)
	}
	return sums.Bytes(), nil
}

// compile builds one policy and returns the module. Neither the folder of the
// checkout nor the state of its repository is in it.
func compile(folder, name, out string) ([]byte, error) {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared",
		"-ldflags=-s -w", "-o", out, "./"+name)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), settings...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %v\n%s", name, err, text)
	}
	return os.ReadFile(out)
}

// annotate puts the policy's metadata.json into its module.
func annotate(folder, name string, wasm []byte) ([]byte, error) {
	path := filepath.Join(folder, name, "metadata.json")
	metadata, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if wasm, err = plugins.Annotate(wasm, metadata); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return wasm, nil
}

// settings are what of the environment could change the result.
var settings = []string{
	"GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "CGO_ENABLED=0", "GOTOOLCHAIN=local",
	"GOFLAGS=", "GOEXPERIMENT=", "GODEBUG=", "GOFIPS140=off", "GOWORK=off",
}

// toolchain returns the version of the Go that builds, such as "go1.26.8".
func toolchain() (string, error) {
	cmd := exec.Command("go", "env", "GOVERSION")
	cmd.Env = append(os.Environ(), settings...)
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// writeFile replaces a file at once, so that a host which watches the folder
// never loads half of one. It leaves a file alone that is right already.
func writeFile(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no effect once it is renamed
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
