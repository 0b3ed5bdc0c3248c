package plugins

import (
	"bytes"
	"fmt"
	"sync"
	"unsafe"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// picture is memory as it was after configure. It never changes. Instances that
// start alike stand on one.
type picture struct {
	bytes []byte
	file  int // holds the same bytes; -1: there is none, and bytes are Go's
}

// newPicture returns a picture of b, in a file of memory if there can be one.
// The caller frees it, after all that stands on it.
func newPicture(b []byte) *picture {
	if writtenPages() >= 0 {
		if p, err := filePicture(b); err == nil {
			return p
		}
	}
	return &picture{bytes.Clone(b), -1}
}

func filePicture(b []byte) (*picture, error) {
	file, err := unix.MemfdCreate("knockgate-memory", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	for at := 0; at < len(b) && err == nil; {
		var n int
		n, err = unix.Pwrite(file, b[at:], int64(at))
		at += n
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(file), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	var view []byte
	if err == nil {
		view, err = unix.Mmap(file, 0, len(b), unix.PROT_READ, unix.MAP_PRIVATE)
	}
	if err != nil {
		_ = unix.Close(file)
		return nil, err
	}
	return &picture{view, file}, nil
}

// free gives the picture back. A nil picture is none.
func (p *picture) free() {
	if p == nil || p.file < 0 {
		return
	}
	_ = unix.Munmap(p.bytes)
	_ = unix.Close(p.file)
	p.bytes, p.file = nil, -1
}

// mapping is the memory of one instance, outside Go's heap. Laid on a picture,
// each of its pages is the picture's until it is written to, and then a copy;
// the kernel knows which. Like an instance it belongs to one goroutine at a time.
type mapping struct {
	all     []byte // as much as the instance may ever have; beyond size it cannot be touched
	size    int
	entries []uint64 // of the page map; nil: not laid on a picture
}

// newMapping returns memory for an instance, nil where it must be the engine's.
// The caller frees it, after the module is closed.
func newMapping() *mapping {
	if writtenPages() < 0 {
		return nil
	}
	return &mapping{}
}

// Allocate reserves the address space. wazero calls it once.
func (m *mapping) Allocate(_, most uint64) experimental.LinearMemory {
	all, err := unix.Mmap(-1, 0, int(most), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return &heapMemory{}
	}
	m.all = all
	return m
}

// Reallocate makes the first size bytes usable, in place.
func (m *mapping) Reallocate(size uint64) []byte {
	if size > uint64(len(m.all)) {
		return nil
	}
	if more := m.all[m.size:size]; len(more) > 0 && unix.Mprotect(more, unix.PROT_READ|unix.PROT_WRITE) != nil {
		return nil
	}
	m.size = int(size)
	return m.all[:size:size]
}

// Free does nothing. wazero calls it in proc_exit, while the guest's call is
// still under way, and not at all where a module does not start; see free.
func (m *mapping) Free() {}

// free gives the memory back. A nil mapping has none.
func (m *mapping) free() {
	if m == nil || m.all == nil {
		return
	}
	_ = unix.Munmap(m.all)
	*m = mapping{}
}

// lay puts p, whose bytes the memory has at this moment, in the memory's place.
// It reports false if there is no such place. After an error the memory is lost.
func (m *mapping) lay(p *picture) (bool, error) {
	if m == nil || m.size != len(p.bytes) || m.size == 0 || p.file < 0 {
		return false, nil
	}
	at := unsafe.Pointer(&m.all[0])
	_, err := unix.MmapPtr(p.file, 0, at, uintptr(m.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED)
	if err != nil {
		return false, fmt.Errorf("memory cannot be mapped: %w", err)
	}
	m.entries = make([]uint64, m.size/unix.Getpagesize())
	return true, nil
}

// undo copies from p, which m is laid on, the pages that were written to. A page
// once written to stays a copy, so the next call that writes there finds it
// mapped. undo fails if the kernel does not say which pages those are.
func (m *mapping) undo(p *picture) error {
	if err := readPageMap(writtenPages(), m.all, m.entries); err != nil {
		return err
	}
	page := unix.Getpagesize()
	for i := 0; i < len(m.entries); i++ {
		if !isWritten(m.entries[i]) {
			continue
		}
		from := i * page
		for i++; i < len(m.entries) && isWritten(m.entries[i]); i++ {
		}
		copy(m.all[from:i*page], p.bytes[from:])
	}
	return nil
}

// heapMemory is what wazero would do without an allocator.
type heapMemory struct{ b []byte }

func (h *heapMemory) Reallocate(size uint64) []byte {
	h.b = append(h.b, make([]byte, size-uint64(len(h.b)))...)
	return h.b
}

func (h *heapMemory) Free() {}

// Bits of an entry of the page map: Documentation/admin-guide/mm/pagemap.rst.
const (
	pagePresent = 1 << 63
	pageSwapped = 1 << 62
	pageOfFile  = 1 << 61
)

// isWritten reports whether a page of a private mapping of a file is a copy. What
// was swapped out counts as one: copying a page that is no copy does no harm.
func isWritten(entry uint64) bool {
	return entry&pageSwapped != 0 || entry&(pagePresent|pageOfFile) == pagePresent
}

func readPageMap(file int, memory []byte, entries []uint64) error {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&entries[0])), len(entries)*8)
	at := int64(uintptr(unsafe.Pointer(&memory[0])) / uintptr(unix.Getpagesize()) * 8)
	n, err := unix.Pread(file, b, at)
	if err == nil && n != len(b) {
		err = fmt.Errorf("the page map has %d bytes of %d", n, len(b))
	}
	return err
}

// writtenPages is the open page map of this process, -1 if it does not tell which
// pages of a private mapping are copies, as in some sandboxes. It stays open for
// as long as the process lives.
var writtenPages = sync.OnceValue(func() int {
	file, err := unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	if !tellsWritten(file) {
		_ = unix.Close(file)
		return -1
	}
	return file
})

// tellsWritten tries a page that is read, one that is written to, and one that is
// left alone.
func tellsWritten(pageMap int) bool {
	page := unix.Getpagesize()
	p, err := filePicture(make([]byte, 3*page))
	if err != nil {
		return false
	}
	defer p.free()
	m, err := unix.Mmap(p.file, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Munmap(m) }()
	m[page] = m[0] + 1
	entries := make([]uint64, 3)
	return readPageMap(pageMap, m, entries) == nil &&
		!isWritten(entries[0]) && isWritten(entries[1]) && !isWritten(entries[2])
}
