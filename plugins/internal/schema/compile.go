package schema

import (
	"fmt"
	"slices"
	"strings"
)

// Draft is the one value that "$schema" may have.
const Draft = "https://json-schema.org/draft/2020-12/schema"

const defsPrefix = "#/$defs/"

// keywords are all there are, with the kind of values that each is about.
var keywords = map[string]kinds{
	"type": 0, "title": 0, "description": 0, "default": 0, "enum": 0, "const": 0, "$ref": 0,
	"$schema": 0, "$defs": 0, // at the root only
	"minimum": kindInteger, "maximum": kindInteger,
	"minLength": kindString, "maxLength": kindString, "pattern": kindString,
	"items": kindArray, "minItems": kindArray, "maxItems": kindArray,
	"properties": kindObject, "required": kindObject, "additionalProperties": kindObject,
}

// besideRef are the keywords that may stand beside $ref: those that do not
// check anything, so that a value is still met by one schema.
var besideRef = []string{"$ref", "title", "description", "default", "$schema", "$defs"}

// Compile checks a schema for settings, which Parse returned, and makes it
// ready to check them. The error names the place in the schema.
func Compile(v any) (*Schema, error) {
	c := compiler{defs: map[string]*Schema{}, under: map[string]bool{}}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, c.failf("", "must be an object, not %s", shown(v))
	}
	if draft, ok := root["$schema"]; ok && draft != Draft {
		return nil, c.failf("$schema", "must be %q, not %s", Draft, shown(draft))
	}
	if defs, ok := root["$defs"]; ok {
		if c.raw, ok = defs.(map[string]any); !ok {
			return nil, c.failf("$defs", "must be an object of schemas, not %s", shown(defs))
		}
	}
	for _, name := range sortedKeys(c.raw) {
		if _, err := c.def("$defs", name); err != nil {
			return nil, err
		}
	}
	s, err := c.schema("", root, true)
	if err != nil {
		return nil, err
	}
	if s.resolved().kinds != kindObject {
		return nil, c.failf("type", `must be "object": settings are one`)
	}
	return s, nil
}

type compiler struct {
	raw      map[string]any // $defs
	defs     map[string]*Schema
	under    map[string]bool // the $defs that are being compiled
	patterns int
}

func (c *compiler) failf(path, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if path == "" {
		return fmt.Errorf("the schema %s", text)
	}
	return fmt.Errorf("%s: %s", path, text)
}

// def returns the schema of $defs with a name, which path refers to.
func (c *compiler) def(path, name string) (*Schema, error) {
	if s, ok := c.defs[name]; ok {
		return s, nil
	}
	raw, ok := c.raw[name]
	switch {
	case !ok:
		return nil, c.failf(path, "there is no %s in $defs; there are %s", shown(name), words(sortedKeys(c.raw)))
	case !plainKey(name):
		return nil, c.failf(path, "the name %s; it must be 1 to %d letters, digits, - and _", shown(name), maxKey)
	case c.under[name]:
		return nil, c.failf(path, "%s refers to itself; a schema may not", shown(name))
	}
	c.under[name] = true
	s, err := c.schema(join("$defs", name), raw, false)
	c.defs[name] = s
	return s, err
}

// schema compiles one schema.
func (c *compiler) schema(path string, v any, root bool) (*Schema, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, c.failf(path, "must be a schema, which is an object, not %s", shown(v))
	}
	s := &Schema{kinds: anyKind, size: 1}
	if err := c.kinds(s, path, object); err != nil {
		return nil, err
	}
	_, isRef := object["$ref"]
	for _, key := range sortedKeys(object) {
		at := join(path, key)
		about, known := keywords[key]
		switch {
		case !known:
			return nil, c.failf(at, "unknown keyword; there are %s", words(sortedKeys(keywords)))
		case (key == "$schema" || key == "$defs") && !root:
			return nil, c.failf(at, "stands at the root of the schema only")
		case isRef && !slices.Contains(besideRef, key):
			return nil, c.failf(at, "may not stand beside $ref; put it into what that names")
		case about != 0 && s.kinds == anyKind:
			return nil, c.failf(at, `says something of %s only; name that in "type"`, about)
		case about != 0 && s.kinds&about == 0:
			return nil, c.failf(at, `says something of %s, which "type" does not name`, about)
		}
		if err := c.keyword(s, key, at, object[key]); err != nil {
			return nil, err
		}
	}
	return s, c.finish(s, path)
}

