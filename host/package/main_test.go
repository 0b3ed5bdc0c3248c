package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/config"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestConfigurations: what is installed is a configuration that serve accepts,
// with nothing of a trial in it, and its modules are among those that come with it.
func TestConfigurations(t *testing.T) {
	for _, file := range []string{"files/config.toml", "compose/knockgate.toml"} {
		// The files of the certificate are not on this machine.
		text := regexp.MustCompile(`(?m)^tls_.*$`).ReplaceAllString(read(t, file), "")
		cfg, err := config.Parse(text, "/etc/knockgate/config.toml")
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if cfg.Upstream == nil || cfg.Federation.LoopbackSelfSigned || len(cfg.Federation.AllowPrivate) > 0 {
			t.Errorf("%s: %+v; want a gateway, without the exceptions of a trial", file, cfg.Federation)
		}
		if got, want := cfg.StateDir, "/var/lib/knockgate"; got != want {
			t.Errorf("%s: state_dir %q, want %q", file, got, want)
		}
		if got, want := cfg.Policies.Dir, "/"+policiesDir; got != want {
			t.Errorf("%s: policies.dir %q, want %q", file, got, want)
		}
		if recipe := read(t, "../recipes/nginx-knocks.conf"); cfg.Listen.Plain && !strings.Contains(recipe, "http://"+cfg.Listen.Federation.String()+";") {
			t.Errorf("%s: plain HTTP on %s, which the recipes do not hand on to", file, cfg.Listen.Federation)
		}
		if len(cfg.Policies.Chain) == 0 {
			t.Errorf("%s has no policy", file)
		}
		for _, p := range cfg.Policies.Chain {
			module := filepath.Join("../../policies", strings.TrimPrefix(p.Module, "/"+policiesDir))
			if _, err := os.Stat(module); err != nil {
				t.Errorf("%s: policy %s: %v", file, p.Name, err)
			}
		}
	}
}

// TestUnit: the unit starts what is installed, with the folder and the user that
// are made.
func TestUnit(t *testing.T) {
	unit := read(t, "files/knockgate.service")
	for _, want := range []string{
		"Type=notify", "User=knockgate", "StateDirectory=knockgate", "StateDirectoryMode=0700",
		"ExecStart=/usr/bin/knockgate serve --config /etc/knockgate/config.toml", "OOMPolicy=continue",
	} {
		if !slices.Contains(strings.Split(unit, "\n"), want) {
			t.Errorf("the unit does not have %s", want)
		}
	}
	if !strings.HasPrefix(read(t, "files/knockgate.sysusers"), "u knockgate ") {
		t.Error("no user knockgate is made")
	}
}

// TestScripts: what dpkg runs is a shell script that can be read.
func TestScripts(t *testing.T) {
	for _, file := range []string{"postinst", "prerm", "postrm"} {
		text := read(t, "files/"+file)
		if !strings.HasPrefix(text, "#!/bin/sh\n") || !strings.Contains(text, "\nset -e\n") {
			t.Errorf("%s does not begin with #!/bin/sh and set -e", file)
		}
		if sh, err := exec.LookPath("sh"); err == nil {
			if out, err := exec.Command(sh, "-n", "files/"+file).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", file, err, out)
			}
		}
	}
}

func TestCheckVersion(t *testing.T) {
	for version, ok := range map[string]bool{
		"1.2.3": true, "0.0.0-dev": true, "0.0.0-dev.20261125.gb98b7d3.changed": true, "10.0.0-rc.1": true,
		"": false, "1.2": false, "v1.2.3": false, "1.2.3+b": false, "01.2.3": false, "1.2.3-": false,
		"1.2.3 -X main.x=y": false, "../1.2.3": false, "1.2.3\n": false,
	} {
		if err := checkVersion(version); (err == nil) != ok {
			t.Errorf("checkVersion(%q) = %v, want accepted: %v", version, err, ok)
		}
	}
}

