package conformance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// toolchain makes the modules of one SDK.
type toolchain struct {
	language string
	// pinned is the version that made the modules in the tree.
	pinned string
	// find returns a command that is there, with its version; or why there is none.
	find func() (command, version string, err error)
	// build makes NAME.wasm of the folder NAME, probe or example, of the SDK's folder,
	// in which it runs.
	build func(command, version, name, out string) error
}

// toolchains are those of the SDKs whose modules are in the tree. Go's are not: the
// Go that runs these tests makes them.
var toolchains = []toolchain{
	{"rust", "1.63.0", findRust, buildRust},
	{"c", "14.0.6", findC, buildC},
	{"assemblyscript", "0.28.20", findAssemblyScript, buildAssemblyScript},
	{"rego", "1.22.2", findRego, buildRego},
}

// TestModulesAreBuilt holds that every module of an SDK in the tree is what its
// source makes, where the toolchain that made it is there. Where another version of
// it is, what that makes is held to the table instead.
func TestModulesAreBuilt(t *testing.T) {
	if testing.Short() {
		t.Skip("the compilers take their time")
	}
	for _, tc := range toolchains {
		t.Run(tc.language, func(t *testing.T) {
			command, version, err := tc.find()
			if err != nil {
				t.Skipf("%v; the .wasm files are taken as they are", err)
			}
			for _, name := range []string{"probe", "example"} {
				out := filepath.Join(t.TempDir(), name+".wasm")
				if err := inSDK(tc.language, func() error { return tc.build(command, version, name, out) }); err != nil {
					t.Errorf("%s %s: %v", command, version, err)
					continue
				}
				built, path := read(t, out), modulePath(tc.language, name)
				if *update {
					if err := os.WriteFile(path, built, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				switch {
				case version != tc.pinned:
					t.Logf("%s %s makes %d bytes of %s; what is in the tree was made by %s", command, version, len(built), name, tc.pinned)
					if name == "probe" {
						Run(t, built)
					}
				case !bytes.Equal(built, read(t, path)):
					t.Errorf("%s is not what its source makes; go test ./plugins/conformance -run Built -update writes it", path)
				}
			}
		})
	}
}

func modulePath(language, name string) string {
	return filepath.Join(sdkFolder(language), name, name+".wasm")
}

func sdkFolder(language string) string { return filepath.Join("..", "..", "sdk", language) }

// inSDK runs f in the folder of an SDK.
func inSDK(language string, f func() error) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := os.Chdir(sdkFolder(language)); err != nil {
		return err
	}
	return errors.Join(f(), os.Chdir(here))
}

var versionPattern = regexp.MustCompile(`\d+\.\d+\.\d+`)

// firstVersion returns the first of the commands that is there, and its version.
func firstVersion(arg string, commands ...string) (command, version string, err error) {
	for _, command := range commands {
		out, err := exec.Command(command, arg).Output()
		if version := versionPattern.FindString(string(out)); err == nil && version != "" {
			return command, version, nil
		}
	}
	return "", "", fmt.Errorf("none of %s is installed", strings.Join(commands, ", "))
}

func runTool(command string, args ...string) error {
	if out, err := exec.Command(command, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", command, strings.Join(args, " "), err, out)
	}
	return nil
}

// findRust looks for a rustc that has the target, Debian's own first.
func findRust() (command, version string, err error) {
	for _, command := range []string{"/usr/bin/rustc", "rustc"} {
		dir, err := exec.Command(command, "--print", "target-libdir", "--target", rustTarget).Output()
		if err != nil {
			continue
		}
		if core, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "libcore-*.rlib")); len(core) > 0 {
			return firstVersion("--version", command)
		}
	}
	return "", "", fmt.Errorf("no rustc with the target %s is installed (Debian: rustc libstd-rust-dev-wasm32 lld)", rustTarget)
}

const rustTarget = "wasm32-unknown-unknown"

func buildRust(command, version, name, out string) error {
	flags := []string{"--edition", "2021", "--target", rustTarget, "-C", "opt-level=s", "-C", "lto=fat", "-C", "panic=abort",
		"-C", "codegen-units=1", "-C", "strip=symbols", "-C", "link-arg=-zstack-size=32768"}
	if strings.HasPrefix(command, "/usr/") { // Debian's has no linker of its own
		linker, _, err := firstVersion("--version", "wasm-ld", "wasm-ld-14")
		if err != nil {
			return err
		}
		flags = append(flags, "-C", "linker="+linker)
	}
	library := filepath.Join(filepath.Dir(out), "libknockgate.rlib")
	args := append(flags, "--crate-type", "rlib", "--crate-name", "knockgate", "-o", library, "src/lib.rs")
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return err
	}
	compile := []string{command}
	if major == 1 && minor < 68 {
		compile = []string{"env", "RUSTC_BOOTSTRAP=1", command, "--cfg", `feature="before_1_68"`}
	}
	if err := runTool(compile[0], append(compile[1:], args...)...); err != nil {
		return err
	}
	return runTool(command, append(flags, "--crate-type", "cdylib", "--crate-name", name,
		"--extern", "knockgate="+library, "-o", out, filepath.Join(name, "src", "lib.rs"))...)
}

func findC() (command, version string, err error) {
	if _, _, err := firstVersion("--version", "wasm-ld", "wasm-ld-14"); err != nil {
		return "", "", err
	}
	return firstVersion("--version", "clang-14", "clang")
}

func buildC(command, _, name, out string) error {
	return runTool(command, "--target=wasm32", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Os", "-nostdlib", "-ffreestanding",
		"-mbulk-memory", "-I", ".", "-Wl,--no-entry", "-Wl,-z,stack-size=16384", "-Wl,--stack-first", "-Wl,--strip-all",
		"-o", out, filepath.Join(name, name+".c"), "knockgate.c")
}

func findAssemblyScript() (command, version string, err error) {
	asc, err := filepath.Abs(filepath.Join(sdkFolder("assemblyscript"), "node_modules", ".bin", "asc"))
	if err != nil {
		return "", "", err
	}
	if command, version, err = firstVersion("--version", asc, "asc"); err != nil {
		return "", "", errors.New("there is no asc; npm install in sdk/assemblyscript brings it")
	}
	return command, version, nil
}

func buildAssemblyScript(command, _, name, out string) error {
	return runTool(command, filepath.Join(name, name+".ts"), "-o", out, "--config", "asconfig.json")
}

func findRego() (command, version string, err error) { return firstVersion("version", "opa") }

func buildRego(command, _, name, out string) error {
	bundle := out + ".tar.gz"
	args := []string{"build", "-t", "wasm", "-e", "knock/verdict", "-o", bundle}
	if name == "example" {
		args = append(args, "-e", "knock/errors")
	}
	if err := runTool(command, append(args, filepath.Join(name, name+".rego"), "knockgate.rego")...); err != nil {
		return err
	}
	file, err := os.Open(bundle)
	if err != nil {
		return err
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if err != nil {
			return fmt.Errorf("no policy.wasm in the bundle: %w", err)
		}
		if header.Name != "/policy.wasm" {
			continue
		}
		wasm, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		return os.WriteFile(out, wasm, 0o644)
	}
}