// kinds reads "type".
func (c *compiler) kinds(s *Schema, path string, object map[string]any) error {
	v, ok := object["type"]
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	s.kinds = 0
	for _, name := range list {
		i := slices.IndexFunc(kindNames, func(k kindName) bool { return k.name == name })
		switch {
		case name == "number":
			return c.failf(join(path, "type"), `settings hold whole numbers only: write "integer"`)
		case i < 0:
			return c.failf(join(path, "type"), "%s is no type; there are null, boolean, integer, string, array and object", shown(name))
		case s.kinds&kindNames[i].kind != 0:
			return c.failf(join(path, "type"), "%s stands twice", shown(name))
		}
		s.kinds |= kindNames[i].kind
	}
	if s.kinds == 0 {
		return c.failf(join(path, "type"), "names no type")
	}
	return nil
}

// keyword reads the value of one keyword.
func (c *compiler) keyword(s *Schema, key, at string, v any) (err error) {
	switch key {
	case "title":
		s.title, err = c.line(at, v)
	case "description":
		s.description, err = c.line(at, v)
	case "default":
		s.def, s.hasDefault = v, true // checked in finish
	case "const":
		s.enum, err = c.scalars(at, []any{v})
	case "enum": // after const, by its name
		if s.enum != nil {
			return c.failf(at, "may not stand beside const")
		}
		s.enum, err = c.scalars(at, v)
	case "minimum":
		s.minimum, err = c.number(at, v, -maxWhole)
	case "maximum":
		s.maximum, err = c.number(at, v, -maxWhole)
	case "minLength":
		s.minLength, err = c.number(at, v, 0)
	case "maxLength":
		s.maxLength, err = c.number(at, v, 0)
	case "minItems":
		s.minItems, err = c.number(at, v, 0)
	case "maxItems":
		s.maxItems, err = c.number(at, v, 0)
	case "pattern":
		s.pattern, err = c.pattern(at, v)
	case "items":
		s.items, err = c.schema(at, v, false)
		s.add(s.items)
	case "properties":
		err = c.properties(s, at, v)
	case "required":
		s.required, err = c.names(at, v)
	case "additionalProperties":
		if allowed, ok := v.(bool); ok {
			s.closed = !allowed
			return nil
		}
		s.additional, err = c.schema(at, v, false)
		s.add(s.additional)
	case "$ref":
		text, ok := v.(string)
		name, local := strings.CutPrefix(text, defsPrefix)
		if !ok || !local {
			return c.failf(at, "must be %sNAME, not %s: a schema refers to its own $defs only", defsPrefix, shown(v))
		}
		s.target, err = c.def(at, name)
		s.add(s.target)
	}
	return err
}

// add counts a schema that stands in s.
func (s *Schema) add(inner *Schema) {
	if inner != nil {
		s.size = min(s.size+inner.size, maxSchemas+1)
	}
}

// finish checks what several keywords say together.
func (c *compiler) finish(s *Schema, path string) error {
	for _, pair := range []struct {
		low, high bound
		name      string
	}{
		{s.minimum, s.maximum, "minimum"}, {s.minLength, s.maxLength, "minLength"}, {s.minItems, s.maxItems, "minItems"},
	} {
		if pair.low.set && pair.high.set && pair.low.n > pair.high.n {
			return c.failf(join(path, pair.name), "%d is more than the most, %d", pair.low.n, pair.high.n)
		}
	}
	for _, name := range s.required {
		if s.properties[name] == nil {
			return c.failf(join(path, "required"), "%s is not among the properties", shown(name))
		}
	}
	for _, v := range s.enum {
		if kindOf(v)&s.kinds == 0 {
			return c.failf(path, "allows the value %s, but its type is %s", shown(v), s.kinds)
		}
	}
	if s.size > maxSchemas {
		return c.failf(path, "holds more than %d schemas, counting a $ref as what it names", maxSchemas)
	}
	if s.hasDefault {
		if faults := s.Check(s.def); len(faults) > 0 {
			return c.failf(join(path, "default"), "is refused by its own schema: %s", faults[0])
		}
	}
	return nil
}

func (c *compiler) properties(s *Schema, path string, v any) error {
	object, ok := v.(map[string]any)
	if !ok {
		return c.failf(path, "must be an object of schemas, not %s", shown(v))
	}
	s.properties, s.names = make(map[string]*Schema, len(object)), sortedKeys(object)
	for _, name := range s.names {
		at := join(path, name)
		if !plainKey(name) {
			return c.failf(at, "the name of a setting must be 1 to %d letters, digits, - and _", maxKey)
		}
		inner, err := c.schema(at, object[name], false)
		if err != nil {
			return err
		}
		s.properties[name] = inner
		s.add(inner)
	}
	return nil
}
