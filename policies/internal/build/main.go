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
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knockgate/knockgate/plugins"
)

// sumsName is the file that names the digest and the toolchain of each module.
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

// rebuild builds every policy in its place. One whose compiler is missing keeps its
// module, which still gets the metadata that is there now.
func rebuild(folder string) error {
	names, err := policyNames(folder)
	if err != nil {
		return err
	}
	old, err := readSums(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b, err := newBuilder(folder)
	if err != nil {
		return err
	}
	defer b.close()
	var sums bytes.Buffer
	for _, name := range names {
		path := filepath.Join(folder, name, name+".wasm")
		wasm, toolchain, err := b.build(name)
		if missing := (*missingError)(nil); errors.As(err, &missing) && old[name].toolchain != "" {
			fmt.Fprintf(os.Stderr, "build: %s: its module of %s stays: %v\n", name, old[name].toolchain, err)
			toolchain = old[name].toolchain
			wasm, err = os.ReadFile(path)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if wasm, err = annotate(folder, name, wasm); err != nil {
			return err
		}
		if err := writeFile(path, wasm); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "# built with %s\n%x  %s/%s.wasm\n", toolchain, sha256.Sum256(wasm), name, name)
	}
	return writeFile(filepath.Join(folder, sumsName), sums.Bytes())
}

// policyNames returns the folders that hold a policy: those with a metadata.json.
func policyNames(folder string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*", "metadata.json"))
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

// sum is what SHA256SUMS says of a module.
type sum struct {
	toolchain string // that built it
	digest    string
}

// readSums returns what SHA256SUMS says, by the policy's name. A comment names the
// toolchain of the line that follows.
func readSums(folder string) (map[string]sum, error) {
	text, err := os.ReadFile(filepath.Join(folder, sumsName))
	if err != nil {
		return nil, err
	}
	sums := map[string]sum{}
	toolchain := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if said, ok := strings.CutPrefix(line, "# built with "); ok {
			toolchain = said
			continue
		}
		digest, path, ok := strings.Cut(line, "  ")
		name, _, ok2 := strings.Cut(path, "/")
		if !ok || !ok2 || toolchain == "" || path != name+"/"+name+".wasm" {
			return nil, fmt.Errorf("%s: %q is not a digest and NAME/NAME.wasm below the toolchain", sumsName, line)
		}
		sums[name] = sum{toolchain, digest}
	}
	return sums, nil
}

// builder builds policies as "knockgate policy build" does: it runs that, since no
// policy imports the host.
type builder struct {
	folder  string // policies
	temp    string
	program string
}

// newBuilder builds the program for the policies of a folder.
func newBuilder(folder string) (*builder, error) {
	temp, err := os.MkdirTemp("", "knockgate-build-")
	if err != nil {
		return nil, err
	}
	b := &builder{folder, temp, filepath.Join(temp, "knockgate")}
	cmd := exec.Command("go", "build", "-o", b.program, "../host")
	cmd.Dir = folder
	if text, err := cmd.CombinedOutput(); err != nil {
		b.close()
		return nil, fmt.Errorf("host: %v\n%s", err, text)
	}
	return b, nil
}

func (b *builder) close() { os.RemoveAll(b.temp) }

// missingError reports that the compiler of a policy is not here.
type missingError struct{ why string }

func (e *missingError) Error() string { return e.why }

// build builds one policy and returns the module and the toolchain that made it. The
// error is a *missingError if there is no compiler. Neither the folder of the checkout
// nor the state of its repository is in the module.
func (b *builder) build(name string) (wasm []byte, toolchain string, err error) {
	out := filepath.Join(b.temp, name+".wasm")
	cmd := exec.Command(b.program, "policy", "build", name, "-o", out)
	cmd.Dir = b.folder
	var said, faults strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &faults
	if err := cmd.Run(); err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 2 {
			return nil, "", &missingError{strings.TrimSpace(faults.String())}
		}
		return nil, "", fmt.Errorf("%v\n%s%s", err, &faults, &said)
	}
	for line := range strings.Lines(said.String()) {
		if with, ok := strings.CutPrefix(strings.TrimSpace(line), "with "); ok {
			toolchain = strings.TrimSpace(with)
		}
	}
	if toolchain == "" {
		return nil, "", fmt.Errorf("policy build does not say what it built with:\n%s", &said)
	}
	wasm, err = os.ReadFile(out)
	return wasm, toolchain, err
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
