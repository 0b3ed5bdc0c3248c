package author

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// job is the building of one policy.
type job struct {
	ctx    context.Context
	dir    string    // absolute
	out    string    // where the toolchain is to put the module
	temp   string    // a folder that is there during the build
	output io.Writer // for what a compiler says
	// toolchain is the compiler that built, with its version: the build sets it.
	toolchain string
}

// Built is what a build made.
type Built struct {
	Module []byte
	// Toolchain is the compiler's name and version, such as "rustc 1.63.0". From the
	// same source it makes the same module, in whatever folder.
	Toolchain string
}

// ErrUnusable is wrapped by errors that are not the policy's: there is no source, or
// no compiler for it.
var ErrUnusable = errors.New("nothing to build, or nothing to build it with")

// unusable is an error that wraps ErrUnusable without a word of its own.
type unusable struct{ error }

func (unusable) Is(target error) bool { return target == ErrUnusable }

// Build builds the policy in a folder. What the compiler says goes to output. Where a
// tool is missing, the error says how to install it.
func Build(ctx context.Context, dir string, output io.Writer) (built *Built, err error) {
	l, err := detect(dir)
	if err != nil {
		return nil, unusable{err}
	}
	temp, err := os.MkdirTemp("", "knockgate-build-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	j := &job{ctx: ctx, dir: dir, temp: temp, out: filepath.Join(temp, "policy.wasm"), output: output}
	if err := l.build(j); err != nil {
		return nil, err
	}
	module, err := os.ReadFile(j.out)
	return &Built{module, j.toolchain}, err
}

// sdk returns the folder of a language's SDK, relative to the policy's: sdk in it, or
// where the policy is in a tree that has the SDKs, that one's sdk/LANGUAGE.
func (j *job) sdk(language string) (string, error) {
	if _, err := os.Stat(filepath.Join(j.dir, "sdk")); err == nil {
		return "sdk", nil
	}
	up := "."
	for dir := j.dir; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "sdk", language)); err == nil {
			return filepath.Join(up, "sdk", language), nil
		}
		up = filepath.Join(up, "..")
	}
	return "", unusable{fmt.Errorf("%s: the SDK is neither in sdk nor in sdk/%s of a folder above", j.dir, language)}
}

// version is a number as toolchains give their version.
var version = regexp.MustCompile(`\d+\.\d+\.\d+`)

// builtBy notes the toolchain by its name and what it says of its version.
func (j *job) builtBy(name, said string) {
	j.toolchain = strings.TrimSpace(name + " " + version.FindString(said))
}

// tool is a program that a build needs.
type tool struct {
	names   []string // that it may have, the first that is there is taken
	install string   // how it gets there
}

// find returns the path of a tool.
func (t tool) find() (string, error) {
	for _, name := range t.names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", unusable{fmt.Errorf("%s is not installed. %s", t.names[0], t.install)}
}

// run runs a program in the policy's folder, with more environment.
func (j *job) run(env []string, program string, args ...string) error {
	cmd := exec.CommandContext(j.ctx, program, args...)
	cmd.Dir = j.dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = j.output, j.output
	err := cmd.Run()
	switch exit := (*exec.ExitError)(nil); {
	case j.ctx.Err() != nil:
		return j.ctx.Err()
	case errors.As(err, &exit):
		return fmt.Errorf("%s ended with exit code %d; what it said is above", filepath.Base(program), exit.ExitCode())
	}
	return err
}

// ask runs a program and returns what it prints, "" if it fails.
func (j *job) ask(program string, args ...string) string {
	cmd := exec.CommandContext(j.ctx, program, args...)
	cmd.Dir = j.dir
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

var goTool = tool{[]string{"go"}, "Install Go 1.26 or later: https://go.dev/doc/install"}

// goSettings are what of the environment could change the module.
var goSettings = []string{
	"GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "CGO_ENABLED=0", "GOTOOLCHAIN=local",
	"GOFLAGS=", "GOEXPERIMENT=", "GODEBUG=", "GOFIPS140=off", "GOWORK=off",
}

func buildGo(j *job) error {
	program, err := goTool.find()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(j.ctx, program, "env", "GOVERSION")
	cmd.Dir, cmd.Env = j.dir, append(os.Environ(), goSettings...)
	said, err := cmd.Output()
	if err != nil {
		return err
	}
	j.toolchain = strings.TrimSpace(string(said))
	return j.run(goSettings, program, "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w", "-o", j.out, ".")
}

const clangInstall = "On Debian: apt-get install --no-install-recommends clang lld"

// versions returns the names that Debian gives a program of LLVM, the plain one first.
func versions(name string) []string {
	list := []string{name}
	for v := 22; v >= 14; v-- {
		list = append(list, fmt.Sprintf("%s-%d", name, v))
	}
	return list
}

var (
	clangTool  = tool{versions("clang"), clangInstall}
	linkerTool = tool{versions("wasm-ld"), clangInstall}
)

func buildC(j *job) error {
	clang, err := clangTool.find()
	if err != nil {
		return err
	}
	linker, err := linkerTool.find()
	if err != nil {
		return err
	}
	sdk, err := j.sdk("c")
	if err != nil {
		return err
	}
	j.builtBy("clang", j.ask(clang, "--version"))
	args := []string{
		"--target=wasm32", "-Os", "-std=c17", "-Wall", "-nostdlib", "-ffreestanding", "-mbulk-memory", "-I", sdk,
		"-fuse-ld=" + linker,
		"-Wl,--no-entry", "-Wl,-z,stack-size=16384", "-Wl,--stack-first", "-Wl,--strip-all", "-Wl,--gc-sections", "-o", j.out,
	}
	for _, folder := range [...]string{".", sdk} {
		files, err := filepath.Glob(filepath.Join(j.dir, folder, "*.c"))
		if err != nil {
			return err
		}
		for _, f := range files {
			args = append(args, filepath.Join(folder, filepath.Base(f)))
		}
	}
	return j.run(nil, clang, args...)
}
