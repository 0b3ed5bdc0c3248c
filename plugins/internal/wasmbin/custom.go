package wasmbin

// WithCustom returns the module's binary with one custom section of that name,
// at the end, in the place of any that it had. Every other byte stays as it is,
// in its order.
func (m *Module) WithCustom(name string, contents []byte) []byte {
	out := make([]byte, 0, len(m.bin)+len(name)+len(contents)+16)
	out = append(out, header...)
	custom := 0
	for _, s := range m.sections {
		if s.id == secCustom {
			custom++
			if m.Customs[custom-1].Name == name {
				continue
			}
		}
		out = append(out, m.bin[s.head:s.end]...)
	}
	section := append(appendU32(nil, uint32(len(name))), name...)
	return appendSection(out, secCustom, append(section, contents...))
}
