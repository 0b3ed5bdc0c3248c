package plugins

import "github.com/knockgate/knockgate/sdk/abi"

// scope is which knocks a policy is asked about.
type scope struct {
	phases  uint32   // bit 1<<phase; 0 is all
	rooms   []string // globs; empty is all
	origins []string // globs; empty is all
}

func (s *scope) holds(f *abi.Facts) bool {
	if s.phases != 0 && (f.Phase > 31 || s.phases>>f.Phase&1 == 0) {
		return false
	}
	return matchesAny(s.rooms, f.RoomID) && matchesAny(s.origins, withoutPort(f.Origin))
}

func matchesAny(globs []string, text string) bool {
	for _, g := range globs {
		if globMatch(g, text) {
			return true
		}
	}
	return len(globs) == 0
}

// withoutPort returns a server name without its port.
//
// Spec: Matrix appendices, "Server Name".
func withoutPort[T string | []byte](server T) T {
	for i := len(server) - 1; i >= 0 && server[i] != ']'; i-- {
		if server[i] == ':' {
			return server[:i]
		}
	}
	return server
}

// globMatch reports whether all of text matches pattern, in which * is any
// text and ? one character, without regard to the case of ASCII letters. It
// takes time in proportion to the product of the lengths at most.
func globMatch[P, T string | []byte](pattern P, text T) bool {
	p, t := 0, 0
	star, back := -1, 0 // the last *, and where its text may end
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, back = p, t
			p++
		case p < len(pattern) && pattern[p] == '?':
			p++
			t = afterRune(text, t)
		case p < len(pattern) && lower(pattern[p]) == lower(text[t]):
			p++
			t++
		case star >= 0:
			back = afterRune(text, back)
			p, t = star+1, back
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func afterRune[T string | []byte](s T, i int) int {
	for i++; i < len(s) && s[i]&0xc0 == 0x80; i++ {
	}
	return i
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
