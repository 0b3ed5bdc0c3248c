package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"aead.dev/minisign"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/revisions"
	"github.com/knockgate/knockgate/plugins"
)

// Bounds of what is staged. Of more, the oldest go.
const (
	maxStaged      = 16
	maxStagedBytes = 64 << 20
)

// staged are modules that were uploaded, in a folder of their own: digest.wasm, and
// digest.wasm.minisig where there is a signature. Their names are their digests, never
// what a client calls them.
type staged struct {
	dir string

	mu    sync.Mutex
	known map[string]admin.Module // guarded by mu; what is known of files, by digest
}

func newStaged(stateDir string) *staged {
	return &staged{dir: filepath.Join(stateDir, "staged"), known: map[string]admin.Module{}}
}

// file returns the path of a module; digest is one.
func (s *staged) file(digest string) string { return filepath.Join(s.dir, digest+".wasm") }

// add keeps a module, which is checked as far as one can without running it.
func (s *staged) add(module, signature []byte, signers []minisign.PublicKey) (*admin.Module, error) {
	in := plugins.Inspect(module)
	if in.Err != nil {
		return nil, fmt.Errorf("%w: the module: %s: %w", admin.ErrInvalid, in.Stage, in.Err)
	}
	digest := strings.TrimPrefix(in.Digest, "sha256:")
	if len(signers) > 0 || signature != nil {
		what := fmt.Sprintf("the module %.12s", digest)
		if err := checkSignature(what+"'s signature", what, module, signature, signers); err != nil {
			return nil, fmt.Errorf("%w: %w", admin.ErrInvalid, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	path := s.file(digest)
	if signature != nil {
		if err := writeInOneStep(path+signatureSuffix, signature, 0o600); err != nil {
			return nil, err
		}
	}
	if err := writeInOneStep(path, module, 0o600); err != nil {
		return nil, err
	}
	m := inspected(in)
	m.At = time.Now().UTC()
	s.known[digest] = m
	return &m, s.trim()
}

// inspected returns what a module says of itself.
func inspected(in *plugins.Inspection) admin.Module {
	m := admin.Module{Digest: strings.TrimPrefix(in.Digest, "sha256:"), Size: int64(in.Size), Grants: in.Capabilities}
	if m.Grants == nil {
		m.Grants = []string{}
	}
	if in.Metadata != nil {
		m.Name, m.Version, m.Description, m.Schema = in.Metadata.Name, in.Metadata.Version, in.Metadata.Description, in.Metadata.Settings
	}
	return m
}

// files returns the staged modules' files, newest first. The caller holds mu.
func (s *staged) files() ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []fs.FileInfo
	for _, e := range entries {
		digest, ok := strings.CutSuffix(e.Name(), ".wasm")
		if info, err := e.Info(); ok && err == nil && revisions.IsDigest(digest) && info.Mode().IsRegular() {
			list = append(list, info)
		}
	}
	slices.SortFunc(list, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	return list, nil
}

// trim removes the oldest past the bounds, and what an interrupted write has left.
// The caller holds mu.
func (s *staged) trim() error {
	list, err := s.files()
	if err != nil {
		return err
	}
	var size int64
	keep := map[string]bool{}
	for i, info := range list {
		if size += info.Size(); i > 0 && (i >= maxStaged || size > maxStagedBytes) {
			delete(s.known, strings.TrimSuffix(info.Name(), ".wasm"))
			continue
		}
		keep[info.Name()], keep[info.Name()+signatureSuffix] = true, true
	}
	entries, err := os.ReadDir(s.dir)
	errs := []error{err}
	for _, e := range entries {
		if !keep[e.Name()] {
			errs = append(errs, os.Remove(filepath.Join(s.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// list returns the staged modules, newest first. A file that is not what its name
// says is none.
func (s *staged) list() ([]admin.Module, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	list := []admin.Module{}
	for _, info := range files {
		digest := strings.TrimSuffix(info.Name(), ".wasm")
		m, ok := s.known[digest]
		if !ok {
			text, err := readWhole(s.file(digest), plugins.MaxModule)
			if err != nil || sha256Hex(text) != digest {
				continue
			}
			m = inspected(plugins.Inspect(text))
			m.At = info.ModTime().UTC()
			s.known[digest] = m
		}
		list = append(list, m)
	}
	return list, nil
}

// has reports whether a module is staged.
func (s *staged) has(digest string) bool {
	info, err := os.Stat(s.file(digest))
	return err == nil && info.Mode().IsRegular()
}

func sha256Hex(text []byte) string {
	d := sha256.Sum256(text)
	return hex.EncodeToString(d[:])
}
