package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// archivePlace says where in the .tar.gz the files of the installed tree are, by
// the folder they are installed in. What it does not name stays out.
var archivePlace = []struct{ installed, archived string }{
	{"usr/bin/", ""},
	{"etc/knockgate/", ""},
	{policiesDir + "/", "policies/"},
	{"lib/systemd/system/", "systemd/"},
	{"usr/lib/sysusers.d/", "systemd/sysusers.d/"},
	{"usr/share/man/man1/", "man/"},
	{"usr/share/bash-completion/completions/", "completions/bash/"},
	{"usr/share/zsh/vendor-completions/", "completions/zsh/"},
	{"usr/share/fish/vendor_completions.d/", "completions/fish/"},
	{"usr/share/doc/knockgate/", "doc/"},
}

// archived returns the place in the archive of an installed file, "" if it has none.
func archived(file string) string {
	for _, p := range archivePlace {
		if rest, ok := strings.CutPrefix(file, p.installed); ok {
			return p.archived + rest
		}
	}
	return ""
}

// archive makes the .tar.gz of a tree: the same bytes for the same tree, version
// and time.
func (r *release) archive(tree, arch string) (err error) {
	name := fmt.Sprintf("knockgate-%s-linux-%s", r.version, arch)
	f, err := os.Create(filepath.Join(r.out, name+".tar.gz"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	gz, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(gz)
	err = filepath.WalkDir(tree, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(tree, file)
		if err != nil {
			return err
		}
		place := archived(filepath.ToSlash(rel))
		if place == "" {
			return fmt.Errorf("%s has no place in the archive", rel)
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		header := tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(name, place), Size: fi.Size(), Mode: int64(fi.Mode().Perm()),
			ModTime: r.time, Uname: "root", Gname: "root", Format: tar.FormatPAX,
		}
		if err := w.WriteHeader(&header); err != nil {
			return err
		}
		return copyTo(w, file)
	})
	return errors.Join(err, w.Close(), gz.Close())
}

// writeSums writes SHA256SUMS of what the folder holds, in the format of
// sha256sum.
func writeSums(dir string) error {
	entries, err := os.ReadDir(dir) // in order of their names
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, e := range entries {
		h := sha256.New()
		if err := copyTo(h, filepath.Join(dir, e.Name())); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", h.Sum(nil), e.Name())
	}
	say("%s:\n%s", dir, strings.TrimSuffix(sums.String(), "\n"))
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums.String()), 0o644)
}
