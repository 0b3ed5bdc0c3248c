package schema

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxFaults is the most faults that a check returns; then there is one more
// that says so.
const MaxFaults = 20

// Fault is one setting that is wrong.
type Fault struct {
	Path    string // such as "rules[2].message"; "" is the settings as a whole
	Message string // what is wrong, with its value, and what would be right
}

// String returns path and message in one line.
func (f Fault) String() string {
	if f.Path == "" {
		return f.Message
	}
	return f.Path + ": " + f.Message
}

// Check returns what is wrong with a value that Parse returned, nil if nothing
// is. Faults come in the order of their keys and items.
func (s *Schema) Check(v any) []Fault {
	var c checker
	c.value(s, "", v)
	if len(c.faults) > MaxFaults {
		c.faults = append(c.faults[:MaxFaults], Fault{"", fmt.Sprintf("there are more faults than these %d", MaxFaults)})
	}
	return c.faults
}

// checker stops looking once it has a fault too many.
type checker struct{ faults []Fault }

func (c *checker) full() bool { return len(c.faults) > MaxFaults }

func (c *checker) failf(path, format string, args ...any) {
	c.faults = append(c.faults, Fault{path, fmt.Sprintf(format, args...)})
}

func (c *checker) value(s *Schema, path string, v any) {
	s = s.resolved()
	switch {
	case c.full():
		return
	case kindOf(v)&s.kinds == 0:
		c.failf(path, "must be %s, not %s", s.kinds, shown(v))
		return
	case s.enum != nil && !slices.ContainsFunc(s.enum, func(e any) bool { return same(e, v) }):
		c.failf(path, "must be %s, not %s", oneOf(s.enum), shown(v))
		return
	}
	switch v := v.(type) {
	case json.Number:
		n, _ := whole(v)
		if wrong := within(s.minimum, s.maximum, n); wrong != "" {
			c.failf(path, "must be %s, not %s", wrong, shown(v))
		}
	case string:
		c.text(s, path, v)
	case []any:
		if wrong := within(s.minItems, s.maxItems, int64(len(v))); wrong != "" {
			c.failf(path, "the number of its items must be %s, not %d: %s", wrong, len(v), shown(v))
		}
		for i, e := range v {
			if s.items == nil || c.full() {
				return
			}
			c.value(s.items, path+"["+strconv.Itoa(i)+"]", e)
		}
	case map[string]any:
		c.object(s, path, v)
	}
}

func (c *checker) text(s *Schema, path, v string) {
	if s.minLength.set || s.maxLength.set {
		n := int64(utf8.RuneCountInString(v))
		if wrong := within(s.minLength, s.maxLength, n); wrong != "" {
			c.failf(path, "the number of its characters must be %s, not %d: %s", wrong, n, shown(v))
			return
		}
	}
	if s.pattern != nil && !s.pattern.MatchString(v) {
		what := ""
		if s.title != "" {
			what = " (" + s.title + ")"
		}
		c.failf(path, "must match %s%s, not %s", shown(s.pattern.String()), what, shown(v))
	}
}

func (c *checker) object(s *Schema, path string, v map[string]any) {
	for _, name := range s.required {
		if _, ok := v[name]; !ok && !c.full() {
			c.failf(join(path, name), "is missing; it must be %s", s.properties[name].resolved().what())
		}
	}
	for _, key := range sortedKeys(v) {
		if c.full() {
			return
		}
		at := join(path, key)
		inner := s.properties[key]
		switch {
		case inner != nil:
			c.value(inner, at, v[key])
		case s.additional != nil:
			c.value(s.additional, at, v[key])
		case s.closed && len(s.names) == 0:
			c.failf(at, "unknown setting, set to %s; there are no settings here", shown(v[key]))
		case s.closed:
			c.failf(at, "unknown setting, set to %s; %sknown here: %s", shown(v[key]), meant(key, s.names), strings.Join(s.names, ", "))
		}
	}
}

// what says what a schema wants, for a value that is not there.
func (s *Schema) what() string {
	switch {
	case s.enum != nil:
		return oneOf(s.enum)
	case s.kinds == anyKind:
		return "set"
	}
	return s.kinds.String()
}

// within says what a number must be if it is outside its bounds, else "".
func within(least, most bound, n int64) string {
	if (!least.set || n >= least.n) && (!most.set || n <= most.n) {
		return ""
	}
	return span(least, most)
}

// span says which numbers are within bounds, "" if there are none.
func span(least, most bound) string {
	switch {
	case least.set && most.set:
		return fmt.Sprintf("from %d to %d", least.n, most.n)
	case least.set:
		return fmt.Sprintf("at least %d", least.n)
	case most.set:
		return fmt.Sprintf("at most %d", most.n)
	}
	return ""
}

func kindOf(v any) kinds {
	switch v.(type) {
	case nil:
		return kindNull
	case bool:
		return kindBoolean
	case json.Number:
		if _, ok := whole(v); !ok {
			return kindFraction
		}
		return kindInteger
	case string:
		return kindString
	case []any:
		return kindArray
	}
	return kindObject
}

// same reports whether a value is one of an enum, which holds no list or object.
func same(e, v any) bool {
	return kindOf(v)&(kindArray|kindObject) == 0 && e == v
}
