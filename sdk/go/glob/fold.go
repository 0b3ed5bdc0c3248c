package glob

import (
	"unicode"
	"unicode/utf8"
)

// Fold appends text to dst with every character in one of its cases, so that
// two texts which differ in case only give the same bytes. It is Unicode's
// simple case folding and, for the few characters that have a small letter but
// no folding, that letter. Bytes that are not UTF-8 become U+FFFD. It does not
// normalise: "é" as one character and as two stay different.
func Fold(dst []byte, text string) []byte {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		dst = utf8.AppendRune(dst, FoldRune(r))
		i += n
	}
	return dst
}

// FoldRune returns what [Fold] makes of one character.
func FoldRune(r rune) rune {
	switch {
	case r < utf8.RuneSelf:
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	// The tables below cost fifty times as much as these tests; a test holds
	// the one to the other.
	case r <= 'ÿ':
		if 'À' <= r && r <= 'Þ' && r != '×' {
			r += 'à' - 'À'
		}
		return r
	case 'А' <= r && r <= 'я':
		if r < 'а' {
			r += 'а' - 'А'
		}
		return r
	case 0x3000 <= r && r < 0xa640: // Chinese, Japanese
		return r
	}
	return foldSlowly(r)
}

func foldSlowly(r rune) rune {
	// The least of a character's cases stands for all of them: "K" (Kelvin
	// sign), "k" and "K" have one small letter only that way.
	least := r
	for c := unicode.SimpleFold(r); c != r; c = unicode.SimpleFold(c) {
		least = min(least, c)
	}
	return unicode.ToLower(least)
}
