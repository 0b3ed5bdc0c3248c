//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package serverkey

import (
	"os"
	"syscall"
)

// lock waits for the lock that the file at path stands for. It ends with the
// process at the latest. The file stays, and belongs to the owner of like.
func lock(path, like string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := giveTo(f, like); err != nil {
		f.Close()
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	return func() { f.Close() }, nil
}

// giveTo makes the file belong to whom the file at like belongs to, so that an
// admin who is root does not take the keys away from the server.
func giveTo(f *os.File, like string) error {
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}
