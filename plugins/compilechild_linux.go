package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// canBoundChild says whether this platform has the limits of [Compiler].
const canBoundChild = true

// maxCodeFile is the largest file of native code that a child may write. 4 to 5
// bytes of it are made of one of Wasm.
const maxCodeFile = 256 << 20

// boundSelf sets the limits of an order on this process.
//
// The limit on memory is RLIMIT_DATA: what Go's runtime has reserved and not
// taken (1.6 GB when it begins) does not count, as it would with RLIMIT_AS.
func boundSelf(o compileOrder) error {
	begin, err := dataSize()
	if err != nil {
		return err
	}
	for _, l := range []struct {
		name     string
		resource int
		soft     uint64
		grace    uint64
	}{
		{"core", syscall.RLIMIT_CORE, 0, 0},
		// At the first, Go's runtime says why and exits; at the second, the kernel
		// kills.
		{"cpu", syscall.RLIMIT_CPU, uint64(o.CPU), 1},
		{"file size", syscall.RLIMIT_FSIZE, maxCodeFile, 0},
		{"open files", syscall.RLIMIT_NOFILE, 64, 0},
		{"memory", syscall.RLIMIT_DATA, begin + uint64(o.Memory), 0},
	} {
		if err := setLimit(l.resource, l.soft, l.soft+l.grace); err != nil {
			return fmt.Errorf("the limit on %s: %w", l.name, err)
		}
	}
	signal.Ignore(syscall.SIGXFSZ) // writing then fails, and says so
	debug.SetMemoryLimit(int64(begin) + o.Memory/4*3)
	return nil
}

// setLimit lowers a limit. One that is lower stays.
func setLimit(resource int, soft, hard uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(resource, &l); err != nil {
		return err
	}
	l.Max = min(l.Max, hard)
	l.Cur = min(l.Cur, l.Max, soft)
	return syscall.Setrlimit(resource, &l)
}

// dataSize returns what counts towards RLIMIT_DATA, in bytes.
func dataSize() (uint64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // no /proc: the limit is that much stricter
	}
	if err != nil {
		return 0, err
	}
	var pages [6]uint64 // size, resident, shared, text, lib, data
	if _, err := fmt.Sscan(string(text), &pages[0], &pages[1], &pages[2], &pages[3], &pages[4], &pages[5]); err != nil {
		return 0, fmt.Errorf("/proc/self/statm: %w", err)
	}
	return pages[5] * uint64(os.Getpagesize()), nil
}

// ours says whether a failure to compile is not the module's.
func ours(err error) bool {
	_, path := errors.AsType[*fs.PathError](err)
	_, number := errors.AsType[syscall.Errno](err)
	return path || number
}

// runChild has a child compile module in the folder dir, and returns nil once
// it says that it has. The child has an empty environment, three file
// descriptors and a process group of its own; it is killed when ctx is done,
// when its time is over and when this process ends.
func (c *compiler) runChild(ctx context.Context, dir string, module []byte, pages uint32) error {
	order, err := json.Marshal(compileOrder{Size: len(module), MemoryPages: pages, Memory: c.Memory, CPU: int64(c.CPU / time.Second)})
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, c.Deadline)
	defer cancel()
	args := append(append([]string{}, c.Command[1:]...), string(order))
	cmd := exec.CommandContext(bounded, c.Command[0], args...)
	cmd.Dir = dir
	cmd.Env = []string{"GOTRACEBACK=none"}
	cmd.Stdin = bytes.NewReader(module)
	var said, complained firstBytes
	cmd.Stdout, cmd.Stderr = &said, &complained
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second

	// The death signal comes when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	var result compileResult
	if err == nil {
		err = json.Unmarshal(said, &result)
	}
	switch {
	case result.Done:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case cmd.ProcessState == nil:
		return fmt.Errorf("cannot start %s to compile it: %w", c.Command[0], err)
	case bounded.Err() != nil:
		return fmt.Errorf("takes more than %s to compile, which is the most; a policy takes seconds: leave out code that it does not use", c.Deadline)
	case result.Invalid != "":
		return fmt.Errorf("not a valid module: %s", escaped([]byte(result.Invalid)))
	}
	return c.death(cmd.ProcessState, result.Fault+string(complained), err)
}

// death says why a child did not come to an end with the module.
func (c *compiler) death(state *os.ProcessState, text string, err error) error {
	status, _ := state.Sys().(syscall.WaitStatus)
	killed := status.Signaled() && status.Signal() == syscall.SIGKILL
	line, _, _ := strings.Cut(text, "\n")
	line = escaped([]byte(line))
	switch used := state.UserTime() + state.SystemTime(); {
	case strings.Contains(text, "SIGXCPU"), killed && used >= c.CPU:
		return fmt.Errorf("takes more than %s of processor time to compile, which is the most; a policy takes seconds: leave out code that it does not use", c.CPU)
	case strings.Contains(text, "out of memory"), strings.Contains(text, "cannot allocate memory"),
		// Of Go's runtime, whose collector does not look whether it got what it asked
		// for (1.26); nothing else in a child can fault like that.
		strings.HasPrefix(text, "SIGSEGV"):
		return fmt.Errorf("takes more than %d MiB of memory to compile, which is the most; leave out code that it does not use", c.Memory>>20)
	case killed:
		return errors.New("the compiling process was killed; perhaps the machine is out of memory")
	case line != "":
		return fmt.Errorf("the compiling process failed: %s", line)
	case err != nil:
		return fmt.Errorf("the compiling process %s: %w", c.Command[0], err)
	}
	return fmt.Errorf("the compiling process %s ended without an answer", c.Command[0])
}

// firstBytes keeps the first 4 KiB of what is written to it.
type firstBytes []byte

func (f *firstBytes) Write(p []byte) (int, error) {
	*f = append(*f, p[:min(len(p), 4<<10-len(*f))]...)
	return len(p), nil
}
