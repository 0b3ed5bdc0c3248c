package policylist

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	// maxText is the largest text of a list, in bytes.
	maxText = 64 << 20
	// maxEntry is the longest entry: no longer key is looked up.
	maxEntry = 1024
	// maxGlobs is the most entries of a list, or of one kind of a room's rules, that
	// are globs, as each is tried in turn.
	maxGlobs = 1000
)

// set is the content of one list. It never changes once made.
type set struct {
	text     string // as read, in lower case
	modified time.Time
	entries  int
	plain    matcher
	// rules are those of a room, which stand for keys of their kind alone; nil for a
	// list of a text, whose entries stand for any key.
	rules *[kinds]rules
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
	text, err := readText(r)
	if err != nil {
		return nil, err
	}
	return parse(text)
}

func readText(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(b) > maxText {
		err = fmt.Errorf("more than %d MiB, which is the most", maxText>>20)
	}
	return b, err
}

// parse returns the entries of a text, which it changes.
func parse(text []byte) (*set, error) {
	lower(text)
	s := &set{text: string(text)}
	s.plain.table.text = s.text
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
		if entry == "" {
			continue
		}
		if err := s.plain.add(start, entry); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		s.entries++
	}
	return s, nil
}

// has reports whether an entry stands for key. It allocates nothing where no
// entry is a glob.
func (s *set) has(key []byte) bool {
	if s.rules == nil {
		return s.plain.has(key)
	}
	r := &s.rules[kindOf(key)]
	return r.banned.has(key) && !r.allowed.has(key)
}
