package canonicaljson

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// container is an array or object that is not closed yet.
type container struct {
	node int32
	kids int32 // where its children start in Doc.children
	kind Kind
}

// parser reads one document. It does not recurse: the open containers are a
// stack of their own, so that deep input costs what wide input costs.
type parser struct {
	d   *Doc
	src []byte
	at  int
	lim Limits
}

func (p *parser) syntax(at int, msg string) error { return &SyntaxError{Offset: at, Msg: msg} }
func (p *parser) strict(at int, msg string) error { return &StrictError{Offset: at, Msg: msg} }

// run reads the value and makes sure that nothing follows it.
func (p *parser) run() error {
	if bytes.HasPrefix(p.src, []byte("\ufeff")) {
		return p.syntax(0, "byte order mark")
	}
	for {
		opened, err := p.value()
		if err != nil {
			return err
		}
		if opened && !p.closes() {
			continue
		}
		more, err := p.after()
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	if p.skipSpace(); p.at < len(p.src) {
		return p.strict(p.at, "data after the value")
	}
	return nil
}

// closes reports whether the container just opened is empty.
func (p *parser) closes() bool {
	p.skipSpace()
	return p.at < len(p.src) && p.src[p.at] == closer(p.top().kind)
}

// after goes on behind a value: it closes what closes, and stops before the
// next value. It returns false when the outermost value is complete.
func (p *parser) after() (more bool, err error) {
	for len(p.d.open) > 0 {
		p.skipSpace()
		if p.at == len(p.src) {
			return false, p.syntax(p.at, "unexpected end")
		}
		switch p.src[p.at] {
		case ',':
			p.at++
			return true, nil
		case closer(p.top().kind):
			p.at++
			if err := p.close(); err != nil {
				return false, err
			}
		default:
			return false, p.syntax(p.at, "neither a comma nor the end of the array or object")
		}
	}
	return false, nil
}

func (p *parser) top() *container { return &p.d.open[len(p.d.open)-1] }

func closer(k Kind) byte {
	if k == Object {
		return '}'
	}
	return ']'
}

// value reads a value, with its key if it is a member. It returns true if it
// opened a container, whose contents come next.
func (p *parser) value() (opened bool, err error) {
	d := p.d
	if len(d.nodes) == p.lim.MaxNodes {
		return false, p.strict(p.at, "too many values")
	}
	if len(d.nodes) == cap(d.nodes) && len(d.nodes) >= wide {
		p.widen()
	}
	index := int32(len(d.nodes))
	n := node{text: int32(len(d.text)), member: none, child: none, next: none, last: index + 1}
	if len(d.open) > 0 {
		if p.top().kind == Object {
			if err := p.key(&n); err != nil {
				return false, err
			}
		}
		d.children = append(d.children, index)
	}
	p.skipSpace()
	if p.at == len(p.src) {
		return false, p.syntax(p.at, "unexpected end")
	}
	switch c := p.src[p.at]; c {
	case '{':
		n.kind, opened = Object, true
	case '[':
		n.kind, opened = Array, true
	case '"':
		n.kind = String
		n.str, n.strEnd, n.strInText, err = p.str()
	case 't':
		n.kind, n.count = Bool, 1
		err = p.literal("true")
	case 'f':
		n.kind = Bool
		err = p.literal("false")
	case 'n':
		n.kind = Null
		err = p.literal("null")
	default:
		n.kind = Int
		n.str, n.strEnd, err = p.number()
	}
	if err != nil {
		return false, err
	}
	d.nodes = append(d.nodes, n)
	if opened {
		if len(d.open) == p.lim.MaxDepth {
			return false, p.strict(p.at, "too many levels")
		}
		d.open = append(d.open, container{node: index, kids: int32(len(d.children)), kind: n.kind})
		p.at++
	}
	return opened, nil
}

// wide is more values than an event has, but for one that is made to be wide.
const wide = 1024

// widen makes room for as many nodes as the rest of the input can hold, where
// there are unusually many: append would copy them again and again. But for the
// open containers, each takes two bytes or more.
func (p *parser) widen() {
	d := p.d
	d.nodes = slices.Grow(d.nodes, min((len(p.src)-p.at)/2+1, p.lim.MaxNodes-len(d.nodes)))
}

// close ends the innermost container.
func (p *parser) close() error {
	d := p.d
	c := *p.top()
	kids := d.children[c.kids:]
	if twin := d.link(p.src, c.node, kids); twin != none {
		at := p.at
		if n := &d.nodes[twin]; !n.keyInText {
			at = int(n.key)
		}
		return p.strict(at, "duplicate key")
	}
	d.children = d.children[:c.kids]
	d.open = d.open[:len(d.open)-1]
	return nil
}

func (p *parser) key(n *node) (err error) {
	p.skipSpace()
	if p.at == len(p.src) {
		return p.syntax(p.at, "unexpected end")
	}
	if p.src[p.at] != '"' {
		return p.syntax(p.at, "a key must be a string")
	}
	if n.key, n.keyEnd, n.keyInText, err = p.str(); err != nil {
		return err
	}
	if p.skipSpace(); p.at == len(p.src) || p.src[p.at] != ':' {
		return p.syntax(p.at, "no colon after the key")
	}
	p.at++
	return nil
}

func (p *parser) skipSpace() {
	for p.at < len(p.src) {
		switch p.src[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

func (p *parser) literal(word string) error {
	if !bytes.HasPrefix(p.src[p.at:], []byte(word)) {
		return p.syntax(p.at, "not a value")
	}
	p.at += len(word)
	return nil
}

// str reads the string at p.at and returns where it is, decoded: in the input
// if it has no escapes, or else in Doc.text.
func (p *parser) str() (start, end int32, inText bool, err error) {
	from := p.at + 1
	i := from
	var high byte
	for {
		if i == len(p.src) {
			return 0, 0, false, p.syntax(i, "unexpected end in a string")
		}
		c := p.src[i]
		if plain[c] {
			high |= c
			i++
			continue
		}
		if c == '"' {
			break
		}
		if c == '\\' {
			return p.escaped(from)
		}
		return 0, 0, false, p.syntax(i, "control character in a string")
	}
	if high >= utf8.RuneSelf && !utf8.Valid(p.src[from:i]) {
		return 0, 0, false, p.syntax(from, "invalid UTF-8")
	}
	p.at = i + 1
	return int32(from), int32(i), false, nil
}

// plain holds the bytes that stand for themselves in a string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 256; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()
