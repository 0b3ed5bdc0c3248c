package schema

import (
	"fmt"
	"strings"
	"testing"
)

// TestCompileErrors: each says where in the schema, what, and what would be
// right.
func TestCompileErrors(t *testing.T) {
	in := func(s string) string { return `{"type":"object","properties":{"a":` + s + `}}` }
	for _, tt := range []struct{ name, schema, want string }{
		{"no object", `true`, "the schema must be an object, not true"},
		{"root of no type", `{}`, `type: must be "object"`},
		{"root of another type", `{"type":"array"}`, `type: must be "object"`},
		{"root of two types", `{"type":["object","null"]}`, `type: must be "object"`},
		{"another draft", `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`, "$schema: must be \"https://json-schema.org/draft/2020-12/schema\", not \"http://json-schema.org/draft-07/schema#\""},
		{"misspelt keyword", in(`{"typ":"string"}`), "properties.a.typ: unknown keyword; there are $defs,"},
		{"keyword with an escape", in(`{"\u001b[2J":1}`), `properties.a."\x1b[2J": unknown keyword`},
		{"keyword of JSON Schema that is left out", in(`{"allOf":[]}`), "properties.a.allOf: unknown keyword"},
		{"$id", `{"$id":"https://peer.example/","type":"object"}`, `"$id": unknown keyword`},
		{"schema that is none", in(`true`), "properties.a: must be a schema, which is an object, not true"},
		{"properties that are none", `{"type":"object","properties":[]}`, "properties: must be an object of schemas, not []"},
		{"name with a dot", `{"type":"object","properties":{"a.b":{}}}`, `properties."a.b": the name of a setting must be`},
		{"type of no kind", in(`{"type":"text"}`), `properties.a.type: "text" is no type; there are null, boolean`},
		{"type number", in(`{"type":"number"}`), `properties.a.type: settings hold whole numbers only: write "integer"`},
		{"type twice", in(`{"type":["string","string"]}`), `"string" stands twice`},
		{"no type named", in(`{"type":[]}`), "names no type"},
		{"type that is a number", in(`{"type":7}`), "7 is no type"},
		{"keyword without type", in(`{"maxLength":7}`), `properties.a.maxLength: says something of a text only; name that in "type"`},
		{"keyword of another type", in(`{"type":["string","array"],"minimum":7}`), `properties.a.minimum: says something of a whole number, which "type" does not name`},
		{"length below 0", in(`{"type":"string","minLength":-1}`), "minLength: must be a whole number from 0 to 9007199254740991, not -1"},
		{"length that is a text", in(`{"type":"string","minLength":"1"}`), `not "1"`},
		{"bound that is a fraction", in(`{"type":"integer","maximum":1.5}`), "maximum: must be a whole number from -9007199254740991 to 9007199254740991, not 1.5"},
		{"bounds crossed", in(`{"type":"array","minItems":3,"maxItems":2}`), "properties.a.minItems: 3 is more than the most, 2"},
		{"required that is unknown", `{"type":"object","required":["b"],"properties":{"a":{}}}`, `required: "b" is not among the properties`},
		{"required twice", `{"type":"object","required":["a","a"],"properties":{"a":{}}}`, `each once, and holds "a"`},
		{"required that is no list", `{"type":"object","required":"a"}`, `required: must be a list of names, not "a"`},
		{"enum that is empty", in(`{"enum":[]}`), "enum: must be a list of 1 to 256 values"},
		{"enum with a list", in(`{"enum":[[1]]}`), "enum: holds [1]; it may hold texts"},
		{"enum with a fraction", in(`{"enum":[0.5]}`), "enum: holds 0.5"},
		{"enum with a value twice", in(`{"enum":["x","x"]}`), `"x" stands twice`},
		{"enum of another type", in(`{"type":"string","enum":["x",7]}`), "properties.a: allows the value 7, but its type is a text"},
		{"enum beside const", in(`{"const":1,"enum":[1]}`), "enum: may not stand beside const"},
		{"default of another type", in(`{"type":"string","default":7}`), "properties.a.default: is refused by its own schema: must be a text, not 7"},
		{"default that is a fraction", in(`{"default":1.5}`), "default: is refused by its own schema"},
		{"title of two lines", in(`{"title":"a\nb"}`), `title: must be one line of at most 1024 bytes of printable text, not "a\nb"`},
		{"description that turns text round", in(`{"description":"a\u202eb"}`), `description: must be one line`},
		{"pattern that is none", in(`{"type":"string","pattern":"(a"}`), "missing closing ): `(a`; the syntax is RE2's"},
		{"pattern with a backreference", in(`{"type":"string","pattern":"(a)\\1"}`), "the syntax is RE2's"},
		{"pattern too long", in(`{"type":"string","pattern":"` + strings.Repeat("a", 257) + `"}`), "pattern: must be a regular expression of at most 256 bytes"},
		{"pattern with many states", in(`{"type":"string","pattern":"(abcdefgh){1000}"}`), "is too large: 10002 states, at most 256; say lengths with maxLength"},
		{"$ref outside", in(`{"$ref":"https://peer.example/schema"}`), `properties.a.$ref: must be #/$defs/NAME, not "https://peer.example/schema": a schema refers to its own $defs only`},
		{"$ref to a file", in(`{"$ref":"file:///etc/passwd"}`), "a schema refers to its own $defs only"},
		{"$ref to the root", in(`{"$ref":"#"}`), "a schema refers to its own $defs only"},
		{"$ref into a property", in(`{"$ref":"#/properties/a"}`), "a schema refers to its own $defs only"},
		{"$ref to nothing", in(`{"$ref":"#/$defs/x"}`), `properties.a.$ref: there is no "x" in $defs; there are none`},
		{"$ref beside a check", `{"type":"object","properties":{"a":{"$ref":"#/$defs/x","minLength":1}},"$defs":{"x":{}}}`, "minLength: may not stand beside $ref"},
		{"$defs below the root", in(`{"$defs":{}}`), "properties.a.$defs: stands at the root of the schema only"},
		{"$defs that are none", `{"type":"object","$defs":1}`, "$defs: must be an object of schemas, not 1"},
		{"$defs with an odd name", `{"type":"object","$defs":{"a/b":{}}}`, `$defs: the name "a/b"; it must be 1 to 64 letters`},
		{"$defs that are wrong and not used", `{"type":"object","$defs":{"a":{"x":1}}}`, "$defs.a.x: unknown keyword"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Compile(parsed(t, tt.schema))
			if err == nil || s != nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Compile(%s) = %v, %v; want nothing and one line with %q", tt.schema, s, err, tt.want)
			}
		})
	}
}

