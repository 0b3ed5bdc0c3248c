package canonicaljson

// AppendString appends s as a canonical JSON string. s must be valid UTF-8.
func AppendString(dst []byte, s string) []byte { return appendQuoted(dst, s) }

// AppendStringBytes is AppendString for bytes.
func AppendStringBytes(dst, s []byte) []byte { return appendQuoted(dst, s) }

// AppendKey appends key as a canonical JSON string and a colon. key must be
// valid UTF-8.
func AppendKey(dst []byte, key string) []byte {
	return append(appendQuoted(dst, key), ':')
}

// appendQuoted escapes what must be: the quote, the backslash and the control
// characters up to U+001F, in the shortest form there is.
func appendQuoted[S string | []byte](dst []byte, s S) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
