package notices

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a digest.
const (
	// MaxGroups is how many groups of one kind there are; what else happens is
	// counted only.
	MaxGroups = 50
	// maxName and maxDetail are the most of a name and of a detail, in bytes.
	maxName   = 255
	maxDetail = 400
)

// tally is what happened in a time.
type tally struct {
	from, to time.Time
	groups   map[Item]int64
	kinds    map[Kind]int   // the number of groups
	more     map[Kind]int64 // what is in no group
}

func newTally(from time.Time) *tally {
	return &tally{from: from, groups: map[Item]int64{}, kinds: map[Kind]int{}, more: map[Kind]int64{}}
}

func (t *tally) empty() bool { return len(t.groups) == 0 }

// add counts an item. It keeps nothing of the item's texts that is the caller's.
func (t *tally) add(item Item, count int64) {
	for _, text := range []*string{&item.Class, &item.Policy, &item.Origin, &item.Room} {
		*text = clip(*text, maxName)
	}
	item.Detail = clip(item.Detail, maxDetail)
	_, there := t.groups[item]
	if !there && t.kinds[item.Kind] == MaxGroups {
		t.more[item.Kind] += count
		return
	}
	if !there {
		t.kinds[item.Kind]++
		for _, text := range []*string{&item.Class, &item.Policy, &item.Origin, &item.Room, &item.Detail} {
			*text = strings.Clone(*text)
		}
	}
	t.groups[item] += count
}

// merge adds what is in a later tally.
func (t *tally) merge(later *tally) {
	for item, count := range later.groups {
		t.add(item, count)
	}
	for kind, count := range later.more {
		t.more[kind] += count
	}
	t.to = later.to
}

// group is an item and how often it was.
type group struct {
	Item
	count int64
}

// Digest is what a target is sent, the same each time that it is tried.
type Digest struct {
	// id is this digest's alone.
	id       string
	server   string
	from, to time.Time
	groups   []group // by kind, the most first
	more     map[Kind]int64
}

// digest returns a tally as it is sent.
func (t *tally) digest(id, server string) *Digest {
	d := &Digest{id: id, server: server, from: t.from, to: t.to, more: t.more}
	for item, count := range t.groups {
		d.groups = append(d.groups, group{item, count})
	}
	slices.SortFunc(d.groups, func(a, b group) int {
		return cmp.Or(
			cmp.Compare(slices.Index(Kinds, a.Kind), slices.Index(Kinds, b.Kind)), cmp.Compare(b.count, a.count),
			cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Room, b.Room),
			cmp.Compare(a.Class, b.Class), cmp.Compare(a.Detail, b.Detail))
	})
	return d
}

// clip returns the beginning of a text, of at most most bytes.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// line returns text on one line, without what a terminal or a client might act on.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
