package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The place of the policies, which config.toml names too.
const policiesDir = "usr/share/knockgate/policies"

// makeCommon lays out what packages of all machines have, as it is installed.
func (r *release) makeCommon(ctx context.Context, tree string) error {
	say("manual pages, completions, licences")
	native, err := r.native(ctx)
	if err != nil {
		return err
	}
	if err := r.manual(ctx, native, tree); err != nil {
		return err
	}
	if err := completions(ctx, native, tree); err != nil {
		return err
	}
	if err := r.licences(ctx, tree); err != nil {
		return err
	}
	if err := r.policies(tree); err != nil {
		return err
	}
	for file, from := range map[string]string{
		"lib/systemd/system/knockgate.service": "host/package/files/knockgate.service",
		"usr/lib/sysusers.d/knockgate.conf":    "host/package/files/knockgate.sysusers",
		"usr/share/doc/knockgate/config.toml":  "config.toml",
		"usr/share/doc/knockgate/README.md":    "host/package/README.md",
	} {
		if err := copyFile(filepath.Join(r.root, from), filepath.Join(tree, file)); err != nil {
			return err
		}
	}
	if err := copyTree(filepath.Join(r.root, "host/recipes"), filepath.Join(tree, "usr/share/doc/knockgate/recipes")); err != nil {
		return err
	}
	return copyFile(filepath.Join(r.root, "host/package/files/config.toml"), filepath.Join(tree, "etc/knockgate/config.toml"))
}

// manual writes the manual pages, packed as Debian has them.
func (r *release) manual(ctx context.Context, native, tree string) error {
	pages := filepath.Join(r.work, "man")
	if err := runQuietly(exec.CommandContext(ctx, native, "manual", pages, "--date", r.time.Format(time.DateOnly))); err != nil {
		return err
	}
	entries, err := os.ReadDir(pages)
	if err != nil {
		return err
	}
	for _, e := range entries {
		page, err := os.ReadFile(filepath.Join(pages, e.Name()))
		if err != nil {
			return err
		}
		packed, err := gzipped(page)
		if err != nil {
			return err
		}
		if err := write(tree, "usr/share/man/man1/"+e.Name()+".gz", packed, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// completionFiles are where the shells look for them; zsh and fish take those of
// packages from folders of their own.
var completionFiles = map[string]string{
	"bash": "usr/share/bash-completion/completions/knockgate",
	"zsh":  "usr/share/zsh/vendor-completions/_knockgate",
	"fish": "usr/share/fish/vendor_completions.d/knockgate.fish",
}

func completions(ctx context.Context, native, tree string) error {
	for shell, file := range completionFiles {
		text, err := output(ctx, native, "completion", shell)
		if err != nil {
			return err
		}
		if err := write(tree, file, []byte(text+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// policies copies the built modules with their READMEs.
func (r *release) policies(tree string) error {
	modules, err := filepath.Glob(filepath.Join(r.root, "policies/*/*.wasm"))
	if err != nil {
		return err
	}
	for _, module := range modules {
		dir := filepath.Dir(module)
		to := filepath.Join(tree, policiesDir, filepath.Base(dir))
		for _, file := range []string{module, filepath.Join(dir, "README.md")} {
			if err := copyFile(file, filepath.Join(to, filepath.Base(file))); err != nil {
				return err
			}
		}
	}
	return nil
}

// gzipped packs without a name or a time.
func gzipped(text []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// write makes a file and the folders it is in, whatever the umask.
func write(tree, file string, text []byte, mode fs.FileMode) error {
	path := filepath.Join(tree, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, text, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// copyFile copies a file; the copy can be read by all, and executed if the
// original can.
func copyFile(from, to string) error {
	fi, err := os.Stat(from)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if fi.Mode()&0o100 != 0 {
		mode = 0o755
	}
	return write(filepath.Dir(to), filepath.Base(to), text, mode)
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return copyFile(path, filepath.Join(to, strings.TrimPrefix(path, from)))
	})
}

// copyTo writes the whole of a file to w.
func copyTo(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
