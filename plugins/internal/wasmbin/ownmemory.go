package wasmbin

// OwnMemory returns the binary of m with its imported memory made one that the
// module defines, with the same limits; nil if m imports none. Nothing else
// changes: there is one memory at most, so no index moves.
func OwnMemory(m *Module) []byte {
	at := m.imported.memory
	if at.end == 0 {
		return nil
	}
	out := append(make([]byte, 0, len(m.bin)), header...)
	own := append([]byte{1}, m.bin[at.limits:at.end]...)
	for _, s := range m.sections {
		if own != nil && s.id != secCustom && sectionRank[s.id] >= sectionRank[secMemory] {
			out, own = appendSection(out, secMemory, own), nil
		}
		switch s.id {
		case secImport:
			r := reader{b: m.bin, pos: s.start, end: s.end}
			rest := appendU32(nil, r.u32()-1)
			rest = append(rest, m.bin[r.pos:at.start]...)
			out = appendSection(out, secImport, append(rest, m.bin[at.end:s.end]...))
		case secMemory: // which can only be empty
		default:
			out = append(out, m.bin[s.head:s.end]...)
		}
	}
	if own != nil {
		out = appendSection(out, secMemory, own)
	}
	return out
}
