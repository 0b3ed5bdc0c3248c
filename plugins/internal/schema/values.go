package schema

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// number reads a whole number that is not below the least.
func (c *compiler) number(at string, v any, least int64) (bound, error) {
	n, ok := whole(v)
	if !ok || n < least {
		return bound{}, c.failf(at, "must be a whole number from %d to %d, not %s", least, int64(maxWhole), shown(v))
	}
	return bound{n, true}, nil
}

// names reads a list of names, each once.
func (c *compiler) names(at string, v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, c.failf(at, "must be a list of names, not %s", shown(v))
	}
	var names []string
	for _, e := range list {
		name, ok := e.(string)
		if !ok || slices.Contains(names, name) {
			return nil, c.failf(at, "must be a list of names, each once, and holds %s", shown(e))
		}
		names = append(names, name)
		if len(names) > maxSchemas {
			return nil, c.failf(at, "holds more than %d names", maxSchemas)
		}
	}
	slices.Sort(names)
	return names, nil
}

// scalars reads the values of enum and const.
func (c *compiler) scalars(at string, v any) ([]any, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 || len(list) > maxEnum {
		return nil, c.failf(at, "must be a list of 1 to %d values", maxEnum)
	}
	for i, e := range list {
		if kindOf(e)&(anyKind&^kindArray&^kindObject) == 0 {
			return nil, c.failf(at, "holds %s; it may hold texts, whole numbers, true, false and null", shown(e))
		}
		if slices.Contains(list[:i], e) {
			return nil, c.failf(at, "%s stands twice", shown(e))
		}
	}
	return list, nil
}

// pattern compiles a regular expression, whose work on a text grows with the
// product of both.
func (c *compiler) pattern(at string, v any) (*regexp.Regexp, error) {
	text, ok := v.(string)
	if !ok || len(text) > maxPattern {
		return nil, c.failf(at, "must be a regular expression of at most %d bytes, not %s", maxPattern, shown(v))
	}
	if c.patterns++; c.patterns > maxPatterns {
		return nil, c.failf(at, "there are more than %d patterns", maxPatterns)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, c.failf(at, "%s; the syntax is RE2's", printable(err.Error()))
	}
	// It is compiled twice, so that its size is known before it is kept.
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, c.failf(at, "%s", printable(err.Error()))
	}
	if len(prog.Inst) > maxInstructions {
		return nil, c.failf(at, "the pattern %s is too large: %d states, at most %d; say lengths with maxLength", shown(text), len(prog.Inst), maxInstructions)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, c.failf(at, "%s; the syntax is RE2's", printable(err.Error()))
	}
	return re, nil
}

// line reads a text that people read.
func (c *compiler) line(at string, v any) (string, error) {
	text, ok := v.(string)
	if !ok || !Line(text, maxLine) {
		return "", c.failf(at, "must be one line of at most %d bytes of printable text, not %s", maxLine, shown(v))
	}
	return text, nil
}

// Line reports whether a text is 1 to most bytes of printable characters, so
// that it can be shown on a terminal and in a list.
func Line(text string, most int) bool {
	return text != "" && len(text) <= most && utf8.ValidString(text) && !strings.ContainsRune(text, utf8.RuneError) &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// plainKey reports whether a name needs no quotes in TOML and in a path.
func plainKey(name string) bool {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	return name != "" && len(name) <= maxKey && strings.Trim(name, plain) == ""
}
