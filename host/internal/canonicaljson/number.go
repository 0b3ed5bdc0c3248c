package canonicaljson

// maxInt is the largest magnitude of an integer, 2^53-1.
const maxInt = 1<<53 - 1

// number reads a number and returns where its digits are, the sign included.
func (p *parser) number() (start, end int32, err error) {
	from := p.at
	i := from
	negative := p.src[i] == '-'
	if negative {
		i++
	}
	digits := i
	var n uint64
	for i < len(p.src) && isDigit(p.src[i]) {
		if n <= maxInt {
			n = n*10 + uint64(p.src[i]-'0')
		}
		i++
	}
	switch {
	case i == digits:
		return 0, 0, p.syntax(from, "not a value")
	case p.src[digits] == '0' && i > digits+1:
		return 0, 0, p.syntax(from, "number with a leading zero")
	}
	if end, ok, err := p.notInteger(i); err != nil {
		return 0, 0, err
	} else if ok {
		p.at = end
		return 0, 0, p.strict(from, "number with a fraction or an exponent")
	}
	switch {
	case n > maxInt:
		return 0, 0, p.strict(from, "integer outside ±(2^53-1)")
	case negative && n == 0:
		return 0, 0, p.strict(from, "negative zero")
	}
	p.at = i
	return int32(from), int32(i), nil
}

// notInteger looks for a fraction and an exponent at i. It returns where they
// end and whether there is one of them.
func (p *parser) notInteger(i int) (end int, found bool, err error) {
	if i < len(p.src) && p.src[i] == '.' {
		found = true
		if i, err = p.digits(i + 1); err != nil {
			return i, true, err
		}
	}
	if i < len(p.src) && p.src[i]|0x20 == 'e' {
		found = true
		i++
		if i < len(p.src) && (p.src[i] == '+' || p.src[i] == '-') {
			i++
		}
		if i, err = p.digits(i); err != nil {
			return i, true, err
		}
	}
	return i, found, nil
}

// digits skips one digit or more.
func (p *parser) digits(i int) (end int, err error) {
	from := i
	for i < len(p.src) && isDigit(p.src[i]) {
		i++
	}
	if i == from {
		return i, p.syntax(i, "digit expected")
	}
	return i, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
