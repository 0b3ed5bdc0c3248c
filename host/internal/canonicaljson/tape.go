package canonicaljson

import (
	"bytes"
	"slices"
)

// none is the node that follows the last of a container.
const none int32 = -1

// node is one value on the tape. Nodes stand in the order of the input, each
// container before what it holds; child and next link them in canonical order.
type node struct {
	kind Kind
	// Where the decoded key and string stand: in Doc.text, or else in the
	// input while parsing and in Doc.out afterwards.
	keyInText, strInText bool

	start, end  int32 // the value in Doc.out
	member      int32 // the quote of the key in Doc.out; start if there is no key
	key, keyEnd int32 // the decoded key of a member
	str, strEnd int32 // the decoded string; while parsing also a number's digits
	child, next int32 // first child, next sibling, or none
	count       int32 // members or elements
	last        int32 // the node after the last one inside this one
	text        int32 // len(Doc.text) before this node's key was decoded
}

// move shifts n for a copy that starts at the given node and bytes.
func (n *node) move(index, out, text int32) {
	if n.child != none {
		n.child -= index
	}
	if n.next != none {
		n.next -= index
	}
	n.last -= index
	n.start, n.end, n.member = n.start-out, n.end-out, n.member-out
	n.text -= text
	keyBase, strBase := out, out
	if n.keyInText {
		keyBase = text
	}
	if n.strInText {
		strBase = text
	}
	n.key, n.keyEnd = n.key-keyBase, n.keyEnd-keyBase
	n.str, n.strEnd = n.str-strBase, n.strEnd-strBase
}

// pending returns the decoded key of node i while parsing.
func (d *Doc) pending(src []byte, i int32) []byte {
	n := &d.nodes[i]
	if n.keyInText {
		return d.text[n.key:n.keyEnd]
	}
	return src[n.key:n.keyEnd]
}

// link chains the nodes of a closed container in canonical order and makes
// them its children. It returns a node whose key came before, or none.
func (d *Doc) link(src []byte, parent int32, kids []int32) (duplicate int32) {
	p := &d.nodes[parent]
	p.count = int32(len(kids))
	p.last = int32(len(d.nodes))
	if len(kids) == 0 {
		return none
	}
	if p.kind == Object {
		if twin := d.sortMembers(src, kids); twin != none {
			return twin
		}
	}
	p.child = kids[0]
	for i, kid := range kids[:len(kids)-1] {
		d.nodes[kid].next = kids[i+1]
	}
	return none
}

// sortMembers sorts by the UTF-8 bytes of the keys, which is the order of
// their code points. Input that is in order already costs one comparison a
// member. It returns a node whose key came before, or none.
func (d *Doc) sortMembers(src []byte, kids []int32) (duplicate int32) {
	sorted := true
	for i := 1; i < len(kids); i++ {
		c := bytes.Compare(d.pending(src, kids[i-1]), d.pending(src, kids[i]))
		if c == 0 {
			return kids[i]
		}
		if c > 0 {
			sorted = false
			break
		}
	}
	if sorted {
		return none
	}
	slices.SortFunc(kids, func(a, b int32) int {
		return bytes.Compare(d.pending(src, a), d.pending(src, b))
	})
	for i := 1; i < len(kids); i++ {
		if bytes.Equal(d.pending(src, kids[i-1]), d.pending(src, kids[i])) {
			return max(kids[i-1], kids[i])
		}
	}
	return none
}

// write writes the canonical form of the tape. The limit on depth bounds the
// recursion.
func (d *Doc) write(src []byte) {
	d.out = slices.Grow(d.out, len(src))
	d.nodes[0].next = none
	d.writeNode(src, 0)
}

func (d *Doc) writeNode(src []byte, i int32) {
	n := &d.nodes[i]
	n.start = int32(len(d.out))
	if n.member < 0 {
		n.member = n.start
	}
	switch n.kind {
	case Null:
		d.out = append(d.out, "null"...)
	case Bool:
		if n.count != 0 {
			d.out = append(d.out, "true"...)
		} else {
			d.out = append(d.out, "false"...)
		}
	case Int:
		d.out = append(d.out, src[n.str:n.strEnd]...)
	case String:
		n.str, n.strEnd, n.strInText = d.writeString(src, n.str, n.strEnd, n.strInText)
	case Array:
		d.out = append(d.out, '[')
		for kid := n.child; kid != none; kid = d.nodes[kid].next {
			if kid != n.child {
				d.out = append(d.out, ',')
			}
			d.writeNode(src, kid)
		}
		d.out = append(d.out, ']')
	case Object:
		d.out = append(d.out, '{')
		for kid := n.child; kid != none; kid = d.nodes[kid].next {
			if kid != n.child {
				d.out = append(d.out, ',')
			}
			m := &d.nodes[kid]
			m.member = int32(len(d.out))
			m.key, m.keyEnd, m.keyInText = d.writeString(src, m.key, m.keyEnd, m.keyInText)
			d.out = append(d.out, ':')
			d.writeNode(src, kid)
		}
		d.out = append(d.out, '}')
	}
	n.end = int32(len(d.out))
}

// writeString writes a decoded string, quoted, and returns where it can be
// read from now on. A string that came without escapes in the input has none
// in canonical form either.
func (d *Doc) writeString(src []byte, from, to int32, inText bool) (start, end int32, stillInText bool) {
	at := int32(len(d.out)) + 1
	if !inText {
		d.out = append(d.out, '"')
		d.out = append(d.out, src[from:to]...)
		d.out = append(d.out, '"')
		return at, at + to - from, false
	}
	d.out = AppendStringBytes(d.out, d.text[from:to])
	if int32(len(d.out)) == at+to-from+1 {
		return at, at + to - from, false
	}
	return from, to, true
}
