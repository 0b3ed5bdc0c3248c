package decisionlog

import (
	"encoding/json"
	"strings"
)

// split takes event and facts, which are most of it, out of a detail as appendDetail
// writes it, so that they need not be read over and over. They are nil if they are not
// there; rest is the object without them, in which nothing was looked at. ok is false for
// what was written otherwise.
func split(detail string) (rest []byte, event, facts json.RawMessage, ok bool) {
	s, ok := strings.CutPrefix(detail, "{")
	if !ok {
		return nil, nil, nil, false
	}
	rest = append(rest, '{')
	for more := true; more; {
		member := s
		text, quoted := strings.CutPrefix(s, `"`)
		key, value, found := strings.Cut(text, `":`)
		n := valueLen(value)
		if !quoted || !found || n == 0 || strings.ContainsAny(key, `"\`) {
			return nil, nil, nil, false
		}
		s = value[n:]
		switch value = value[:n]; key {
		case "event":
			event = json.RawMessage(value)
		case "facts":
			facts = json.RawMessage(value)
		default:
			if len(rest) > 1 {
				rest = append(rest, ',')
			}
			rest = append(rest, member[:len(member)-len(s)]...)
		}
		s, more = strings.CutPrefix(s, ",")
	}
	sound := (event == nil || json.Valid(event)) && (facts == nil || json.Valid(facts))
	return append(rest, '}'), event, facts, sound && s == "}"
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
