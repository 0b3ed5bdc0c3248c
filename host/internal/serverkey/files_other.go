//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package serverkey

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// lock makes the file at path, and fails if it is there: this system has no lock
// that ends with its process.
func lock(path, _ string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("another rotation is under way; if none is, remove %s", path)
	}
	if err != nil {
		return nil, err
	}
	return func() {
		f.Close()
		os.Remove(path)
	}, nil
}

// giveTo does nothing: this system has no owners that matter here.
func giveTo(*os.File, string) error { return nil }
