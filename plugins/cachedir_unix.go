//go:build unix

package plugins

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// trustedDir makes dir with mode 0700 if it is missing, and fails unless it is
// a directory that is ours and that nobody else can enter: whoever writes to
// the cache runs code in this process.
func trustedDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: is a %s, not a directory", dir, kindOf(info.Mode()))
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		return fmt.Errorf("%s: has mode %04o; native code is run from it, so it must be 0700", dir, mode)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s: belongs to another user; native code is run from it", dir)
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	if mode&fs.ModeSymlink != 0 {
		return "symbolic link"
	}
	return "file"
}
