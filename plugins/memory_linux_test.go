package plugins

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// held is what the process holds of the memory that is not Go's.
type held struct {
	mappings, files int // of pictures
	address         int // KiB of address space, with all that is Go's
}

func holds(t *testing.T) held {
	t.Helper()
	var h held
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	h.mappings = strings.Count(string(maps), "knockgate-memory")
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, _ := os.Readlink(link); strings.Contains(to, "knockgate-memory") {
			h.files++
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, size, _ := strings.Cut(string(status), "VmSize:")
	if _, err := fmt.Sscan(size, &h.address); err != nil {
		t.Fatal(err)
	}
	return h
}

func needPageMap(t *testing.T) {
	t.Helper()
	if writtenPages() < 0 {
		t.Skip("the page map does not tell what was written to; reset compares")
	}
}

// TestMemoryIsGivenBack: loads that succeed, and loads and calls that end in every
// other way, leave no mapping, no file and no address space behind. An instance
// reserves 1 GiB of the latter here, so that one that is kept would show.
func TestMemoryIsGivenBack(t *testing.T) {
	needPageMap(t)
	e := newEngine(t, EngineOptions{Limits: Limits{Isolation: IsolationReset, MemoryPages: 16384, Wait: slow.Wait}})
	before := holds(t)
	if before.mappings != 0 || before.files != 0 {
		t.Fatalf("before: %+v", before)
	}
	outside := hostileGuest{data: list(cat(code(0), constant(1<<20), code(0x0b), text("x")))}.build()
	for _, tt := range []struct {
		name  string
		spec  PolicySpec
		loads bool
	}{
		{"answers", policyOf("deny_message"), true},
		{"memory that grows", policyOf("grows_memory"), true},
		{"trap", policyOf("trap"), true},
		{"proc_exit", policyOf("exits"), true},
		{"out of fuel", policyOf("loop"), true},
		{"start section without end", PolicySpec{Name: "p", Bytes: hostileGuest{extra: [][]byte{spin}, start: true}.build()}, false},
		{"data out of bounds", PolicySpec{Name: "p", Bytes: outside}, false},
		{"_initialize without end", policyOf("initialize_loop"), false},
		{"exits at the start", policyOf("exits_at_start"), false},
		{"refused settings", policyOf("refuses_settings"), false},
	} {
		for range 10 {
			c, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{tt.spec}}, nil)
			if (err == nil) != tt.loads {
				t.Fatalf("%s: Load = %v, want success %v", tt.name, err, tt.loads)
			}
			if err != nil {
				continue
			}
			if now := holds(t); now.mappings < 2 || now.files != 1 {
				t.Errorf("%s, loaded: %+v; want a picture and an instance that stands on it", tt.name, now)
			}
			for range 5 {
				var d Decision
				c.Evaluate(context.Background(), knockFacts(), &d)
			}
			c.Release()
		}
		if now := holds(t); now.mappings != 0 || now.files != 0 || now.address > before.address+1<<20 {
			t.Errorf("%s: %+v, before %+v", tt.name, now, before)
		}
	}
}

// TestMemoryIsNotOnTheHeap: instances in reset cost Go's collector nothing.
func TestMemoryIsNotOnTheHeap(t *testing.T) {
	needPageMap(t)
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	e := newEngine(t, EngineOptions{Limits: Limits{Isolation: IsolationReset}})
	large := hostileGuest{memory: cat(code(0), leb(256))}.build() // 16 MiB
	c := load(t, e, ChainSpec{Policies: []PolicySpec{{Name: "p", Bytes: large}}})
	before := heapInUse()
	for range 8 {
		in, err := c.policies[0].start(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer in.close()
		if !in.image.laid {
			t.Error("the instance does not stand on the picture")
		}
	}
	if now := heapInUse(); now > before+16<<20 {
		t.Errorf("8 instances of 16 MiB took the heap from %d to %d bytes", before, now)
	}
	runtime.KeepAlive(c)
}

// TestPictureCannotChange, not even by who has its file.
func TestPictureCannotChange(t *testing.T) {
	needPageMap(t)
	p := newPicture(make([]byte, 65536))
	defer p.free()
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", p.file), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("the file takes a write")
	}
	if err := f.Truncate(0); err == nil {
		t.Error("the file can be cut")
	}
}

func TestIsWritten(t *testing.T) {
	for _, tt := range []struct {
		name  string
		entry uint64
		want  bool
	}{
		{"never touched", 0, false},
		{"the file's page", pagePresent | pageOfFile, false},
		{"the file's page, mapped once, soft-dirty", pagePresent | pageOfFile | 1<<56 | 1<<55, false},
		{"a copy", pagePresent, true},
		{"a copy, mapped once, soft-dirty, with a frame number", pagePresent | 1<<56 | 1<<55 | 1234, true},
		{"a copy that was swapped out", pageSwapped | 1234, true},
		{"a page on its way", pageSwapped | pageOfFile, true},
	} {
		if got := isWritten(tt.entry); got != tt.want {
			t.Errorf("%s: isWritten(%#x) = %v, want %v", tt.name, tt.entry, got, tt.want)
		}
	}
}

// TestReallocate: memory stays in its place as it grows, ends where it should,
// and what is new is zero.
func TestReallocate(t *testing.T) {
	needPageMap(t)
	m := newMapping()
	defer m.free()
	m.Allocate(65536, 4*65536)
	b := m.Reallocate(65536)
	b[65535] = 1
	grown := m.Reallocate(3 * 65536)
	if &grown[0] != &b[0] || len(grown) != 3*65536 || grown[65535] != 1 || grown[65536] != 0 || grown[3*65536-1] != 0 {
		t.Error("growing moved or changed memory")
	}
	if got := m.Reallocate(5 * 65536); got != nil {
		t.Errorf("%d bytes past what was reserved", len(got))
	}
	// Where nothing can be reserved, memory is Go's.
	none := newMapping().Allocate(0, 0)
	for _, size := range []uint64{0, 65536, 2 * 65536} {
		if got := none.Reallocate(size); uint64(len(got)) != size {
			t.Errorf("Reallocate(%d) on Go's heap has %d bytes", size, len(got))
		}
	}
}

// TestFreshPagesAreThePictures: two instances share what neither wrote to.
func TestFreshPagesAreThePictures(t *testing.T) {
	needPageMap(t)
	e := newEngine(t, EngineOptions{Limits: Limits{Isolation: IsolationReset}})
	p := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("allow")}}).policies[0]
	in, err := p.start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	var a answer
	f := knockFacts()
	in.ask(abi.AppendFrame(nil, f), f, &a)
	if err := in.memory.undo(p.picture); err != nil {
		t.Fatal(err)
	}
	written := 0
	for _, entry := range in.memory.entries {
		if isWritten(entry) {
			written++
		}
	}
	// The guest has 8 pages of 64 KiB; a frame of less than 4 KiB was written.
	if written < 1 || written > 2 {
		t.Errorf("%d of %d pages are copies after a call, want 1 or 2", written, len(in.memory.entries))
	}
}
