// Package schema checks the settings of a policy against the JSON Schema that
// its module brings. The schema is a stranger's: it is of a subset of draft
// 2020-12 in which every value is met by one schema, so that the work of a
// check grows with the settings and with nothing else. plugins/README.md says
// why.
package schema

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Bounds of a schema. What counts is the schema with every $ref replaced by
// what it names, as a reader of the table of settings sees it.
const (
	maxSchemas      = 1000
	maxEnum         = 256
	maxPatterns     = 64
	maxPattern      = 256 // bytes
	maxInstructions = 256 // of one compiled pattern
	maxKey          = 64  // bytes of a property's name
	maxLine         = 1024
)

// kinds is a set of kinds of values.
type kinds uint8

const (
	kindNull kinds = 1 << iota
	kindBoolean
	kindInteger
	kindString
	kindArray
	kindObject
	kindFraction // a number that no setting can be

	anyKind = kindNull | kindBoolean | kindInteger | kindString | kindArray | kindObject
)

// kindName is a kind that "type" may name, and what an admin calls it.
type kindName struct {
	kind       kinds
	name, text string
}

var kindNames = []kindName{
	{kindNull, "null", "null"},
	{kindBoolean, "boolean", "true or false"},
	{kindInteger, "integer", "a whole number"},
	{kindString, "string", "a text"},
	{kindArray, "array", "a list"},
	{kindObject, "object", "an object"},
}

// String returns the kinds as words, such as "a text or a list".
func (k kinds) String() string {
	var list []string
	for _, n := range kindNames {
		if k&n.kind != 0 {
			list = append(list, n.text)
		}
	}
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

// Schema is one schema, which [Compile] has checked. It is immutable.
type Schema struct {
	kinds                kinds
	title, description   string
	def                  any
	hasDefault           bool
	enum                 []any // nil: any value
	minimum, maximum     bound
	minLength, maxLength bound
	minItems, maxItems   bound
	pattern              *regexp.Regexp
	items                *Schema // nil: anything
	properties           map[string]*Schema
	names                []string // of properties, sorted
	required             []string // sorted
	additional           *Schema  // what other members must be; nil: anything
	closed               bool     // there are no other members
	size                 int      // schemas in it, itself counted
	target               *Schema  // of $ref, nil if it is none
}

// bound is a limit that a schema may set.
type bound struct {
	n   int64
	set bool
}

// resolved returns the schema that s stands for.
func (s *Schema) resolved() *Schema {
	for s.target != nil {
		s = s.target
	}
	return s
}

// Field is one setting of a schema, for a table of them.
type Field struct {
	// Path is the setting's, with "[]" for any item of a list and "*" for any
	// other key, such as "rules[].allow".
	Path string
	// Kind says what it may be, such as "a text or a list" or "a whole number
	// from 1 to 10".
	Kind string
	// Allowed is the JSON of what it may be where it is one of a few values.
	Allowed []string
	// Default is JSON, "" if the schema names none.
	Default     string
	Description string
	Required    bool
}

// Fields returns every setting of s but s itself, each before those within it,
// otherwise by name.
func (s *Schema) Fields() []Field { return s.fields(nil, "") }

func (s *Schema) fields(list []Field, path string) []Field {
	s = s.resolved()
	for _, name := range s.names {
		list = s.properties[name].field(list, join(path, name), slices.Contains(s.required, name))
	}
	if s.additional != nil {
		list = s.additional.field(list, join(path, "*"), false)
	}
	if s.items != nil {
		list = s.items.field(list, path+"[]", false)
	}
	return list
}

// field appends what s is at a path. The words of a $ref win over those of what
// it names.
func (s *Schema) field(list []Field, path string, required bool) []Field {
	f := Field{Path: path, Required: required}
	for at := s; at != nil; at = at.target {
		if f.Description == "" {
			f.Description = at.description
		}
		if f.Description == "" {
			f.Description = at.title
		}
		if f.Default == "" && at.hasDefault {
			f.Default = string(AppendCanonical(nil, at.def))
		}
	}
	to := s.resolved()
	kinds := to.kinds
	if to.enum != nil {
		kinds = 0
	}
	for _, v := range to.enum {
		kinds |= kindOf(v)
		f.Allowed = append(f.Allowed, string(AppendCanonical(nil, v)))
	}
	f.Kind = "anything"
	if kinds != anyKind {
		f.Kind = kinds.String()
	}
	if kinds == kindInteger && span(to.minimum, to.maximum) != "" {
		f.Kind += " " + span(to.minimum, to.maximum)
	}
	return to.fields(append(list, f), path)
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
