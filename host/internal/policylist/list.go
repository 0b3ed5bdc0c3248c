// Package policylist keeps the lists that policies may ask, and reads their
// files again when they change.
package policylist

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/plugins"
)

const (
	// maxFile is the largest file, in bytes.
	maxFile = 64 << 20
	// maxEntry is the longest entry: no longer key is looked up.
	maxEntry = 1024
	// maxGlobs is the most entries of a file that are globs, as each is tried
	// in turn.
	maxGlobs = 1000
)

// Lists are the configured lists. They are safe for concurrent use.
type Lists struct {
	log   *slog.Logger
	lists map[string]*list // never changed
}

type list struct {
	file string
	set  atomic.Pointer[set]
}

// Open reads all lists. It fails if one cannot be read.
func Open(configured []config.List, log *slog.Logger) (*Lists, error) {
	l := &Lists{log: log, lists: map[string]*list{}}
	for _, c := range configured {
		s, err := read(c.File)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", c.Name, err)
		}
		one := &list{file: c.File}
		one.set.Store(s)
		l.lists[c.Name] = one
	}
	return l, nil
}

// Of returns lists with these entries, by name, in the form that the lines of a file
// have. It fails, naming the list, if an entry is no entry.
func Of(entries map[string][]string) (*Lists, error) {
	l := &Lists{log: slog.New(slog.DiscardHandler), lists: map[string]*list{}}
	for name, lines := range entries {
		s, err := parse(strings.Join(lines, "\n"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		one := &list{}
		one.set.Store(s)
		l.lists[name] = one
	}
	return l, nil
}

// Has reports whether a list holds key, and whether there is such a list. It
// implements plugins.Lists.
func (l *Lists) Has(name, key []byte) (has, known bool) {
	one, known := l.lists[string(name)]
	return known && one.set.Load().has(key), known
}

// Watch reads lists again when their files change, until ctx is done. A file
// with a fault leaves its list as it is.
func (l *Lists) Watch(ctx context.Context) error {
	if len(l.lists) == 0 {
		return nil
	}
	var paths []string
	for _, one := range l.lists {
		paths = append(paths, one.file)
	}
	return plugins.Watch(ctx, paths, l.Reload)
}

// Reload reads all lists again.
func (l *Lists) Reload() {
	for name, one := range l.lists {
		s, err := read(one.file)
		if err != nil {
			l.log.Error("list not read; it stays as it was", "list", name, "err", err)
			continue
		}
		if old := one.set.Swap(s); old.text != s.text {
			l.log.Info("list read", "list", name, "entries", s.entries)
		}
	}
}

// set is the content of one file.
type set struct {
	text    string // the file's
	entries int
	exact   map[string]struct{} // in lower case
	suffix  map[string]struct{} // in lower case, with the dot they begin with
	globs   []string
}

func read(path string) (*set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s: more than %d MiB, which is the most", path, maxFile>>20)
	}
	s, err := parse(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func parse(text string) (*set, error) {
	s := &set{text: text, exact: map[string]struct{}{}, suffix: map[string]struct{}{}}
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		entry, _, _ := strings.Cut(line, "#")
		entry = strings.TrimSpace(entry)
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
			s.suffix[lower(rest)] = struct{}{}
		case !strings.ContainsAny(entry, "*?"):
			s.exact[lower(entry)] = struct{}{}
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
	for i, c := range folded {
		if 'A' <= c && c <= 'Z' {
			folded[i] = c | 0x20
		}
	}
	if _, ok := s.exact[string(folded)]; ok {
		return true
	}
	for rest, at := folded, 0; len(s.suffix) > 0; rest = rest[at+1:] {
		if at = bytes.IndexByte(rest, '.'); at < 0 {
			break
		}
		if _, ok := s.suffix[string(rest[at:])]; ok && len(rest[at:]) < len(folded) {
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
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r | 0x20
		}
		return r
	}, s)
}
