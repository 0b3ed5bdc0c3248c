package schema

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const door = `{
	"type": "object", "additionalProperties": false, "required": ["mode"],
	"properties": {
		"mode": {"enum": ["open", "shut"]},
		"once": {"type": "boolean", "default": true, "description": "Ring once."},
		"names": {"$ref": "#/$defs/names", "title": "Who may knock"},
		"limit": {"type": "integer", "minimum": 1, "maximum": 10, "default": 3},
		"most": {"type": "integer", "maximum": 5},
		"rules": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/rule"}},
		"by_room": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
		"only": {"const": "this"},
		"room": {"type": "string", "pattern": "^!", "title": "a room ID"}
	},
	"$defs": {
		"names": {"type": ["string", "array"], "minLength": 1, "items": {"type": "string", "minLength": 1, "maxLength": 8}, "minItems": 1},
		"rule": {"type": "object", "required": ["message"], "properties": {"message": {"type": "string", "maxLength": 5}, "when": {}}, "additionalProperties": false},
		"none": {"type": "object", "additionalProperties": false}
	}
}`

// TestCheck: each fault has its path, the value, and what would be right.
func TestCheck(t *testing.T) {
	s := compile(t, door)
	long := strings.Repeat("x", 100)
	for _, tt := range []struct {
		settings string
		want     []Fault
	}{
		{`{"mode":"open","once":false,"names":"a","limit":10,"rules":[{"message":"","when":[{}]}],"by_room":{"!a:b.example":0},"only":"this","room":"!r"}`, nil},
		{`{"mode":"open","names":["a","b"],"most":-9007199254740991}`, nil},
		{`[]`, []Fault{{"", "must be an object, not []"}}},
		{`{}`, []Fault{{"mode", `is missing; it must be one of "open", "shut"`}}},
		{`{"mode":"ajar"}`, []Fault{{"mode", `must be one of "open", "shut", not "ajar"`}}},
		{`{"mode":"open","once":"yes"}`, []Fault{{"once", `must be true or false, not "yes"`}}},
		{`{"mode":"open","names":7}`, []Fault{{"names", `must be a text or a list, not 7`}}},
		{`{"mode":"open","names":[]}`, []Fault{{"names", `the number of its items must be at least 1, not 0: []`}}},
		{`{"mode":"open","names":["a",null,"much too long"]}`, []Fault{
			{"names[1]", "must be a text, not null"},
			{"names[2]", `the number of its characters must be from 1 to 8, not 13: "much too long"`}}},
		{`{"mode":"open","limit":11}`, []Fault{{"limit", "must be from 1 to 10, not 11"}}},
		{`{"mode":"open","limit":1.0}`, []Fault{{"limit", "must be a whole number, not 1.0"}}},
		{`{"mode":"open","limit":9007199254740992}`, []Fault{{"limit", "must be a whole number, not 9007199254740992"}}},
		{`{"mode":"open","most":6}`, []Fault{{"most", "must be at most 5, not 6"}}},
		{`{"mode":"open","rules":[{"message":"a"},{"mesage":"b"},"c"]}`, []Fault{
			{"rules", `the number of its items must be at most 2, not 3: [{"message":"a"},{"mesage":"b"},"c"]`},
			{"rules[1].message", "is missing; it must be a text"},
			{"rules[1].mesage", `unknown setting, set to "b"; did you mean message? known here: message, when`},
			{"rules[2]", `must be an object, not "c"`}}},
		{`{"mode":"open","rules":[{"message":"` + long + `"}]}`, []Fault{
			{"rules[0].message", `the number of its characters must be at most 5, not 100: "` + long[:48] + `"...`}}},
		{`{"mode":"open","rules":{"message":"` + long + `"}}`, []Fault{{"rules", `must be a list, not {"message":"` + long[:36] + `...`}}},
		{`{"mode":"open","by_room":{"!a:b.example":-1}}`, []Fault{{`by_room."!a:b.example"`, "must be at least 0, not -1"}}},
		{`{"mode":"open","only":"that"}`, []Fault{{"only", `must be "this", not "that"`}}},
		{`{"mode":"open","only":["this"]}`, []Fault{{"only", `must be "this", not ["this"]`}}},
		{`{"mode":"open","room":"#r"}`, []Fault{{"room", `must match "^!" (a room ID), not "#r"`}}},
		{`{"mode":"open","\u001b[2J":"\u202e"}`, []Fault{{`"\x1b[2J"`, `unknown setting, set to "\u202e"; known here: by_room, limit, mode, most, names, once, only, room, rules`}}},
		{`{"mdoe":"open","mode":"open"}`, []Fault{{"mdoe", `unknown setting, set to "open"; did you mean mode? known here: by_room, limit, mode, most, names, once, only, room, rules`}}},
	} {
		if diff := cmp.Diff(tt.want, s.Check(parsed(t, tt.settings))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.settings, diff)
		}
	}
}

