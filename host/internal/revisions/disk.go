package revisions

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// partial marks files that are not renamed to their place yet.
const partial = ".new-"

// abandoned is the age from which on such a file is what a crash has left, and
// not what another process is about to rename.
const abandoned = time.Hour

// replace writes a file in one step, durably: whoever reads it finds the old
// or the new text, also after a crash.
func replace(path string, text []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, partial) // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// kept is one revision on disk.
type kept struct {
	revision string
	at       time.Time
	modules  []string
}

// list returns the revisions on disk, the current one first, then the
// previous one, then the others from the youngest to the oldest.
func (s *Store) list(a Active) ([]kept, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "revisions"))
	if err != nil {
		return nil, err
	}
	var list []kept
	for _, e := range entries {
		if !IsDigest(e.Name()) {
			continue
		}
		k := kept{revision: e.Name()}
		// One that cannot be read has no modules and the least time.
		if text, err := os.ReadFile(s.ManifestFile(k.revision)); err == nil {
			k.at, _ = s.Time(k.revision)
			var m struct {
				Policies []struct {
					Module string `json:"module"`
				} `json:"policies"`
			}
			if json.Unmarshal(text, &m) == nil {
				for _, p := range m.Policies {
					k.modules = append(k.modules, p.Module)
				}
			}
		}
		list = append(list, k)
	}
	rank := func(k kept) int {
		switch k.revision {
		case a.Current:
			return 0
		case a.Previous:
			return 1
		}
		return 2
	}
	slices.SortFunc(list, func(x, y kept) int {
		if d := rank(x) - rank(y); d != 0 {
			return d
		}
		return y.at.Compare(x.at)
	})
	return list, nil
}

// prune removes the oldest revisions past the bounds, the modules that no
// revision names, and what a crash left half-written.
func (s *Store) prune() error {
	a, err := s.Active()
	if err != nil {
		return err
	}
	list, err := s.list(a)
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	var size int64
	var errs []error
	for i, k := range list {
		var more int64
		for _, m := range k.modules {
			if info, err := os.Stat(s.ModuleFile(m)); err == nil && !needed[m] {
				more += info.Size()
			}
		}
		if i < s.revisions && size+more <= s.bytes {
			size += more
			for _, m := range k.modules {
				needed[m] = true
			}
			continue
		}
		if k.revision == a.Previous {
			a.Previous = ""
			errs = append(errs, s.SetActive(a))
		}
		errs = append(errs, os.RemoveAll(filepath.Join(s.dir, "revisions", k.revision)))
	}
	errs = append(errs,
		s.sweep("modules", func(name string) bool { return !needed[strings.TrimSuffix(name, ".wasm")] }),
		s.sweep("revisions", func(string) bool { return false }))
	return errors.Join(errs...)
}

// sweep removes the files of a folder that are unwanted, and the partial ones
// that are abandoned.
func (s *Store) sweep(folder string, unwanted func(name string) bool) error {
	dir := filepath.Join(s.dir, folder)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		remove := !strings.HasPrefix(e.Name(), partial) && unwanted(e.Name())
		if strings.HasPrefix(e.Name(), partial) {
			// One that is gone meanwhile was renamed to its place.
			info, err := e.Info()
			remove = err == nil && time.Since(info.ModTime()) > abandoned
		}
		if remove {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
