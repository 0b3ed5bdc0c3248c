package policytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep a file of fixtures may be nested.
const maxDepth = 100

// shape is what a value of a fixture may be.
type shape struct {
	kind string // "a text", "a whole number", "true or false", "a list", "an object"; "" is anything
	null bool   // null is taken too
	keys map[string]*shape
	each *shape // of a list, or of an object whose keys are free
}

// shaped is a type with a shape of its own.
type shaped interface{ shape() *shape }

// shapeOf returns the shape of what encoding/json reads into t.
func shapeOf(t reflect.Type) *shape {
	if s, ok := reflect.Zero(t).Interface().(shaped); ok {
		return s.shape()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return shapeOf(t.Elem())
	case reflect.String:
		return &shape{kind: "a text"}
	case reflect.Int, reflect.Int64:
		return &shape{kind: "a whole number"}
	case reflect.Bool:
		return &shape{kind: "true or false"}
	case reflect.Map:
		return &shape{kind: "an object", each: shapeOf(t.Elem())}
	case reflect.Slice:
		if t == reflect.TypeFor[json.RawMessage]() {
			return &shape{}
		}
		return &shape{kind: "a list", each: shapeOf(t.Elem())}
	}
	s := &shape{kind: "an object", keys: map[string]*shape{}}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("json"); name != "" && name != "-" {
			s.keys[name] = shapeOf(t.Field(i).Type)
		}
	}
	return s
}

// span is where a value stands in a text.
type span struct{ from, to int }

// reader holds a text to a shape and notes where each value stands, by its path.
type reader struct {
	text  []byte
	dec   *json.Decoder
	spans map[string]span
}

// check returns where each value of text stands, by its path, such as
// "cases[2].want". It fails unless text is one JSON value of the shape, without a
// key that stands twice or that the shape does not know.
func check(text []byte, s *shape) (map[string]span, error) {
	if at := invalid(text); at >= 0 {
		return nil, fmt.Errorf("%s: no UTF-8", place(text, at))
	}
	r := &reader{text: text, dec: json.NewDecoder(bytes.NewReader(text)), spans: map[string]span{}}
	r.dec.UseNumber()
	err := r.value("", s, 0)
	if err == nil {
		if _, err = r.dec.Token(); err == nil {
			err = errors.New("something stands after the end")
		} else if errors.Is(err, io.EOF) {
			return r.spans, nil
		}
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, fmt.Errorf("%s: %w", place(text, int(syntax.Offset)), err)
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("it ends too early: a bracket or a quote is not closed")
	}
	return nil, err
}

// value reads one value.
func (r *reader) value(path string, s *shape, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: nested deeper than %d levels", path, maxDepth)
	}
	from := int(r.dec.InputOffset())
	from += len(r.text[from:]) - len(bytes.TrimLeft(r.text[from:], " \t\r\n:,"))
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	got := kindOf(token)
	if s.kind != "" && got != s.kind && !(got == "null" && s.null) {
		return fmt.Errorf("%smust be %s, not %s", at(path), s.kind, got)
	}
	switch token {
	case json.Delim('{'):
		err = r.object(path, s, depth)
	case json.Delim('['):
		each := s.each
		if each == nil {
			each = &shape{}
		}
		for i := 0; err == nil && r.dec.More(); i++ {
			err = r.value(fmt.Sprintf("%s[%d]", path, i), each, depth+1)
		}
		if err == nil {
			_, err = r.dec.Token()
		}
	}
	r.spans[path] = span{from, int(r.dec.InputOffset())}
	return err
}

func (r *reader) object(path string, s *shape, depth int) error {
	seen := map[string]bool{}
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		inner := strings.TrimPrefix(path+"."+key, ".")
		if seen[key] {
			return fmt.Errorf("%s: the key stands twice", inner)
		}
		seen[key] = true
		of := s.each
		if s.keys != nil {
			if of = s.keys[key]; of == nil {
				return fmt.Errorf("%s: unknown key; there are %s", inner, strings.Join(slices.Sorted(maps.Keys(s.keys)), ", "))
			}
		} else if of == nil {
			of = &shape{}
		}
		if err := r.value(inner, of, depth+1); err != nil {
			return err
		}
	}
	_, err := r.dec.Token()
	return err
}

func kindOf(token json.Token) string {
	switch t := token.(type) {
	case string:
		return "a text"
	case bool:
		return "true or false"
	case json.Number:
		if _, err := t.Int64(); err == nil {
			return "a whole number"
		}
		return t.String()
	case json.Delim:
		if t == '[' {
			return "a list"
		}
		return "an object"
	}
	return "null"
}

// at is a path as the beginning of an error.
func at(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

// place says where a byte of a text stands, for people.
func place(text []byte, at int) string {
	before := text[:min(max(at, 0), len(text))]
	return fmt.Sprintf("line %d", 1+bytes.Count(before, []byte("\n")))
}

// invalid returns where text is not UTF-8, -1 if it is.
func invalid(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}
