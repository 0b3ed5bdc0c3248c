package wasmbin

import "strings"

// custom reads a custom section. Only "name" is looked into, because the
// engine decodes it and allocates by the counts it claims.
func (s *scanner) custom(sec *section) {
	name := s.nameOf("custom section name")
	if s.err != nil {
		return
	}
	s.m.Customs = append(s.m.Customs, Custom{name, s.pos, sec.end})
	s.m.Largest.Customs = len(s.m.Customs)
	record(&s.m.Largest.CustomBytes, s.left())
	if s.over(sec.head, "custom sections", uint64(len(s.m.Customs)), uint64(s.lim.Customs)) ||
		s.over(sec.head, "custom section size in bytes", uint64(s.left()), uint64(s.lim.CustomBytes)) {
		return
	}
	sec.debug = strings.HasPrefix(name, ".debug_")
	if name != "name" {
		s.pos = sec.end
		return
	}
	if s.namesSeen {
		s.failAt(sec.head, "name section is there twice")
	}
	s.namesSeen = true
	s.nameSection()
}

func (s *scanner) nameSection() {
	for s.left() > 0 && s.err == nil {
		start := s.pos
		id := s.byte()
		size := s.count("bytes of a name subsection", 1<<32-1, 1)
		if s.err != nil {
			return
		}
		outer := s.end
		s.end = s.pos + size
		switch id {
		case 0:
			s.anyName()
		case 1:
			s.names("function names")
		case 2:
			for n := s.count("functions with names of locals", uint64(s.lim.FunctionNames), 2); n > 0 && s.err == nil; n-- {
				s.u32()
				s.names("names of locals")
			}
		default:
			s.pos = s.end
		}
		if s.err != nil {
			return
		}
		if s.pos != s.end {
			s.failAt(start, "name subsection %d: %d bytes after its contents", id, s.end-s.pos)
			return
		}
		s.end = outer
	}
}

func (s *scanner) names(what string) {
	n := s.count(what, uint64(s.lim.FunctionNames), 2)
	record(&s.m.Largest.Names, n)
	for ; n > 0 && s.err == nil; n-- {
		s.u32()
		s.anyName()
	}
}

// anyName reads a name of the name section: functions of a Go guest have names
// far longer than any import, and nothing is done with them.
func (s *scanner) anyName() {
	s.name("a name of the name section", s.lim.CustomBytes)
}
