package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep lists and objects may stand in each other.
const MaxDepth = 64

// maxWhole is the largest number that every reader of JSON agrees on.
const maxWhole = 1<<53 - 1

// Parse reads one JSON text into nil, bool, json.Number, string, []any and
// map[string]any. It refuses what encoding/json lets pass: text that is not
// UTF-8, keys that stand twice, and nesting deeper than MaxDepth.
func Parse(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not JSON: not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		if at, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("not JSON: %v at byte %d", err, at.Offset)
		}
		return nil, fmt.Errorf("not JSON: %v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return parse(dec, MaxDepth)
}

// parse reads one value of a text that is known to be JSON.
func parse(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == 0 {
		return nil, fmt.Errorf("nested deeper than %d levels", MaxDepth)
	}
	list, object := []any{}, map[string]any{}
	for dec.More() {
		if open == '[' {
			v, err := parse(dec, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
			continue
		}
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key := t.(string) // nothing else stands there in JSON
		if _, ok := object[key]; ok {
			return nil, fmt.Errorf("the key %s stands twice", shown(key))
		}
		if object[key], err = parse(dec, depth-1); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if open == '[' {
		return list, nil
	}
	return object, nil
}

// AppendCanonical appends what Parse returned as canonical JSON: no white space,
// keys in the order of their bytes, escapes only where JSON needs them. Numbers
// stay as they were written.
func AppendCanonical(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case json.Number:
		return append(dst, v...)
	case string:
		return appendText(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendCanonical(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		dst = append(dst, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendText(dst, key), ':')
			dst = AppendCanonical(dst, v[key])
		}
		return append(dst, '}')
	}
	panic(fmt.Sprintf("schema: a %T is no JSON value", v))
}

func appendText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if short := strings.IndexByte("\"\\\b\f\n\r\t", c); short >= 0 {
			dst = append(dst, '\\', `"\bfnrt`[short])
		} else if c < 0x20 {
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// whole returns v as a whole number as settings may hold it: in its one
// spelling, from -(2^53-1) to 2^53-1.
func whole(v any) (int64, bool) {
	literal, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(string(literal), 10, 64)
	if err != nil || n > maxWhole || n < -maxWhole || strconv.FormatInt(n, 10) != string(literal) {
		return 0, false
	}
	return n, true
}

// Whole returns an error if a value that Parse returned holds a number that is
// not whole, or not from -(2^53-1) to 2^53-1 in its shortest spelling.
func Whole(v any) error {
	switch v := v.(type) {
	case json.Number:
		if _, ok := whole(v); !ok {
			return fmt.Errorf("the number %s; numbers are whole, from %d to %d", shown(v), -int64(maxWhole), int64(maxWhole))
		}
	case []any:
		for _, e := range v {
			if err := Whole(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, key := range sortedKeys(v) {
			if err := Whole(v[key]); err != nil {
				return err
			}
		}
	}
	return nil
}
