package canonicaljson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// escaped decodes the string that starts at from, behind its quote, into
// Doc.text.
func (p *parser) escaped(from int) (start, end int32, inText bool, err error) {
	text := p.d.text
	first := len(text)
	i, run := from, from
	for {
		if i == len(p.src) {
			return 0, 0, false, p.syntax(i, "unexpected end in a string")
		}
		c := p.src[i]
		if plain[c] {
			i++
			continue
		}
		if c < 0x20 {
			return 0, 0, false, p.syntax(i, "control character in a string")
		}
		if !utf8.Valid(p.src[run:i]) {
			return 0, 0, false, p.syntax(run, "invalid UTF-8")
		}
		text = append(text, p.src[run:i]...)
		if c == '"' {
			break
		}
		r, next, err := p.escape(i)
		if err != nil {
			return 0, 0, false, err
		}
		text = utf8.AppendRune(text, r)
		i, run = next, next
	}
	p.d.text = text
	p.at = i + 1
	return int32(first), int32(len(text)), true, nil
}

// escape decodes the escape at i and returns where it ends. A pair of
// surrogates is one escape; one without the other is refused, as it stands for
// no character.
func (p *parser) escape(i int) (r rune, end int, err error) {
	if i+1 == len(p.src) {
		return 0, 0, p.syntax(i+1, "unexpected end in a string")
	}
	switch c := p.src[i+1]; c {
	case '"', '\\', '/':
		return rune(c), i + 2, nil
	case 'b':
		return '\b', i + 2, nil
	case 'f':
		return '\f', i + 2, nil
	case 'n':
		return '\n', i + 2, nil
	case 'r':
		return '\r', i + 2, nil
	case 't':
		return '\t', i + 2, nil
	case 'u':
	default:
		return 0, 0, p.syntax(i, "unknown escape")
	}
	r, ok := p.hex(i + 2)
	if !ok {
		return 0, 0, p.syntax(i, "\\u without four hexadecimal digits")
	}
	end = i + 6
	if !utf16.IsSurrogate(r) {
		return r, end, nil
	}
	if end+1 < len(p.src) && p.src[end] == '\\' && p.src[end+1] == 'u' {
		low, ok := p.hex(end + 2)
		if !ok {
			return 0, 0, p.syntax(end, "\\u without four hexadecimal digits")
		}
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, end + 6, nil
		}
	}
	return 0, 0, p.strict(i, "lone surrogate")
}

// hex returns the four hexadecimal digits at i as a number.
func (p *parser) hex(i int) (r rune, ok bool) {
	if i+4 > len(p.src) {
		return 0, false
	}
	for _, c := range p.src[i : i+4] {
		switch {
		case isDigit(c):
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
