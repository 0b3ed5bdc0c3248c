package schema

import (
	"bytes"
	"os"
	"testing"
)

// FuzzSchema: whatever is taken for a schema and for settings, Compile returns a
// schema or an error; a schema has at most as many settings as it may hold and
// accepts its own defaults; a fault names what it is in one short line of
// printable text; the canonical form of either parses, and is its own.
func FuzzSchema(f *testing.F) {
	f.Add([]byte(door), []byte(`{"mode":"open","rules":[{"message":"too long"}]}`))
	f.Add([]byte(`{"type":"object","additionalProperties":{"type":["string","null"],"pattern":"^a{2,9}$"}}`), []byte(`{"a":"aaa","\u001b":7}`))
	f.Add([]byte(`{"$ref":"#/$defs/a","$defs":{"a":{"type":"object","properties":{"a":{"enum":[1,null,"x"]}},"default":{"a":1}}}}`), []byte(`{"a":1e9}`))
	agree, err := os.ReadFile("testdata/agree.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"type":"object","properties":{"defs":{"type":"object"}}}`), agree)
	f.Fuzz(func(t *testing.T, schema, settings []byte) {
		v, err := Parse(schema)
		if err != nil {
			return
		}
		canonical := AppendCanonical(nil, v)
		again, err := Parse(canonical)
		if err != nil || !bytes.Equal(AppendCanonical(nil, again), canonical) {
			t.Fatalf("the canonical form %s: %v", canonical, err)
		}
		s, err := Compile(v)
		if (s == nil) == (err == nil) {
			t.Fatalf("got %v and %v", s, err)
		}
		if err != nil {
			if !Line(err.Error(), 4096) {
				t.Errorf("the error %q", err)
			}
			return
		}
		for _, field := range s.Fields() {
			if !Line(field.Path, MaxDepth*(maxKey+3)) {
				t.Errorf("the path %q", field.Path)
			}
		}
		if n := len(s.Fields()); n >= maxSchemas {
			t.Errorf("%d fields", n)
		}
		if w, err := Parse(settings); err == nil {
			faults := s.Check(w)
			if len(faults) > MaxFaults+1 {
				t.Errorf("%d faults", len(faults))
			}
			for _, fault := range faults {
				if fault.Message == "" || !Line(fault.String(), 128<<10) {
					t.Errorf("the fault %q", fault)
				}
			}
		}
	})
}