// TestArchive: the same bytes for the same tree, whatever the times and the
// umask on disk, with everything at its place.
func TestArchive(t *testing.T) {
	pack := func(mtime time.Time) (string, []byte) {
		tree, out := t.TempDir(), t.TempDir()
		for file, mode := range map[string]fs.FileMode{
			"usr/bin/knockgate": 0o755, "etc/knockgate/config.toml": 0o644, policiesDir + "/a/a.wasm": 0o644,
			"usr/share/man/man1/knockgate.1.gz": 0o644, "lib/systemd/system/knockgate.service": 0o644,
		} {
			if err := write(tree, file, []byte(file), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(filepath.Join(tree, file), mtime, mtime); err != nil {
				t.Fatal(err)
			}
		}
		r := release{out: out, version: "1.2.3", time: time.Unix(1_700_000_000, 0)}
		if err := r.archive(tree, "amd64"); err != nil {
			t.Fatal(err)
		}
		if err := writeSums(out); err != nil {
			t.Fatal(err)
		}
		sums, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		packed, err := os.ReadFile(filepath.Join(out, "knockgate-1.2.3-linux-amd64.tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		return string(sums), packed
	}
	sums, packed := pack(time.Unix(1, 0))
	if again, _ := pack(time.Unix(1_000_000_000, 0)); again != sums {
		t.Errorf("two archives of one tree have the sums\n%sand\n%s", sums, again)
	}
	if want := "  knockgate-1.2.3-linux-amd64.tar.gz\n"; !regexp.MustCompile(`^[0-9a-f]{64}` + want + `$`).MatchString(sums) {
		t.Errorf("SHA256SUMS is %q", sums)
	}
	want := map[string]int64{
		"knockgate": 0o755, "config.toml": 0o644, "policies/a/a.wasm": 0o644, "man/knockgate.1.gz": 0o644,
		"systemd/knockgate.service": 0o644,
	}
	got := unpack(t, packed)
	if len(got) != len(want) {
		t.Errorf("the archive has %d files, want %d: %v", len(got), len(want), got)
	}
	for file, mode := range want {
		if got["knockgate-1.2.3-linux-amd64/"+file] != mode {
			t.Errorf("%s has mode %o, want %o", file, got["knockgate-1.2.3-linux-amd64/"+file], mode)
		}
	}
}

// TestCompletions: what the binary writes for a shell is where that shell looks for it
// on Debian, and in a folder of the shell's name in an archive.
func TestCompletions(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell")
	}
	native, tree := filepath.Join(t.TempDir(), "native"), t.TempDir()
	if err := os.WriteFile(native, []byte("#!"+sh+"\necho asked for \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := completions(t.Context(), native, tree); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ shell, installed, inArchive string }{
		{"bash", "usr/share/bash-completion/completions/knockgate", "completions/bash/knockgate"},
		{"zsh", "usr/share/zsh/vendor-completions/_knockgate", "completions/zsh/_knockgate"},
		{"fish", "usr/share/fish/vendor_completions.d/knockgate.fish", "completions/fish/knockgate.fish"},
	} {
		if got, want := read(t, filepath.Join(tree, tt.installed)), "asked for completion "+tt.shell+"\n"; got != want {
			t.Errorf("%s: %q, want %q", tt.installed, got, want)
		}
		if got := archived(tt.installed); got != tt.inArchive {
			t.Errorf("%s is %q in an archive, want %q", tt.installed, got, tt.inArchive)
		}
	}
}

// TestArchiveLeavesNothingOut: a file that has no place is an error.
func TestArchiveLeavesNothingOut(t *testing.T) {
	tree := t.TempDir()
	if err := write(tree, "usr/games/knockgate", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	r := release{out: t.TempDir(), version: "1.2.3"}
	if err := r.archive(tree, "amd64"); err == nil || !strings.Contains(err.Error(), "usr/games/knockgate") {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

func unpack(t *testing.T, packed []byte) map[string]int64 {
	t.Helper()
	gz, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]int64{}
	for r := tar.NewReader(gz); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = h.Mode
	}
}

// TestLicences: each module that is linked has one, in the file.
func TestLicences(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	r := release{root: root}
	if err := r.licences(t.Context(), tree); err != nil {
		t.Fatal(err)
	}
	text := read(t, filepath.Join(tree, documents, "LICENSES"))
	for _, module := range []string{"github.com/tetratelabs/wazero v", "modernc.org/sqlite v", "the Go standard library"} {
		if !strings.Contains(text, "== "+module) {
			t.Errorf("LICENSES does not have %s", module)
		}
	}
	if strings.Contains(text, "rapid") {
		t.Error("LICENSES has what only tests use")
	}
}

// TestDockerfile: the image has the program, configuration and state where the
// packages have them.
func TestDockerfile(t *testing.T) {
	text := read(t, "Dockerfile")
	for _, want := range []string{
		"FROM scratch", "USER 65532:65532", "/image/usr/bin/knockgate ./host", "\"/image/usr/share/knockgate/$module\"",
		`CMD ["/usr/bin/knockgate", "healthy", "--config", "/etc/knockgate/config.toml"]`, "CGO_ENABLED=0",
		"-X main.release=$VERSION", "/state /var/lib/knockgate",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the Dockerfile does not have %q", want)
		}
	}
	goMod := read(t, "../../go.mod")
	minor := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(goMod)
	if minor == nil || !strings.Contains(text, "FROM --platform=$BUILDPLATFORM golang:"+minor[1]+" AS build") {
		t.Errorf("the Dockerfile builds with another Go than go.mod asks for, %q", minor)
	}
}
