package plugins

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a guest's JSON.
const maxDepth = 32

// scanner reads one JSON value of a guest, strictly: RFC 8259 in valid UTF-8,
// with no lone surrogates. The first fault stays.
type scanner struct {
	buf []byte
	at  int
	err error
}

func (s *scanner) failf(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("the result at byte %d: "+format, append([]any{s.at}, args...)...)
	}
	s.at = len(s.buf)
}

func (s *scanner) space() {
	for s.at < len(s.buf) {
		switch s.buf[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek returns the next byte that is no space, or 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.at < len(s.buf) {
		return s.buf[s.at]
	}
	return 0
}

func (s *scanner) expect(c byte) bool {
	if s.peek() != c {
		if s.at == len(s.buf) {
			s.failf("ends where %q is due", c)
		} else {
			s.failf("%q where %q is due", s.buf[s.at], c)
		}
		return false
	}
	s.at++
	return true
}

// next reports whether a list that ends with end has another item, and steps
// over the comma. first is whether no item was read yet.
func (s *scanner) next(first bool, end byte) bool {
	if s.err != nil {
		return false
	}
	if s.peek() == end {
		s.at++
		return false
	}
	return first || s.expect(',')
}

func (s *scanner) end() {
	if s.err == nil && s.peek() != 0 || s.at < len(s.buf) {
		s.failf("has more after its value")
	}
}

// text reads a string, decoded. It appends to dst, which it returns.
func (s *scanner) text(dst []byte) []byte {
	if !s.expect('"') {
		return dst
	}
	for s.at < len(s.buf) {
		c := s.buf[s.at]
		switch {
		case c == '"':
			s.at++
			return dst
		case c == '\\':
			dst = s.escape(dst)
		case c < 0x20:
			s.failf("a control character in a string")
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			s.at++
		default:
			r, n := utf8.DecodeRune(s.buf[s.at:])
			if r == utf8.RuneError && n == 1 {
				s.failf("is not valid UTF-8")
				return dst
			}
			dst = append(dst, s.buf[s.at:s.at+n]...)
			s.at += n
		}
	}
	s.failf("a string that does not end")
	return dst
}

func (s *scanner) escape(dst []byte) []byte {
	if s.at+1 >= len(s.buf) {
		s.failf("a string that does not end")
		return dst
	}
	c := s.buf[s.at+1]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		s.at += 2
		return append(dst, "\"\\/\b\f\n\r\t"[i])
	}
	if c != 'u' {
		s.failf("the escape %q", s.buf[s.at:s.at+2])
		return dst
	}
	r := s.hex()
	if utf16.IsSurrogate(r) {
		if s.at+1 >= len(s.buf) || s.buf[s.at] != '\\' || s.buf[s.at+1] != 'u' {
			s.failf("a lone surrogate")
			return dst
		}
		if r = utf16.DecodeRune(r, s.hex()); r == utf8.RuneError {
			s.failf("a lone surrogate")
			return dst
		}
	}
	return utf8.AppendRune(dst, r)
}

// hex reads \uXXXX.
func (s *scanner) hex() rune {
	if s.at+6 > len(s.buf) {
		s.failf("a string that does not end")
		return 0
	}
	var r rune
	for _, c := range s.buf[s.at+2 : s.at+6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			s.failf("%q is no hexadecimal digit", c)
			return 0
		}
		r = r<<4 | rune(c)
	}
	s.at += 6
	return r
}

// skip steps over one value, which is at the given depth, and checks it.
func (s *scanner) skip(depth int, scratch []byte) {
	switch c := s.peek(); {
	case (c == '{' || c == '[') && depth > maxDepth:
		s.failf("is nested deeper than %d", maxDepth)
	case c == '{':
		s.at++
		for first := true; s.next(first, '}'); first = false {
			s.text(scratch[:0])
			s.expect(':')
			s.skip(depth+1, scratch)
		}
	case c == '[':
		s.at++
		for first := true; s.next(first, ']'); first = false {
			s.skip(depth+1, scratch)
		}
	case c == '"':
		s.text(scratch[:0])
	case c == '-' || '0' <= c && c <= '9':
		s.number()
	default:
		s.word()
	}
}

func (s *scanner) word() {
	for _, w := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(string(s.buf[s.at:min(s.at+5, len(s.buf))]), w) {
			s.at += len(w)
			return
		}
	}
	s.failf("is no JSON value")
}

func (s *scanner) number() {
	if s.buf[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.buf) && s.buf[s.at] == '0' {
		s.at++
	} else {
		s.digits()
	}
	if s.at < len(s.buf) && s.buf[s.at] == '.' {
		s.at++
		s.digits()
	}
	if s.at < len(s.buf) && s.buf[s.at]|0x20 == 'e' {
		s.at++
		if s.at < len(s.buf) && (s.buf[s.at] == '+' || s.buf[s.at] == '-') {
			s.at++
		}
		s.digits()
	}
}

func (s *scanner) digits() {
	from := s.at
	for s.at < len(s.buf) && '0' <= s.buf[s.at] && s.buf[s.at] <= '9' {
		s.at++
	}
	if s.at == from {
		s.failf("a number without digits")
	}
}

var errNoObject = errors.New("the result is no JSON object")
