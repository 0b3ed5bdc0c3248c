//go:build unix

package doctor

import (
	"os"
	"syscall"
)

// sameOwner gives a file to whom the folder belongs, so that a server that does
// not run as root reads what root has written.
func sameOwner(file, folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		return os.Chown(file, int(owner.Uid), int(owner.Gid))
	}
	return nil
}
