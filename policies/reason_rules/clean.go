package main

import (
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/knockgate/knockgate/sdk/go/glob"
)

// appendClean appends text as the patterns see it: without the characters that
// nobody sees, in one case, every run of white space as one space, none at
// either end. It does not normalise.
func appendClean(dst []byte, text string) []byte {
	start := len(dst)
	space := false
	for _, c := range text {
		plain := c > ' ' && c < 0x7f // most text; the checks below cost ten times as much
		if !plain && unicode.IsSpace(c) {
			space = true
			continue
		}
		if !plain && invisible(c) {
			continue
		}
		if space && len(dst) > start {
			dst = append(dst, ' ')
		}
		space = false
		if plain {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, byte(c))
		} else {
			dst = utf8.AppendRune(dst, glob.FoldRune(c))
		}
	}
	return dst
}

// invisible reports whether a character has no width of its own: a control
// character, or one that Unicode 16 gives the property
// Default_Ignorable_Code_Point, which has the zero-width characters, the
// bidirectional controls, the soft hyphen, the variation selectors and the tags.
func invisible(c rune) bool {
	if c < 0x7f {
		return c < 0x20
	}
	if c <= 0x9f || c == 0xad {
		return true
	}
	if c < ignorable[0].from {
		return false
	}
	for _, r := range ignorable {
		if c <= r.to {
			return c >= r.from
		}
	}
	return false
}

var ignorable = [...]struct{ from, to rune }{
	{0x034f, 0x034f}, {0x061c, 0x061c}, {0x115f, 0x1160}, {0x17b4, 0x17b5},
	{0x180b, 0x180f}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x206f},
	{0x3164, 0x3164}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xffa0, 0xffa0},
	{0xfff0, 0xfff8}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
}

// view returns b as text that lasts until b changes.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
