// Package revisions keeps on disk the chains that have been in force, so that
// a start whose policies do not load has one to fall back to, and a bad change
// can be rolled back.
//
// In the state folder:
//
//	revisions/active.json               which revision is current, which was before
//	revisions/<revision>/manifest.json  what the revision is the SHA-256 of
//	modules/<sha256>.wasm               the modules, shared by revisions
//
// Everything is written beside its place, synced and renamed. active.json says
// both revisions in one file, so that they change in one step.
package revisions

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/knockgate/knockgate/plugins"
)

// Bounds of what is kept. The current revision and the one before stay within
// them; of the others the oldest go first.
const (
	maxRevisions = 16
	maxBytes     = 512 << 20 // of modules
)

// Store is the revisions of one state folder.
type Store struct {
	dir       string
	revisions int
	bytes     int64
}

// Open returns the revisions of a state folder, which need not exist yet.
func Open(stateDir string) *Store {
	return &Store{dir: stateDir, revisions: maxRevisions, bytes: maxBytes}
}

// Active says which revision is in force.
type Active struct {
	// Current is the last revision that was put in force, "" if there is none.
	Current string `json:"current"`
	// Previous is the one before it, "" if there is none.
	Previous string `json:"previous"`
	// RolledBack is set if Current is there by a rollback: the digest of the
	// configured chain that it stays on against. When the configured chain has
	// another, the rollback is over.
	RolledBack string `json:"rolled_back,omitempty"`
	// Held is [Changed] where that was no rollback.
	Held string `json:"held,omitempty"`
}

// What holds a revision against the configured chain.
const (
	RolledBack = "rollback"
	Changed    = "change" // of the chain in force, through the admin API
)

// HeldBy returns what holds Current against the configured chain with a digest, ""
// for nothing.
func (a Active) HeldBy(configured string) string {
	switch {
	case a.RolledBack == "" || a.RolledBack != configured:
		return ""
	case a.Held == Changed:
		return Changed
	}
	return RolledBack
}

// ActiveFile returns the path of active.json.
func (s *Store) ActiveFile() string { return filepath.Join(s.dir, "revisions", "active.json") }

// ModuleFile returns the path of the module with a digest.
func (s *Store) ModuleFile(digest string) string {
	return filepath.Join(s.dir, "modules", digest+".wasm")
}

// ManifestFile returns the path of a revision's manifest.
func (s *Store) ManifestFile(revision string) string {
	return filepath.Join(s.dir, "revisions", revision, "manifest.json")
}

// Active reads which revision is in force. A file that is not there, or a
// state folder that is none, is none.
func (s *Store) Active() (a Active, err error) {
	text, err := os.ReadFile(s.ActiveFile())
	if info, statErr := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) || statErr == nil && !info.IsDir() {
		return Active{}, nil
	}
	if err != nil {
		return Active{}, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return Active{}, fmt.Errorf("%s: %w; remove it to begin anew", s.ActiveFile(), err)
	}
	for _, r := range [...]string{a.Current, a.Previous} {
		if r != "" && !IsDigest(r) {
			return Active{}, fmt.Errorf("%s: %q is no revision; remove the file to begin anew", s.ActiveFile(), r)
		}
	}
	return a, nil
}

// SetActive replaces active.json.
func (s *Store) SetActive(a Active) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return replace(s.ActiveFile(), append(text, '\n'))
}

// Spec returns the chain of a revision that is kept. Its modules are pinned to
// their digests, and its manifest is held against the revision.
func (s *Store) Spec(revision string) (plugins.ChainSpec, error) {
	path := s.ManifestFile(revision)
	text, err := os.ReadFile(path)
	if err != nil {
		return plugins.ChainSpec{}, err
	}
	if sum(text) != revision {
		return plugins.ChainSpec{}, fmt.Errorf("%s: damaged: its SHA-256 is not the revision", path)
	}
	spec, err := plugins.ParseManifest(text, s.ModuleFile)
	if err != nil {
		return plugins.ChainSpec{}, fmt.Errorf("%s: %w", path, err)
	}
	return spec, nil
}

