package glob

import "unicode/utf8"

// automaton runs globs of any form, all at once, as a set of bits. Each glob has
// one bit for each of its characters and one more: its bit i is set while its
// first i characters have been matched. A character of the text costs one shift
// of the set, whatever came before, so that no text is slow.
type automaton struct {
	globs []autoGlob
	chars []rune // of all globs, by bit; noRune at the last bit of each

	words int             // words in a set
	start []uint64        // the first bit of each glob
	stay  []uint64        // bits before which a star stands
	ascii [128]uint16     // by character: its class, at take[class*words:]
	other map[rune]uint16 // the same beyond ASCII
	take  []uint64        // by class: the bits whose character takes it
}

// autoGlob is one glob of an automaton.
type autoGlob struct {
	index int // in the set
	end   int // its last bit
}

const noRune = -1

// add appends a glob. Until finish, start and stay are lists of bits.
func (a *automaton) add(index int, folded string) {
	a.start = append(a.start, uint64(len(a.chars)))
	for _, c := range folded {
		if c == '*' {
			a.stay = append(a.stay, uint64(len(a.chars)))
		} else {
			a.chars = append(a.chars, c)
		}
	}
	a.globs = append(a.globs, autoGlob{index, len(a.chars)})
	a.chars = append(a.chars, noRune)
}

// finish makes the tables. Class 0 is of the characters that stand nowhere in
// the globs: only a "?" takes them.
func (a *automaton) finish() {
	if len(a.globs) == 0 {
		return
	}
	a.words = max(2, (len(a.chars)+63)/64) // two at least, see runPair
	a.start, a.stay = a.bitset(a.start), a.bitset(a.stay)
	a.take = make([]uint64, a.words)
	a.other = map[rune]uint16{}
	for at, c := range a.chars {
		if c == noRune || c == '?' {
			continue
		}
		class := a.class(c)
		if class == 0 {
			class = len(a.take) / a.words
			a.take = append(a.take, make([]uint64, a.words)...)
			if c < utf8.RuneSelf {
				a.ascii[c] = uint16(class)
			} else {
				a.other[c] = uint16(class)
			}
		}
		a.take[class*a.words+at/64] |= 1 << (at % 64)
	}
	for at, c := range a.chars {
		for word := at / 64; c == '?' && word < len(a.take); word += a.words {
			a.take[word] |= 1 << (at % 64)
		}
	}
}

func (a *automaton) bitset(list []uint64) []uint64 {
	set := make([]uint64, a.words)
	for _, at := range list {
		set[at/64] |= 1 << (at % 64)
	}
	return set
}

func (a *automaton) class(c rune) int {
	if c < utf8.RuneSelf {
		return int(a.ascii[c])
	}
	return int(a.other[c])
}

// first returns the least index, from on and below limit, of a glob that
// matches t, and limit if there is none.
func (a *automaton) first(t *Text, from, limit int) int {
	if a.globs[len(a.globs)-1].index < from || a.globs[0].index >= limit {
		return limit
	}
	set := a.run(t)
	for _, g := range a.globs {
		if g.index >= limit {
			break
		}
		if g.index >= from && set[g.end/64]>>(g.end%64)&1 == 1 {
			return g.index
		}
	}
	return limit
}

// run returns the set after the whole text.
func (a *automaton) run(t *Text) []uint64 {
	set := append(t.set[:0], a.start...)
	t.set = set
	if len(set) == 2 {
		set[0], set[1] = a.runPair(t.s)
		return set
	}
	stay := a.stay[:len(set)]
	for text := t.s; text != ""; {
		class, n := a.next(text)
		text = text[n:]
		take := a.take[class*len(set):][:len(set)]
		var carry, alive uint64
		for w, before := range set {
			hit := before & take[w]
			after := hit<<1 | carry | before&stay[w]
			carry = hit >> 63
			alive |= after
			set[w] = after
		}
		if alive == 0 {
			break
		}
	}
	return set
}

// runPair is run for a set of two words, which is what most policies need: it
// keeps the set out of memory.
func (a *automaton) runPair(text string) (low, high uint64) {
	low, high = a.start[0], a.start[1]
	lowStay, highStay := a.stay[0], a.stay[1]
	take := a.take
	for i := 0; i < len(text) && low|high != 0; {
		class, n := 0, 1
		if c := text[i]; c < utf8.RuneSelf {
			class = int(a.ascii[c])
		} else {
			class, n = a.next(text[i:])
		}
		i += n
		pair := take[2*class:][:2]
		lowHit, highHit := low&pair[0], high&pair[1]
		low = lowHit<<1 | low&lowStay
		high = highHit<<1 | lowHit>>63 | high&highStay
	}
	return low, high
}

// next returns the class of the first character and its length in bytes.
func (a *automaton) next(text string) (class, n int) {
	if c := text[0]; c < utf8.RuneSelf {
		return int(a.ascii[c]), 1
	}
	r, n := utf8.DecodeRuneInString(text)
	return int(a.other[r]), n
}
