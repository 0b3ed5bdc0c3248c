package wasmbin

import (
	"fmt"
	"unicode/utf8"
)

// reader walks b[pos:end]. The first fault sticks in err: every later read
// returns zero values without moving, so a caller checks err once per item.
type reader struct {
	b   []byte
	pos int
	end int
	err *Error
}

func (r *reader) fail(format string, args ...any) {
	r.failAt(r.pos, format, args...)
}

func (r *reader) failAt(offset int, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Offset: offset, What: fmt.Sprintf(format, args...)}
		r.end = r.pos
	}
}

// over refuses figures past a limit, in the one wording all limits share.
func (r *reader) over(offset int, what string, figure, limit uint64) bool {
	if figure <= limit {
		return false
	}
	r.failAt(offset, "%s: %d is over the limit of %d", what, figure, limit)
	return true
}

func (r *reader) left() int { return r.end - r.pos }

func (r *reader) byte() byte {
	if r.pos >= r.end {
		r.fail("unexpected end")
		return 0
	}
	c := r.b[r.pos]
	r.pos++
	return c
}

// zero reads a byte that version 2.0 of the specification reserves.
func (r *reader) zero(what string) {
	if c := r.byte(); c != 0 {
		r.failAt(r.pos-1, "%s: reserved byte is 0x%02x, not 0", what, c)
	}
}

func (r *reader) skip(n int) {
	if n > r.left() {
		r.fail("unexpected end: %d bytes wanted, %d left", n, r.left())
		return
	}
	r.pos += n
}

func (r *reader) u32() uint32 {
	if r.pos < r.end {
		if c := r.b[r.pos]; c < 0x80 {
			r.pos++
			return uint32(c)
		}
	}
	return r.u32Slow()
}

func (r *reader) u32Slow() uint32 {
	start := r.pos
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		if shift == 28 && c > 0x0f {
			break
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	r.failAt(start, "integer does not fit in 32 bits")
	return 0
}

// signed reads a signed LEB128 integer of bits width: 32, 33 or 64. The bits
// of the last byte that do not fit must repeat the sign.
func (r *reader) signed(bits int) int64 {
	start := r.pos
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		v |= int64(c&0x7f) << shift
		if c < 0x80 {
			if rest := bits - shift; rest < 7 {
				high := int8(c<<1) >> rest // the sign bit and all above it
				if high != 0 && high != -1 {
					break
				}
			}
			if shift+7 < 64 {
				v = v << (57 - shift) >> (57 - shift)
			}
			return v
		}
	}
	r.failAt(start, "integer does not fit in %d bits", bits)
	return 0
}

// count reads the length of a vector: at most limit, and no more than the
// bytes left can hold at least bytes each. Nothing is ever allocated by a
// figure that did not pass here.
func (r *reader) count(what string, limit uint64, least int) int {
	start := r.pos
	n := r.u32()
	if r.err != nil || r.over(start, what, uint64(n), limit) {
		return 0
	}
	if uint64(n)*uint64(least) > uint64(r.left()) {
		r.failAt(start, "%s: %d claimed, but only %d bytes are left", what, n, r.left())
		return 0
	}
	return int(n)
}

// name reads a UTF-8 string of at most limit bytes.
func (r *reader) name(what string, limit int) string {
	start := r.pos
	n := r.count(what+" length in bytes", uint64(limit), 1)
	if r.err != nil {
		return ""
	}
	b := r.b[r.pos : r.pos+n]
	if !utf8.Valid(b) {
		r.failAt(start, "%s: not valid UTF-8", what)
		return ""
	}
	r.pos += n
	return string(b)
}
