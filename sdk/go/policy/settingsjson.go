package policy

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// kind is the kind of a value in the settings.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindInt
	kindFraction
	kindText
	kindList
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "a truth value", "a number", "a fraction", "a text", "a list", "an object"}[k]
}

// value is one value of the settings.
type value struct {
	kind    kind
	truth   bool
	number  int64
	text    string
	elems   []value
	members []member
}

type member struct {
	key   string
	value value
}

// maxDepth is how deep settings may nest.
const maxDepth = 32

// parseSettings parses one JSON text. It refuses what encoding/json lets pass:
// keys that stand twice, text that is not UTF-8, lone surrogates. It is here
// because encoding/json makes a module 1.4 MB larger.
func parseSettings(src []byte) (value, error) {
	p := parser{src: string(src)}
	v := p.value(0)
	p.space()
	if p.err == "" && p.at < len(p.src) {
		p.fail("something follows the object")
	}
	if p.err != "" {
		return value{}, errors.New("the settings are not JSON: " + p.err + " at byte " + strconv.Itoa(p.at))
	}
	return v, nil
}

// parser stops at the first error: after it, at stays and every method returns
// at once.
type parser struct {
	src string
	at  int
	err string
}

func (p *parser) fail(text string) {
	if p.err == "" {
		p.err = text
	}
}

func (p *parser) space() {
	for p.at < len(p.src) {
		switch p.src[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// eat skips white space and then c, and reports whether c was there.
func (p *parser) eat(c byte) bool {
	p.space()
	if p.err == "" && p.at < len(p.src) && p.src[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) value(depth int) (v value) {
	p.space()
	if depth > maxDepth {
		p.fail("nested too deep")
	}
	if p.err != "" {
		return v
	}
	if p.at == len(p.src) {
		p.fail("it ends too soon")
		return v
	}
	switch c := p.src[p.at]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.list(depth)
	case c == '"':
		return value{kind: kindText, text: p.text()}
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for _, w := range [...]struct {
		word string
		v    value
	}{{"true", value{kind: kindBool, truth: true}}, {"false", value{kind: kindBool}}, {"null", value{}}} {
		if len(p.src)-p.at >= len(w.word) && p.src[p.at:p.at+len(w.word)] == w.word {
			p.at += len(w.word)
			return w.v
		}
	}
	p.fail("no value begins like this")
	return v
}

func (p *parser) object(depth int) value {
	v := value{kind: kindObject}
	p.at++
	if p.eat('}') {
		return v
	}
	keys := map[string]bool{}
	for p.err == "" {
		p.space()
		if p.at == len(p.src) || p.src[p.at] != '"' {
			p.fail("a key is missing")
			break
		}
		key := p.text()
		if keys[key] {
			p.fail("the key " + strconv.Quote(key) + " stands twice")
		}
		keys[key] = true
		if !p.eat(':') {
			p.fail("a colon is missing")
		}
		v.members = append(v.members, member{key, p.value(depth + 1)})
		if p.eat(',') {
			continue
		}
		if p.eat('}') {
			break
		}
		p.fail("a comma or the end of an object is missing")
	}
	return v
}

func (p *parser) list(depth int) value {
	v := value{kind: kindList}
	p.at++
	if p.eat(']') {
		return v
	}
	for p.err == "" {
		v.elems = append(v.elems, p.value(depth+1))
		if p.eat(',') {
			continue
		}
		if p.eat(']') {
			break
		}
		p.fail("a comma or the end of a list is missing")
	}
	return v
}

// number takes whole numbers that every JSON reader agrees on, up to 2^53-1 in
// size. Another number is a fraction, which no setting takes.
func (p *parser) number() value {
	start := p.at
	if p.src[p.at] == '-' {
		p.at++
	}
	digits := p.digits()
	if lead := p.at - digits; digits == 0 || digits > 1 && p.src[lead] == '0' {
		p.fail("a number is malformed")
		return value{}
	}
	whole := true
	if p.at < len(p.src) && p.src[p.at] == '.' {
		whole = false
		p.at++
		if p.digits() == 0 {
			p.fail("a number is malformed")
		}
	}
	if p.at < len(p.src) && (p.src[p.at] == 'e' || p.src[p.at] == 'E') {
		whole = false
		p.at++
		if p.at < len(p.src) && (p.src[p.at] == '+' || p.src[p.at] == '-') {
			p.at++
		}
		if p.digits() == 0 {
			p.fail("a number is malformed")
		}
	}
	if !whole {
		return value{kind: kindFraction}
	}
	n, err := strconv.ParseInt(p.src[start:p.at], 10, 64)
	if err != nil || n > 1<<53-1 || n < -(1<<53-1) {
		p.fail("a number is too large")
	}
	return value{kind: kindInt, number: n}
}

func (p *parser) digits() (n int) {
	for p.at < len(p.src) && p.src[p.at] >= '0' && p.src[p.at] <= '9' {
		p.at++
		n++
	}
	return n
}

// text takes a quoted text.
func (p *parser) text() string {
	p.at++
	start := p.at
	var out []byte // nil while the text is as it stands in src
	for p.at < len(p.src) {
		c := p.src[p.at]
		switch {
		case c == '"':
			s := p.src[start:p.at]
			p.at++
			return string(append(out, s...))
		case c == '\\':
			out = append(out, p.src[start:p.at]...)
			r, ok := p.escape()
			if !ok {
				p.fail("an escape is malformed")
				return ""
			}
			out = utf8.AppendRune(out, r)
			start = p.at
		case c < 0x20:
			p.fail("a text holds a control character")
			return ""
		case c < utf8.RuneSelf:
			p.at++
		default:
			r, n := utf8.DecodeRuneInString(p.src[p.at:])
			if r == utf8.RuneError && n == 1 {
				p.fail("a text is not UTF-8")
				return ""
			}
			p.at += n
		}
	}
	p.fail("a text does not end")
	return ""
}

func (p *parser) escape() (rune, bool) {
	p.at++
	if p.at == len(p.src) {
		return 0, false
	}
	c := p.src[p.at]
	p.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
	default:
		return 0, false
	}
	r, ok := p.hex4()
	if !ok || !utf16.IsSurrogate(r) {
		return r, ok
	}
	if p.at+2 > len(p.src) || p.src[p.at:p.at+2] != `\u` {
		return 0, false
	}
	p.at += 2
	low, ok := p.hex4()
	r = utf16.DecodeRune(r, low)
	return r, ok && r != utf8.RuneError
}

func (p *parser) hex4() (rune, bool) {
	if p.at+4 > len(p.src) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(p.src[p.at : p.at+4]) {
		switch {
		case c >= '0' && c <= '9':
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
	p.at += 4
	return r, true
}
