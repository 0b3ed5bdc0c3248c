// Command package makes what is handed out of a release: for each machine a
// static binary in a .tar.gz and a .deb, with the policies, manual pages,
// completions and the systemd unit, and the checksums of all.
//
//	go run ./host/package
//
// README.md beside it says what is in them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// nfpm is the tool that writes a .deb, pinned.
const nfpm = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2"

// architectures are those that are built for, all with Linux.
var architectures = []string{"amd64", "arm64"}

// release is what is being made.
type release struct {
	root    string    // the repository
	out     string    // where the packages go
	work    string    // a folder for the while
	version string    // without "v"
	time    time.Time // of everything in the packages
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("package", flag.ExitOnError)
	version := flags.String("version", "", "the `version`, such as 1.2.3; default what the commit is tagged with, else 0.0.0-dev and the commit")
	out := flags.String("out", "host/package/dist", "the `folder` for the packages; what it holds is replaced")
	debs := flags.Bool("deb", true, "make .deb packages")
	_ = flags.Parse(args) // exits by itself
	if flags.NArg() > 0 {
		return fmt.Errorf("%q: no arguments are taken", flags.Args())
	}
	r := release{out: *out}
	if r.root, err = output(ctx, "go", "list", "-m", "-f", "{{.Dir}}"); err != nil {
		return err
	}
	if r.out, err = filepath.Abs(r.out); err != nil {
		return err
	}
	if r.work, err = os.MkdirTemp("", "knockgate-package-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	if r.time, err = commitTime(ctx, r.root); err != nil {
		return err
	}
	r.version = strings.TrimPrefix(*version, "v")
	if r.version == "" {
		r.version = commitVersion(ctx, r.root, r.time)
	}
	if err := checkVersion(r.version); err != nil {
		return err
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	return r.make(ctx, *debs)
}

func (r *release) make(ctx context.Context, debs bool) error {
	common := filepath.Join(r.work, "common")
	if err := r.makeCommon(ctx, common); err != nil {
		return err
	}
	for _, arch := range architectures {
		say("linux/%s", arch)
		tree := filepath.Join(r.work, arch)
		if err := copyTree(common, tree); err != nil {
			return err
		}
		binary := filepath.Join(tree, "usr/bin/knockgate")
		if err := r.build(ctx, "linux", arch, binary); err != nil {
			return err
		}
		if err := r.archive(tree, arch); err != nil {
			return err
		}
		if !debs {
			continue
		}
		if err := r.deb(ctx, tree, arch); err != nil {
			return err
		}
	}
	return writeSums(r.out)
}

// build compiles the program: static, without this machine's paths, and with its
// version.
func (r *release) build(ctx context.Context, system, arch, file string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=auto",
		"-ldflags", "-s -w -buildid= -X main.release="+r.version, "-o", file, "./host")
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0")
	return runQuietly(cmd)
}

// deb makes the .deb of a tree.
func (r *release) deb(ctx context.Context, tree, arch string) error {
	cmd := exec.CommandContext(ctx, "go", "run", nfpm, "package", "--packager", "deb",
		"--config", "nfpm.yaml", "--target", r.out)
	cmd.Dir = filepath.Join(r.root, "host/package")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0",
		"SOURCE_DATE_EPOCH="+strconv.FormatInt(r.time.Unix(), 10),
		"PACKAGE_VERSION="+r.version, "PACKAGE_ARCH="+arch, "PACKAGE_TREE="+tree)
	return runQuietly(cmd)
}

// native makes a binary for this machine, to ask it for its manual.
func (r *release) native(ctx context.Context) (string, error) {
	file := filepath.Join(r.work, "native")
	return file, r.build(ctx, runtime.GOOS, runtime.GOARCH, file)
}

// commitTime returns SOURCE_DATE_EPOCH, else the time of the commit.
func commitTime(ctx context.Context, root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = output(ctx, "git", "-C", root, "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, fmt.Errorf("the time of the commit: %w; without git, set SOURCE_DATE_EPOCH", err)
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: not a number of seconds", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// commitVersion returns the version of what is checked out: its tag, else one
// that sorts before every release.
func commitVersion(ctx context.Context, root string, at time.Time) string {
	changed, err := output(ctx, "git", "-C", root, "status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return "0.0.0-dev"
	}
	tag, err := output(ctx, "git", "-C", root, "describe", "--tags", "--exact-match", "--match", "v*")
	if err == nil && changed == "" {
		return strings.TrimPrefix(tag, "v")
	}
	commit, err := output(ctx, "git", "-C", root, "rev-parse", "--short=8", "HEAD")
	if err != nil {
		return "0.0.0-dev"
	}
	version := "0.0.0-dev." + at.Format("20060102") + ".g" + commit
	if changed != "" {
		version += ".changed"
	}
	return version
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// output runs a command and returns what it prints, without the space at the ends.
func output(ctx context.Context, name string, args ...string) (string, error) {
	var complaint strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", name, err, complaint.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// runQuietly runs a command, whose words count if it fails.
func runQuietly(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
