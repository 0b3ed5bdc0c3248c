package schema

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// TestAgreesWithJSONSchema: what is in the subset means what it means in JSON
// Schema. The answers are another implementation's.
func TestAgreesWithJSONSchema(t *testing.T) {
	text, err := os.ReadFile("testdata/agree.json")
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
	accepted := 0
	for i, raw := range file.Schemas {
		s := compile(t, fmt.Sprintf(`{"type":"object","properties":{"v":%s},"$defs":%s}`, raw, file.Defs))
		for j, v := range file.Values {
			faults := s.Check(parsed(t, fmt.Sprintf(`{"v":%s}`, v)))
			if got, want := len(faults) == 0, file.Valid[i][j] == '1'; got != want {
				t.Errorf("%s with %s: accepted is %v (%v), want %v", raw, v, got, faults, want)
			}
			if len(faults) == 0 {
				accepted++
			}
		}
	}
	if all := len(file.Schemas) * len(file.Values); accepted < all/10 || accepted > all*9/10 {
		t.Errorf("%d of %d accepted; such cases say little", accepted, all)
	}
}

func parsed(t testing.TB, text string) any {
	t.Helper()
	v, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func compile(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := Compile(parsed(t, text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}
