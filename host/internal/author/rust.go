package author

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const wasmTarget = "wasm32-unknown-unknown"

const rustInstall = "With rustup: rustup target add wasm32-unknown-unknown. On Debian: " +
	"apt-get install --no-install-recommends cargo rustc libstd-rust-dev-wasm32 lld"

// rustcNames are where a compiler may be: Debian's may have the target where the first
// in PATH does not.
var rustcNames = []string{"rustc", "/usr/bin/rustc"}

// rustc is a compiler with what it takes to build for wasmTarget.
type rustc struct {
	path    string
	version string // as it says itself
	// source is the folder of the standard library's source if that has to be built
	// first, "" if it is there.
	source string
	// cargo is what came with it, "" if nothing did.
	cargo string
}

// findRustc returns the first compiler that can build for wasmTarget.
func findRustc(j *job) (*rustc, error) {
	first := ""
	for _, name := range rustcNames {
		path, err := tool{[]string{name}, rustInstall}.find()
		if err != nil {
			continue
		}
		if first == "" {
			first = path
		}
		r := &rustc{path: path, version: j.ask(path, "--version")}
		if cargo := filepath.Join(filepath.Dir(path), "cargo"); j.ask(cargo, "--version") != "" {
			r.cargo = cargo
		}
		libraries := j.ask(path, "--print", "target-libdir", "--target", wasmTarget)
		if found, _ := filepath.Glob(filepath.Join(libraries, "libcore-*")); libraries != "" && len(found) > 0 {
			return r, nil
		}
		r.source = filepath.Join(j.ask(path, "--print", "sysroot"), "lib", "rustlib", "src", "rust", "library")
		if _, err := os.Stat(filepath.Join(r.source, "core")); err == nil {
			return r, nil
		}
	}
	if first == "" {
		return nil, unusable{fmt.Errorf("rustc is not installed. %s", rustInstall)}
	}
	return nil, unusable{fmt.Errorf("rustc (%s) has no target %s. %s", first, wasmTarget, rustInstall)}
}

func buildRust(j *job) error {
	r, err := findRustc(j)
	if err != nil {
		return err
	}
	j.builtBy("rustc", r.version)
	if r.cargo == "" && r.source == "" {
		return r.build(j)
	}
	return r.buildWithCargo(j)
}

// buildWithCargo builds with the standard library that the target has, or, where there
// is none but its source, with one built for it.
func (r *rustc) buildWithCargo(j *job) error {
	if r.cargo == "" {
		return unusable{fmt.Errorf("cargo is not beside %s. %s", r.path, rustInstall)}
	}
	target := filepath.Join(j.dir, "target")
	args := []string{"build", "--release", "--offline", "--target", wasmTarget, "--target-dir", target}
	// No folder of this machine is to be in the module.
	flags := append(strings.Fields(rustFlags), "--remap-path-prefix="+j.dir+"=.")
	if sdk, err := j.sdk("rust"); err == nil {
		flags = append(flags, "--remap-path-prefix="+filepath.Join(j.dir, sdk)+"=sdk")
	}
	env := []string{"CARGO_ENCODED_RUSTFLAGS=" + strings.Join(flags, "\x1f"), "RUSTC=" + r.path}
	if old(r.version) {
		env = append(env, bootstrap)
		args = append(args, "--features", "knockgate/"+oldFeature)
	}
	if r.source != "" {
		env = append(env, bootstrap)
		args = append(args, "-Zbuild-std=core,alloc", "--config", "source.crates-io.replace-with='here'",
			"--config", fmt.Sprintf("source.here.directory=%q", filepath.Join(r.source, "vendor")))
	}
	if linker, err := linkerTool.find(); err == nil {
		env = append(env, "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="+linker)
	}
	if err := j.run(env, r.cargo, args...); err != nil {
		return err
	}
	made, err := filepath.Glob(filepath.Join(target, wasmTarget, "release", "*.wasm"))
	if err != nil {
		return err
	}
	if len(made) != 1 {
		return fmt.Errorf("cargo made the modules %q; a policy's crate makes one", made)
	}
	module, err := os.ReadFile(made[0])
	if err != nil {
		return err
	}
	return os.WriteFile(j.out, module, 0o600)
}

const (
	// bootstrap has a compiler take what it does not promise to keep.
	bootstrap = "RUSTC_BOOTSTRAP=1"
	// oldFeature is the SDK's for an old compiler.
	oldFeature = "before_1_68"
)

// rustFlags leave out the room that the linker has for addresses of any length, which it
// does only without symbols.
const rustFlags = "-C link-arg=-zstack-size=32768 -C link-arg=--strip-all -C link-arg=--compress-relocations"

// build builds without cargo, which a policy with no crate but the SDK can do without.
func (r *rustc) build(j *job) error {
	sdk, err := j.sdk("rust")
	if err != nil {
		return err
	}
	common := []string{"--edition", "2021", "--target", wasmTarget, "--remap-path-prefix=" + j.dir + "=.", "-C", "opt-level=s", "-C", "panic=abort", "-C", "codegen-units=1"}
	library := filepath.Join(j.temp, "libknockgate.rlib")
	args := append(slices.Clone(common), "--crate-type", "rlib", "--crate-name", "knockgate", "-o", library, filepath.Join(sdk, "src", "lib.rs"))
	var env []string
	if old(r.version) {
		env = append(env, bootstrap)
		args = append(args, "--cfg", fmt.Sprintf("feature=%q", oldFeature))
	}
	if err := j.run(env, r.path, args...); err != nil {
		return err
	}
	linker, err := linkerTool.find()
	if err != nil {
		return err
	}
	args = append(slices.Clone(common), "--crate-type", "cdylib", "--crate-name", "policy", "--extern", "knockgate="+library,
		"-C", "lto=fat", "-C", "strip=symbols", "-C", "linker="+linker, "-o", j.out, filepath.Join("src", "lib.rs"))
	return j.run(nil, r.path, append(args, strings.Fields(rustFlags)...)...)
}

// old reports whether a compiler, by what it says of its version, is one that has to
// be told what to do when memory runs out.
func old(version string) bool {
	var major, minor int
	n, err := fmt.Sscanf(version, "rustc %d.%d", &major, &minor)
	return err == nil && n == 2 && major == 1 && minor < 68
}
