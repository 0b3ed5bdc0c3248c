// Package canonicaljson reads JSON as strictly as Matrix room versions 6 and
// later do, and writes it in canonical form: UTF-8, no white space, members
// sorted by code point, the shortest escapes, integers only.
//
// What another parser could read differently is refused: duplicate keys, lone
// surrogates, fractions, exponents, -0 and numbers outside ±(2^53-1). So two
// servers that look at the same bytes see the same value.
//
// One pass over the input checks it and builds a flat tape of nodes; a second
// pass, over the tape, writes the canonical bytes. Each node knows its span of
// them, so that any choice of members can be written again without encoding.
//
// Spec: Appendices, "Canonical JSON"; room version 6, "Canonical JSON".
package canonicaljson

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// keepNodes is the largest tape that is kept for the next parse, so that one
// hostile input does not hold its memory for the life of a pooled Doc.
const keepNodes = 8192

// Doc is one parsed JSON value. Parse resets it and keeps its buffers, so that
// a Doc in use for a while parses without allocating. It holds its own copy of
// what it parsed. It may be read by many at once, but not while it parses; a
// Value or a slice it handed out is good until the next Parse.
type Doc struct {
	nodes []node
	out   []byte // the canonical form
	text  []byte // decoded strings whose canonical form has escapes

	open     []container // scratch of the parser
	children []int32     // scratch: nodes of the open containers, oldest first
}

// Limits bounds one parse. Start from DefaultLimits.
type Limits struct {
	// MaxBytes is the longest input.
	MaxBytes int
	// MaxDepth is how many arrays and objects may be open at once.
	MaxDepth int
	// MaxNodes is how many values there may be, all levels counted.
	MaxNodes int
}

// DefaultLimits holds any event: one of 65,536 bytes in canonical form has at
// most 32,768 values, and escapes and white space may double its size. The
// tape of such a document takes 1.7 MiB.
var DefaultLimits = Limits{MaxBytes: 128 << 10, MaxDepth: 100, MaxNodes: 1 << 15}

// ErrTooLarge is returned for an input longer than MaxBytes.
var ErrTooLarge = errors.New("JSON document too large")

// SyntaxError reports an input that is no JSON, or not in UTF-8.
type SyntaxError struct {
	Offset int // in bytes
	Msg    string
}

// Error returns the message and the offset.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Msg, e.Offset) }

// StrictError reports an input that is JSON, as far as it was read, and is
// refused: a duplicate key, a lone surrogate, a number that is no integer of
// ±(2^53-1), too many levels or values, or something after the value.
type StrictError struct {
	Offset int // in bytes
	Msg    string
}

// Error returns the message and the offset.
func (e *StrictError) Error() string { return fmt.Sprintf("%s at byte %d", e.Msg, e.Offset) }

// Parse returns src as a new Doc, under DefaultLimits.
func Parse(src []byte) (*Doc, error) {
	d := new(Doc)
	if err := d.Parse(src); err != nil {
		return nil, err
	}
	return d, nil
}

// Parse reads src under DefaultLimits. See ParseLimits.
func (d *Doc) Parse(src []byte) error { return d.ParseLimits(src, DefaultLimits) }

// ParseLimits makes d hold the value in src. It fails with ErrTooLarge, a
// [*SyntaxError] or a [*StrictError]; d is then empty.
func (d *Doc) ParseLimits(src []byte, lim Limits) error {
	d.reset()
	if len(src) > min(lim.MaxBytes, math.MaxInt32) {
		return ErrTooLarge
	}
	if cap(d.nodes) > keepNodes {
		d.nodes, d.children = nil, nil
	}
	p := parser{d: d, src: src, lim: lim}
	if err := p.run(); err != nil {
		d.reset()
		return err
	}
	d.write(src)
	return nil
}

// Root returns the value that was parsed; the absent Value if there is none.
func (d *Doc) Root() Value {
	if len(d.nodes) == 0 {
		return Value{}
	}
	return Value{d: d}
}

// Bytes returns the canonical form of the whole; nil if nothing was parsed.
// Do not change it.
func (d *Doc) Bytes() []byte {
	if len(d.nodes) == 0 {
		return nil
	}
	return d.out
}

// CopyTo makes dst hold v alone, in memory of its own. Copying the absent
// Value leaves dst empty.
func (v Value) CopyTo(dst *Doc) {
	dst.reset()
	if v.d == nil {
		return
	}
	// A value's nodes, its canonical bytes and its decoded strings each stand
	// together, so that a copy needs only its positions moved.
	root := v.node()
	last := root.last
	dst.nodes = append(slices.Grow(dst.nodes, int(last-v.i)), v.d.nodes[v.i:last]...)
	dst.out = append(slices.Grow(dst.out, int(root.end-root.start)), v.d.out[root.start:root.end]...)
	textEnd := int32(len(v.d.text))
	if int(last) < len(v.d.nodes) {
		textEnd = v.d.nodes[last].text
	}
	dst.text = append(dst.text, v.d.text[root.text:textEnd]...)
	for i := range dst.nodes {
		dst.nodes[i].move(v.i, root.start, root.text)
	}
	top := &dst.nodes[0]
	top.member, top.key, top.keyEnd, top.next = 0, 0, 0, none
	top.keyInText = false
}

func (d *Doc) reset() {
	d.nodes, d.out, d.text = d.nodes[:0], d.out[:0], d.text[:0]
	d.open, d.children = d.open[:0], d.children[:0]
}