// TestCheckIsBounded: many faults are told as a few, and that there are more.
func TestCheckIsBounded(t *testing.T) {
	s := compile(t, `{"type":"object","additionalProperties":{"type":"array","items":{"type":"integer"}}}`)
	list := `["x"` + strings.Repeat(`,"x"`, 9999) + `]`
	faults := s.Check(parsed(t, `{"a":`+list+`,"b":`+list+`}`))
	if n := len(faults); n != MaxFaults+1 || faults[n-1].Message != "there are more faults than these 20" {
		t.Errorf("got %d faults, the last of them %q", n, faults[n-1])
	}
	if faults := s.Check(parsed(t, `{"a":[`+strings.Repeat(`"x",`, MaxFaults-1)+`"x"]}`)); len(faults) != MaxFaults {
		t.Errorf("%d faults were told as %d", MaxFaults, len(faults))
	}
}

// TestFields: the table has every setting once, with the words that stand
// nearest.
func TestFields(t *testing.T) {
	want := []Field{
		{Path: "by_room", Kind: "an object"},
		{Path: "by_room.*", Kind: "a whole number at least 0"},
		{Path: "limit", Kind: "a whole number from 1 to 10", Default: "3"},
		{Path: "mode", Kind: "a text", Allowed: []string{`"open"`, `"shut"`}, Required: true},
		{Path: "most", Kind: "a whole number at most 5"},
		{Path: "names", Kind: "a text or a list", Description: "Who may knock"},
		{Path: "names[]", Kind: "a text"},
		{Path: "once", Kind: "true or false", Default: "true", Description: "Ring once."},
		{Path: "only", Kind: "a text", Allowed: []string{`"this"`}},
		{Path: "room", Kind: "a text", Description: "a room ID"},
		{Path: "rules", Kind: "a list"},
		{Path: "rules[]", Kind: "an object"},
		{Path: "rules[].message", Kind: "a text", Required: true},
		{Path: "rules[].when", Kind: "anything"},
	}
	if diff := cmp.Diff(want, compile(t, door).Fields()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "not JSON",
		`{"a":1}x`:              "not JSON",
		`{"a":1,"a":2}`:         `the key "a" stands twice`,
		`[{"b":{"a":1,"a":2}}]`: `the key "a" stands twice`,
		"\"\xff\"":              "not UTF-8",
		`{"a":01}`:              "at byte",
	} {
		if v, err := Parse([]byte(text)); err == nil || v != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, %v; want an error with %q", text, v, err, want)
		}
	}
}

func TestAppendCanonical(t *testing.T) {
	for text, want := range map[string]string{
		` { "b" : [ 1 , -2 , null , true , false , { } ] , "a" : "x" } `: `{"a":"x","b":[1,-2,null,true,false,{}]}`,
		`"\u0041\/\u001F\b\f\n\r\t\"\\\u2028<"`:                          "\"A/\\u001f\\b\\f\\n\\r\\t\\\"\\\\\u2028<\"",
		`{"é":1,"z":2,"":3}`:                                             `{"":3,"z":2,"é":1}`,
	} {
		if got := string(AppendCanonical(nil, parsed(t, text))); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
