package policylist

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/knockgate/knockgate/host/internal/pdu"
)

const (
	// maxText is the largest text of a list, in bytes.
	maxText = 64 << 20
	// maxEntry is the longest entry: no longer key is looked up.
	maxEntry = 1024
	// maxGlobs is the most entries of a list that are globs, as each is tried
	// in turn.
	maxGlobs = 1000
)

// set is the content of one list. It never changes once made.
type set struct {
	text     string // as read, in lower case
	modified time.Time
	entries  int
	// table has the exact entries, and the suffixes with the dot they begin
	// with, which no exact entry does.
	table    table
	suffixes bool
	globs    []string
}

func read(path string) (*set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s, err := readFrom(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.modified = info.ModTime()
	return s, nil
}

func readFrom(r io.Reader) (*set, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxText {
		return nil, fmt.Errorf("more than %d MiB, which is the most", maxText>>20)
	}
	return parse(b)
}

// parse returns the entries of a text, which it changes.
func parse(text []byte) (*set, error) {
	lower(text)
	s := &set{text: string(text)}
	s.table.text = s.text
	number, at := 0, 0
	for line := range strings.Lines(s.text) {
		number++
		start := at
		at += len(line)
		if number == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
			start = at - len(line)
		}
		entry, _, _ := strings.Cut(line, "#")
		trimmed := strings.TrimLeft(entry, " \t\r\n")
		start += len(entry) - len(trimmed)
		entry = strings.TrimRight(trimmed, " \t\r\n")
		switch {
		case entry == "":
			continue
		case len(entry) > maxEntry || !utf8.ValidString(entry):
			return nil, fmt.Errorf("line %d: an entry is at most %d bytes of UTF-8", number, maxEntry)
		}
		s.entries++
		rest := strings.TrimPrefix(entry, "*")
		switch {
		case strings.HasPrefix(rest, ".") && !strings.ContainsAny(rest, "*?"):
			s.table.add(start+len(entry)-len(rest), len(rest))
			s.suffixes = true
		case !strings.ContainsAny(entry, "*?"):
			s.table.add(start, len(entry))
		case len(s.globs) == maxGlobs:
			return nil, fmt.Errorf("line %d: more than %d globs; entries like \".example.org\" are none", number, maxGlobs)
		default:
			s.globs = append(s.globs, entry)
		}
	}
	return s, nil
}

// has reports whether an entry stands for key. It allocates nothing where no
// entry is a glob.
func (s *set) has(key []byte) bool {
	if len(key) > maxEntry {
		return false
	}
	var room [maxEntry]byte
	folded := append(room[:0], key...)
	lower(folded)
	if !bytes.HasPrefix(folded, []byte{'.'}) && s.table.has(folded) {
		return true
	}
	for rest, at := folded, 0; s.suffixes; rest = rest[at+1:] {
		if at = bytes.IndexByte(rest, '.'); at < 0 {
			break
		}
		if len(rest[at:]) < len(folded) && s.table.has(rest[at:]) {
			return true
		}
	}
	if len(s.globs) == 0 {
		return false
	}
	text := string(key)
	for _, g := range s.globs {
		if pdu.GlobMatch(g, text) {
			return true
		}
	}
	return false
}

// lower lowers the letters of ASCII, and no others: a folded letter of another
// script could make one entry of two.
func lower(text []byte) {
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			text[i] = c | 0x20
		}
	}
}

// table is a set of parts of one text: open addressing, at most half full. In a map
// of strings the garbage collector would follow a pointer for each entry.
type table struct {
	text  string
	seed  maphash.Seed
	slots []uint64 // offset<<16 | length; 0 is empty, as no part is
	count int
}

func (t *table) add(offset, length int) {
	if 2*(t.count+1) > len(t.slots) {
		t.grow()
	}
	part := t.text[offset : offset+length]
	if slot, found := t.slot(maphash.String(t.seed, part), func(other string) bool { return other == part }); !found {
		t.slots[slot] = uint64(offset)<<16 | uint64(length)
		t.count++
	}
}

func (t *table) grow() {
	old := t.slots
	if old == nil {
		t.seed = maphash.MakeSeed()
	}
	t.slots = make([]uint64, max(16, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			slot, _ := t.slot(maphash.String(t.seed, t.part(s)), func(string) bool { return false })
			t.slots[slot] = s
		}
	}
}

func (t *table) has(key []byte) bool {
	if t.count == 0 {
		return false
	}
	_, found := t.slot(maphash.Bytes(t.seed, key), func(part string) bool { return part == string(key) })
	return found
}

// slot returns where a part of this hash is, or belongs.
func (t *table) slot(hash uint64, same func(string) bool) (slot int, found bool) {
	mask := len(t.slots) - 1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		if t.slots[i] == 0 {
			return i, false
		}
		if same(t.part(t.slots[i])) {
			return i, true
		}
	}
}

func (t *table) part(slot uint64) string {
	offset, length := int(slot>>16), int(slot&0xffff)
	return t.text[offset : offset+length]
}
