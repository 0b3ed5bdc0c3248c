package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// sharedCode is the native code of modules that a test has had compiled, for those that
// follow: a stock policy in Go takes seconds, and ten under the race detector.
var sharedCode struct {
	sync.Mutex
	dir string // "" until the first
}

// borrowCode gives a state folder that has no compiled modules those of the tests
// before, and has what is made there given back at the end of this one.
func borrowCode(t testing.TB, stateDir string) {
	t.Helper()
	sharedCode.Lock()
	defer sharedCode.Unlock()
	own := filepath.Join(stateDir, compiledDir)
	if sharedCode.dir == "" {
		dir, err := os.MkdirTemp("", "knockgate-test-code-")
		if err != nil {
			t.Fatal(err)
		}
		sharedCode.dir = dir
	} else if _, err := os.Lstat(own); os.IsNotExist(err) {
		linkTree(t, sharedCode.dir, own)
	}
	t.Cleanup(func() {
		sharedCode.Lock()
		defer sharedCode.Unlock()
		linkTree(t, own, sharedCode.dir)
	})
}

// linkTree makes links to the files of a folder in another, which is made if it is
// missing, and passes over those that are there.
func linkTree(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // removed meanwhile, or never made
		} else if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rest)
		switch {
		case e.IsDir():
			return os.MkdirAll(target, 0o700)
		case e.Type() == fs.ModeSymlink:
			var leads string
			if leads, err = os.Readlink(path); err == nil {
				err = os.Symlink(leads, target)
			}
		default:
			err = os.Link(path, target)
		}
		if os.IsExist(err) || os.IsNotExist(err) {
			return nil
		}
		return err
	})
	if errors.Is(err, syscall.EXDEV) { // a test on a disk of its own
		return
	}
	if err != nil {
		t.Error(err)
	}
}
