package glob

import (
	"encoding/binary"
	"unsafe"
)

// Text is a text made ready to be matched. It keeps its buffer from one
// [Text.Set] to the next, so that matching a stream of texts does not allocate.
// It belongs to one goroutine at a time.
type Text struct {
	s   string
	end tail
	buf []byte
	set []uint64 // of an automaton
}

// Set makes t the text s. It keeps s, or a folded copy, until the next Set.
func (t *Text) Set(s string) {
	if !lower(s) {
		t.buf = Fold(t.buf[:0], s)
		s = unsafe.String(unsafe.SliceData(t.buf), len(t.buf))
	}
	t.SetFolded(s)
}

// SetFolded makes t the text s, which has gone through [Fold] already. It keeps
// s until the next Set.
func (t *Text) SetFolded(s string) {
	t.s = s
	t.end = tailOf(s)
}

// String returns the folded text. It lasts until the next Set.
func (t *Text) String() string { return t.s }

// tail is the last 16 bytes of a text as two numbers, with masks that say which
// of the bytes there are. Two texts of which one ends with the other agree
// wherever the shorter one's mask is set; nearly all others do not, and that
// shows without a loop and without a call.
type tail struct{ low, lowMask, high, highMask uint64 }

func tailOf(s string) (t tail) {
	if n := len(s); n > 8 {
		t.high, t.highMask = lastBytes(s[:n-8])
		s = s[n-8:]
	}
	t.low, t.lowMask = lastBytes(s)
	return t
}

// lastBytes returns the last eight bytes of s, the last one highest.
func lastBytes(s string) (n, mask uint64) {
	if len(s) >= 8 {
		return binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s[len(s)-8:]), 8)), ^uint64(0)
	}
	for i := 0; i < len(s); i++ {
		n = n>>8 | uint64(s[i])<<56
		mask = mask>>8 | 0xff<<56
	}
	return n, mask
}

// lower reports whether folding would leave text as it is: ASCII without
// capital letters.
func lower(text string) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for len(text) >= 8 {
		n, _ := lastBytes(text)
		// In a byte below 0x80 the sums set the top bit from 'A' on, and from
		// 'Z'+1 on.
		capital := (n + (0x80-'A')*ones) &^ (n + (0x80-'Z'-1)*ones)
		if (n|capital)&high != 0 {
			return false
		}
		text = text[:len(text)-8]
	}
	for i := 0; i < len(text); i++ {
		if c := text[i]; c >= 0x80 || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}
