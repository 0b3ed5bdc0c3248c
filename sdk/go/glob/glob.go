// Package glob matches text with many globs at once, without regard to case, in
// time that grows with the text and not with what is in it.
//
// In a glob "*" stands for any run of characters, also none, and "?" for exactly
// one character (a Unicode code point); there is no escape. Every other
// character stands for itself and for its other cases, as [Fold] says. A glob
// must match the whole text.
//
// It is made for policies, where it runs as WebAssembly: no allocation while
// matching, no regular expressions, no tables larger than the globs need.
package glob

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// MaxLen is the most code points that a glob may have.
const MaxLen = 512

// maxChars bounds the tables of the globs that are not plain, in characters.
const maxChars = 8192

// Check returns what is wrong with a pattern: it is longer than [MaxLen], or
// not UTF-8.
func Check(pattern string) error {
	if !utf8.ValidString(pattern) {
		return errors.New("the glob is not UTF-8")
	}
	if utf8.RuneCountInString(pattern) > MaxLen {
		return errors.New("the glob has more than 512 characters")
	}
	return nil
}

// Set is an ordered list of compiled globs. It may be read by several goroutines
// at once. The zero Set matches nothing.
type Set struct {
	size  int
	ends  []tail    // of the plain globs, in order
	plain []plain   // the same globs in full
	from  []int32   // by glob: how many plain globs stand before it
	auto  automaton // the others
}

// plain is a glob with no "?" and at most one star. Most are a name or "*.name",
// and a policy may try thousands of them.
type plain struct {
	index int32 // in the set
	star  bool
	first string // before the star
	last  string // after it; all of it if there is none
}

// Compile returns the set of these globs, in this order. It fails as [Check]
// does, and if the globs that are more than a name with one star are too long
// together.
func Compile(patterns ...string) (*Set, error) {
	s := &Set{size: len(patterns)}
	for i, pattern := range patterns {
		if err := Check(pattern); err != nil {
			return nil, err
		}
		s.from = append(s.from, int32(len(s.plain)))
		folded := string(Fold(nil, pattern))
		first, last, star := strings.Cut(folded, "*")
		if !star {
			first, last = "", folded
		}
		if strings.ContainsAny(first, "?") || strings.ContainsAny(last, "*?") {
			s.auto.add(i, folded)
			continue
		}
		s.plain = append(s.plain, plain{int32(i), star, first, last})
		s.ends = append(s.ends, tailOf(last))
	}
	if len(s.auto.chars) > maxChars {
		return nil, errors.New("the globs with a ? or more than one * have more than 8192 characters together")
	}
	s.auto.finish()
	return s, nil
}

// Len returns how many globs the set has.
func (s *Set) Len() int { return s.size }

// Match reports whether a glob of the set matches text.
func (s *Set) Match(text string) bool {
	var t Text
	t.Set(text)
	return s.First(&t, 0) >= 0
}

// First returns the index of the first glob, not before index from, that
// matches t, and -1 if none does. It does not allocate.
func (s *Set) First(t *Text, from int) int {
	if from >= s.size {
		return -1
	}
	first := s.size
	at := int(s.from[from])
	ends := s.ends[at:]
	x, y := t.end.low, t.end.high
	for i := range ends {
		e := &ends[i]
		if (x^e.low)&e.lowMask|(y^e.high)&e.highMask == 0 && s.plain[at+i].match(t.s) {
			first = int(s.plain[at+i].index)
			break
		}
	}
	if len(s.auto.globs) > 0 {
		first = s.auto.first(t, from, first)
	}
	if first == s.size {
		return -1
	}
	return first
}

func (p *plain) match(text string) bool {
	if !p.star {
		return text == p.last
	}
	n := len(text) - len(p.last)
	return n >= len(p.first) && text[:len(p.first)] == p.first && text[n:] == p.last
}
