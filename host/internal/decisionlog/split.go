package decisionlog

import "strings"

// split takes event and facts, which are most of it, out of a detail as appendDetail
// writes it, so that they need not be read twice. They are "" if they are not there; rest
// is the object without them. ok is false for what was written otherwise; that nothing
// is wrong within a value is not looked at.
func split(detail string) (rest []byte, event, facts string, ok bool) {
	s, ok := strings.CutPrefix(detail, "{")
	if !ok {
		return nil, "", "", false
	}
	rest = append(rest, '{')
	for more := true; more; {
		member := s
		quoted, _ := strings.CutPrefix(s, `"`)
		key, value, found := strings.Cut(quoted, `":`)
		n := valueLen(value)
		if !found || n == 0 || strings.ContainsAny(key, `"\`) {
			return nil, "", "", false
		}
		s = value[n:]
		switch value = value[:n]; key {
		case "event":
			event = value
		case "facts":
			facts = value
		default:
			if len(rest) > 1 {
				rest = append(rest, ',')
			}
			rest = append(rest, member[:len(member)-len(s)]...)
		}
		s, more = strings.CutPrefix(s, ",")
	}
	return append(rest, '}'), event, facts, s == "}"
}

// valueLen returns how many bytes the JSON value has that s begins with; 0 if it does
// not end.
func valueLen(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			if i < len(s) && depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				return i
			}
			if s[i] == ',' {
				continue
			}
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
