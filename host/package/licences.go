package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const documents = "usr/share/doc/knockgate/"

// licences writes our licence, and those of all that is linked into the program.
// A module without one is an error.
func (r *release) licences(ctx context.Context, tree string) error {
	ours, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return err
	}
	header := "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n" +
		"Upstream-Name: knockgate\nComment: Of what is linked into the program, see LICENSES beside this file.\n\n" +
		"Files: *\nCopyright: the authors of Knockgate\nLicense: Apache-2.0\n" +
		" On Debian systems, the text is in /usr/share/common-licenses/Apache-2.0.\n"
	if err := write(tree, documents+"copyright", []byte(header), 0o644); err != nil {
		return err
	}
	if err := write(tree, documents+"LICENSE", ours, 0o644); err != nil {
		return err
	}
	modules, err := r.linked(ctx)
	if err != nil {
		return err
	}
	goroot, err := output(ctx, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	modules["the Go standard library"] = goroot
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		files, err := licenceFiles(modules[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, file := range files {
			licence, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			fmt.Fprintf(&text, "== %s, %s\n\n%s\n\n", name, filepath.Base(file), strings.TrimSpace(string(licence)))
		}
	}
	return write(tree, documents+"LICENSES", []byte(text.String()), 0o644)
}

// linked returns the folders of the modules, but for ours, that the program is
// made of, by name and version.
func (r *release) linked(ctx context.Context) (map[string]string, error) {
	list, err := output(ctx, "go", "list", "-C", r.root, "-deps", "-json=Module", "./host")
	if err != nil {
		return nil, err
	}
	modules := map[string]string{}
	for d := json.NewDecoder(strings.NewReader(list)); ; {
		var p struct {
			Module *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return modules, nil
		} else if err != nil {
			return nil, err
		}
		if p.Module != nil && !p.Module.Main {
			modules[p.Module.Path+" "+p.Module.Version] = p.Module.Dir
		}
	}
}

// licenceFiles returns the files of a module's folder by which it may be handed
// on.
func licenceFiles(dir string) (found []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if !e.IsDir() && (strings.HasPrefix(name, "LICEN") || strings.HasPrefix(name, "NOTICE") || strings.HasPrefix(name, "COPYING")) {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no licence in %s", dir)
	}
	return found, nil
}