// TestHostileSchemas: what would keep a checker of the whole of JSON Schema
// busy without end, or for hours, is refused.
func TestHostileSchemas(t *testing.T) {
	// Of a kilobyte, this has 2^30 schemas in it.
	var double strings.Builder
	for i := range 30 {
		fmt.Fprintf(&double, `"d%d":{"type":"object","properties":{"a":{"$ref":"#/$defs/d%d"},"b":{"$ref":"#/$defs/d%d"}}},`, i, i+1, i+1)
	}
	chain := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"d%d":{"$ref":"#/$defs/d%d"},`, i, i+1)
		}
		return fmt.Sprintf(`{"$ref":"#/$defs/d0","$defs":{%s"d%d":{"type":"object"}}}`, &b, n)
	}
	for _, tt := range []struct{ name, schema, want string }{
		{"refers to itself", `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}`, `"a" refers to itself`},
		{"refers to itself by another", `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"type":"array","items":{"$ref":"#/$defs/a"}}}}`, `refers to itself`},
		{"tree", `{"$ref":"#/$defs/a","$defs":{"a":{"type":"object","properties":{"left":{"$ref":"#/$defs/a"},"right":{"$ref":"#/$defs/a"}}}}}`, `"a" refers to itself`},
		{"two of each", `{"$ref":"#/$defs/d0","$defs":{` + double.String() + `"d30":{"type":"object"}}}`, "holds more than 1000 schemas"},
		{"long chain", chain(2000), "holds more than 1000 schemas"},
		{"many patterns", `{"type":"object","properties":{` + repeat(65, `"a%d":{"type":"string","pattern":"a"}`) + `}}`, "there are more than 64 patterns"},
		{"many schemas", `{"type":"object","properties":{` + repeat(1000, `"a%d":{}`) + `}}`, "holds more than 1000 schemas"},
		{"large enum", `{"type":"object","properties":{"a":{"enum":[` + repeat(257, `%d`) + `]}}}`, "1 to 256 values"},
	} {
		if _, err := Compile(parsed(t, tt.schema)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	compile(t, chain(900))
	if _, err := Parse([]byte(strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1))); err == nil || !strings.Contains(err.Error(), "nested deeper than 64 levels") {
		t.Errorf("deep JSON: got %v", err)
	}
}

// repeat returns n copies of a pattern, each with its number, parted by commas.
func repeat(n int, pattern string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(pattern, i)
	}
	return strings.Join(list, ",")
}
