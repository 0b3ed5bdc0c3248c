package plugins

// Values of Rego as text: JSON, and sets, which are {1, "a"} or set().

// regoString returns a string. It is false for any other value, and for what is
// not UTF-8.
func regoString(b []byte) (string, bool) {
	s := scanner{buf: b}
	text := s.text(nil)
	s.end()
	return string(text), s.err == nil
}

// regoStrings returns the strings of a list or a set, or a string alone.
func regoStrings(b []byte) ([]string, bool) {
	if s, ok := regoString(b); ok {
		return []string{s}, true
	}
	items, ok := regoItems(b)
	var texts []string
	for _, item := range items {
		s, is := regoString(item)
		texts, ok = append(texts, s), ok && is
	}
	return texts, ok
}

// regoItems returns the items of a list or a set. It is false for any other
// value. Only brackets and strings are looked at.
func regoItems(b []byte) (items [][]byte, ok bool) {
	if string(b) == "set()" || string(b) == "[]" {
		return nil, true
	}
	if len(b) < 2 || b[0] != '[' && b[0] != '{' || b[len(b)-1] != b[0]+2 {
		return nil, false
	}
	from, depth, quoted := 1, 0, false
	for i := 1; i < len(b)-1; i++ {
		switch c := b[i]; {
		case quoted:
			if c == '\\' {
				i++
			}
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ':' && depth == 0 && b[0] == '{': // an object
			return nil, false
		case c == ',' && depth == 0:
			items, from = append(items, trimmed(b[from:i])), i+1
		}
	}
	return append(items, trimmed(b[from:len(b)-1])), depth == 0 && !quoted
}

// trimmed drops the space after a comma.
func trimmed(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	return b
}
