package canonicaljson

import (
	"bytes"
	"iter"
	"strconv"
)

// Kind is the kind of a JSON value.
type Kind uint8

// The kinds. Invalid is the kind of the absent Value.
const (
	Invalid Kind = iota
	Null
	Bool
	Int
	String
	Array
	Object
)

// String returns the kind's name, in the words of RFC 8259.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "boolean"
	case Int:
		return "integer"
	case String:
		return "string"
	case Array:
		return "array"
	case Object:
		return "object"
	}
	return "nothing"
}

// Value is a value of a Doc. The zero Value is absent: what a Get that finds
// nothing returns. Every method is safe on it.
type Value struct {
	d *Doc
	i int32
}

func (v Value) node() *node { return &v.d.nodes[v.i] }

// Kind returns the kind; Invalid if v is absent.
func (v Value) Kind() Kind {
	if v.d == nil {
		return Invalid
	}
	return v.node().kind
}

// Exists reports whether v is there. A null is.
func (v Value) Exists() bool { return v.d != nil }

// IsNull reports whether v is a null.
func (v Value) IsNull() bool { return v.Kind() == Null }

// IsObject reports whether v is an object.
func (v Value) IsObject() bool { return v.Kind() == Object }

// IsArray reports whether v is an array.
func (v Value) IsArray() bool { return v.Kind() == Array }

// IsString reports whether v is a string.
func (v Value) IsString() bool { return v.Kind() == String }

// Get returns the member of v with this key, in this case; the absent Value if
// there is none or v is no object. It takes time in proportion to the members.
func (v Value) Get(key string) Value {
	if v.Kind() != Object {
		return Value{}
	}
	for i := v.node().child; i != none; i = v.d.nodes[i].next {
		if string(v.d.key(i)) == key {
			return Value{d: v.d, i: i}
		}
	}
	return Value{}
}

// Canonical returns v in canonical form, nil if v is absent. Do not change it.
func (v Value) Canonical() []byte {
	if v.d == nil {
		return nil
	}
	n := v.node()
	return v.d.out[n.start:n.end:n.end]
}

// CanonicalMember returns v in canonical form with its key and a colon before
// it, as it stands in its object; without if v is not a member of one. Do not
// change it.
func (v Value) CanonicalMember() []byte {
	if v.d == nil {
		return nil
	}
	n := v.node()
	return v.d.out[n.member:n.end:n.end]
}

// Text returns the decoded string, and false if v is no string.
func (v Value) Text() (string, bool) {
	b, ok := v.TextBytes()
	return string(b), ok
}

// TextBytes returns the decoded string as a view, and false if v is no string.
// Do not change it.
func (v Value) TextBytes() ([]byte, bool) {
	if v.Kind() != String {
		return nil, false
	}
	n := v.node()
	from := v.d.out
	if n.strInText {
		from = v.d.text
	}
	return from[n.str:n.strEnd:n.strEnd], true
}

// Int returns the integer, and false if v is none.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Int {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v.Canonical()), 10, 64)
	return n, err == nil
}

// Bool returns the boolean, and false if v is none.
func (v Value) Bool() (value, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v.node().count != 0, true
}

// Len returns the number of members or elements; 0 for other values.
func (v Value) Len() int {
	if k := v.Kind(); k != Array && k != Object {
		return 0
	}
	return int(v.node().count)
}

// Members returns the members of an object with their decoded keys, in
// canonical order; nothing for other values. Do not change the keys.
func (v Value) Members() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		if v.Kind() != Object {
			return
		}
		for i := v.node().child; i != none; i = v.d.nodes[i].next {
			if !yield(v.d.key(i), Value{d: v.d, i: i}) {
				return
			}
		}
	}
}

// Elems returns the elements of an array; nothing for other values.
func (v Value) Elems() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != Array {
			return
		}
		for i := v.node().child; i != none; i = v.d.nodes[i].next {
			if !yield(Value{d: v.d, i: i}) {
				return
			}
		}
	}
}

// Equal reports whether a and b are the same value.
func Equal(a, b Value) bool {
	return a.Kind() == b.Kind() && bytes.Equal(a.Canonical(), b.Canonical())
}

// key returns the decoded key of node i.
func (d *Doc) key(i int32) []byte {
	n := &d.nodes[i]
	from := d.out
	if n.keyInText {
		from = d.text
	}
	return from[n.key:n.keyEnd:n.keyEnd]
}
