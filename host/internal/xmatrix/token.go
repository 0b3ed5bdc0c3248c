package xmatrix

import (
	"errors"
	"fmt"
	"strings"
)

// tokenizer reads a header value from the front.
type tokenizer struct{ rest string }

// space skips OWS and reports whether there was any.
func (t *tokenizer) space() bool {
	before := len(t.rest)
	t.rest = strings.TrimLeft(t.rest, " \t")
	return len(t.rest) < before
}

// byte skips c if it comes next, and reports whether it did.
func (t *tokenizer) byte(c byte) bool {
	if t.rest == "" || t.rest[0] != c {
		return false
	}
	t.rest = t.rest[1:]
	return true
}

// token reads as many tchar as come next, which may be none.
func (t *tokenizer) token() string { return t.while(isToken) }

// param reads a name, "=" and a value.
func (t *tokenizer) param() (name, value string, err error) {
	if name = t.token(); name == "" {
		return "", "", fmt.Errorf("%.20q stands where the name of a parameter must", t.rest)
	}
	t.space()
	if !t.byte('=') {
		return "", "", fmt.Errorf("no '=' follows the parameter name %.20q", name)
	}
	t.space()
	if t.byte('"') {
		value, err = t.quoted()
		return name, value, err
	}
	if value = t.while(isBare); value == "" {
		return "", "", fmt.Errorf("the parameter %.20q has no value", name)
	}
	return name, value, nil
}

// quoted reads the rest of a quoted-string and undoes its backslash pairs.
//
// RFC 9110, section 5.6.4.
func (t *tokenizer) quoted() (string, error) {
	var unescaped []byte // nil until there is a backslash
	for i := 0; i < len(t.rest); i++ {
		c := t.rest[i]
		switch {
		case c == '"':
			value := t.rest[:i]
			if unescaped != nil {
				value = string(unescaped)
			}
			t.rest = t.rest[i+1:]
			return value, nil
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", errors.New("a control character stands in a quoted string")
		case c == '\\':
			if unescaped == nil {
				unescaped = append(make([]byte, 0, len(t.rest)), t.rest[:i]...)
			}
			if i++; i == len(t.rest) || t.rest[i] < ' ' && t.rest[i] != '\t' || t.rest[i] == 0x7f {
				return "", errors.New("a backslash in a quoted string escapes nothing")
			}
			unescaped = append(unescaped, t.rest[i])
		case unescaped != nil:
			unescaped = append(unescaped, c)
		}
	}
	return "", errors.New("a quoted string does not end")
}

func (t *tokenizer) while(class func(byte) bool) string {
	i := 0
	for i < len(t.rest) && class(t.rest[i]) {
		i++
	}
	out := t.rest[:i]
	t.rest = t.rest[i:]
	return out
}

// isToken reports whether c is a tchar of RFC 9110, section 5.6.2.
func isToken(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// isBare reports whether c may stand in a value without quotes: what occurs in
// server names, key IDs and base64.
func isBare(c byte) bool { return isToken(c) || strings.IndexByte(":/=[]", c) >= 0 }