// Time returns when a revision was last put in force.
func (s *Store) Time(revision string) (time.Time, error) {
	info, err := os.Stat(s.ManifestFile(revision))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// Keep writes a chain that is in force to disk, with its modules, which are
// read from the files of spec, and makes room for it.
func (s *Store) Keep(c *plugins.Chain, spec plugins.ChainSpec) error {
	var size int64
	seen := map[string]bool{}
	for i, p := range c.Policies() {
		if seen[p.Module] {
			continue
		}
		seen[p.Module] = true
		n, err := s.keepModule(p.Module, spec.Policies[i])
		if err != nil {
			return err
		}
		if size += n; size > s.bytes {
			return errors.Join(fmt.Errorf("revision %.12s has more than %d MiB of modules, which is the most that is kept", c.Revision(), s.bytes>>20), s.prune())
		}
	}
	path := s.ManifestFile(c.Revision())
	if err := replace(path, c.Manifest()); err != nil {
		return err
	}
	// A name beside the others is durable once its folder is synced.
	return syncDir(filepath.Dir(filepath.Dir(path)))
}

// keepModule writes a policy's module unless it is there, and returns its size.
func (s *Store) keepModule(digest string, p plugins.PolicySpec) (int64, error) {
	path := s.ModuleFile(digest)
	if text, err := os.ReadFile(path); err == nil && sum(text) == digest {
		return int64(len(text)), nil
	}
	text := p.Bytes
	if p.Module != "" {
		var err error
		if text, err = os.ReadFile(p.Module); err != nil {
			return 0, err
		}
	}
	if sum(text) != digest {
		return 0, fmt.Errorf("%s: replaced while it was loaded", p.Module)
	}
	return int64(len(text)), replace(path, text)
}

// Activate keeps a chain that has been put in force and makes it the current
// revision; what was current is then the previous one. configured is the
// digest of the configured chain that it was loaded from. A rollback that came
// in between is left to be taken up.
func (s *Store) Activate(c *plugins.Chain, spec plugins.ChainSpec, configured string) error {
	a, err := s.Active()
	if err != nil {
		return err
	}
	switch r := c.Revision(); {
	case a.RolledBack == configured && configured != "" && a.Current != r:
		return nil
	case a.Current == r && a.RolledBack == "":
		if _, err := os.Stat(s.ManifestFile(r)); err == nil {
			return nil
		}
	case a.Current != r:
		a.Previous = a.Current
	}
	if err := s.Keep(c, spec); err != nil {
		return err
	}
	a.Current, a.RolledBack, a.Held = c.Revision(), "", ""
	if err := s.SetActive(a); err != nil {
		return err
	}
	return s.prune()
}

// IsDigest reports whether s is a SHA-256 as revisions and modules are named: 64 hex
// digits in lower case.
func IsDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func sum(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

// Renamed keeps a chain that was loaded from the current revision, if another
// version of this program gives it another revision. A rollback stays one.
func (s *Store) Renamed(c *plugins.Chain, spec plugins.ChainSpec) error {
	a, err := s.Active()
	if err != nil || a.Current == c.Revision() {
		return err
	}
	if err := s.Keep(c, spec); err != nil {
		return err
	}
	a.Current = c.Revision()
	return s.SetActive(a)
}

// Hold keeps a chain and makes it the current revision, before it is put in force: it
// stays against the configured chain with a digest, by what is [RolledBack] or
// [Changed]. was is the revision in force, which becomes the previous one.
func (s *Store) Hold(c *plugins.Chain, spec plugins.ChainSpec, was, configured, by string) error {
	a, err := s.Active()
	if err != nil {
		return err
	}
	if err := s.Keep(c, spec); err != nil {
		return err
	}
	if _, err := os.Stat(s.ManifestFile(was)); err != nil {
		was = a.Current // what is in force is not kept
	}
	if was != c.Revision() {
		a.Previous = was
	}
	a.Current, a.RolledBack, a.Held = c.Revision(), configured, by
	if err := s.SetActive(a); err != nil {
		return err
	}
	return s.prune()
}

// Free ends what holds the current revision.
func (s *Store) Free() error {
	a, err := s.Active()
	if err != nil || a.RolledBack == "" {
		return err
	}
	a.RolledBack, a.Held = "", ""
	return s.SetActive(a)
}
