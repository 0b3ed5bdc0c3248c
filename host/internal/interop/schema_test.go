package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// jsonSchema returns a schema as the library has it. Nothing is loaded from
// elsewhere: what it compiles is held to the draft's own metaschema.
func jsonSchema(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if err := c.AddResource("memory:schema", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("memory:schema")
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func accepts(t *testing.T, s *jsonschema.Schema, text []byte) bool {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s.Validate(v) == nil
}

// TestSchemaAnswers holds the answers that plugins/internal/schema is tested
// with to the library.
func TestSchemaAnswers(t *testing.T) {
	text, err := os.ReadFile("../../../plugins/internal/schema/testdata/agree.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Defs            json.RawMessage
		Schemas, Values []json.RawMessage
		Valid           []string
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Schemas) < 30 || len(file.Values) < 30 || len(file.Valid) != len(file.Schemas) {
		t.Fatalf("%d schemas, %d values, %d rows", len(file.Schemas), len(file.Values), len(file.Valid))
	}
	for i, schema := range file.Schemas {
		s := jsonSchema(t, fmt.Appendf(nil, `{"type":"object","properties":{"v":%s},"$defs":%s}`, schema, file.Defs))
		row := ""
		for _, v := range file.Values {
			if accepts(t, s, fmt.Appendf(nil, `{"v":%s}`, v)) {
				row += "1"
			} else {
				row += "0"
			}
		}
		if row != file.Valid[i] {
			t.Errorf("%s: got\n%s, agree.json has\n%s", schema, row, file.Valid[i])
		}
	}
}

// TestStockSchemas: the schemas of the policies that are shipped are JSON Schema
// to others too, and accept all settings that the policies accept.
func TestStockSchemas(t *testing.T) {
	paths, err := filepath.Glob("../../../policies/*/metadata.json")
	if err != nil || len(paths) < 2 {
		t.Fatalf("%d policies, %v", len(paths), err)
	}
	for _, path := range paths {
		var metadata struct{ Settings json.RawMessage }
		readJSON(t, path, &metadata)
		s := jsonSchema(t, metadata.Settings)
		cases, err := filepath.Glob(filepath.Join(filepath.Dir(path), "testdata", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		accepted := 0
		for _, name := range cases {
			var f struct{ Settings, Refused json.RawMessage }
			readJSON(t, name, &f)
			if f.Refused != nil {
				continue
			}
			accepted++
			if !accepts(t, s, f.Settings) {
				t.Errorf("%s: the schema refuses %s", name, f.Settings)
			}
		}
		if accepted < 3 {
			t.Errorf("%s: %d files with settings that are accepted; want 3 or more", path, accepted)
		}
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
