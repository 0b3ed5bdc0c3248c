package policy_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/sdk/abi"
	"github.com/knockgate/knockgate/sdk/go/policy"
)

func pass(*policy.Knock) policy.Verdict { return policy.Pass }

// faults returns what Load has to say of settings.
func faults(t *testing.T, read func(*policy.Settings), settings string) policy.SettingsError {
	t.Helper()
	decide, err := policy.Load(func(s *policy.Settings) policy.DecideFunc {
		read(s)
		return pass
	}, []byte(settings))
	var list policy.SettingsError
	if err != nil && !errors.As(err, &list) {
		t.Fatalf("%T is no SettingsError", err)
	}
	if (err == nil) != (decide != nil) {
		t.Errorf("error %v, and a function: %v", err, decide != nil)
	}
	return list
}

func TestSettings(t *testing.T) {
	got := map[string]any{}
	list := faults(t, func(s *policy.Settings) {
		got["bool"] = s.Bool("bool", false)
		got["no bool"] = s.Bool("no_bool", true)
		got["int"] = s.Int("int", 1, -10, 10)
		got["no int"] = s.Int("no_int", 7, 0, 0)
		got["text"] = s.Text("text", "")
		got["no text"] = s.Text("no_text", "def")
		got["one of"] = s.OneOf("one_of", "a", "a", "b")
		got["no one of"] = s.OneOf("no_one_of", "a", "a", "b")
		var items []string
		for _, key := range []string{"list", "alone", "no_list"} {
			for _, i := range s.Texts(key) {
				items = append(items, i.Text)
			}
		}
		got["items"] = items
		o, ok := s.Object("object")
		got["object"] = o.Int("x", 0, 0, 9)
		got["object ok"] = ok
		o, ok = s.Object("no_object")
		got["no object"] = ok || o.Has("x")
		var paths []string
		for _, o := range s.Objects("objects") {
			paths = append(paths, o.Path()+o.Text("k", "none"))
		}
		got["paths"] = paths
		got["nothing"] = s.Objects("no_objects") == nil
	}, ` { "bool":true,"int":-10,"text":"a\u00e9\ud83d\udeaa\n\"\/","one_of":"b","list":["x","y"],
		"alone":"z" ,"object":{"x":3} , "objects":[{},{"k":"v"}]}`)
	if list != nil {
		t.Fatal(list)
	}
	want := map[string]any{
		"bool": true, "no bool": true, "int": int64(-10), "no int": int64(7), "text": "aé🚪\n\"/", "no text": "def",
		"one of": "b", "no one of": "a", "items": []string{"x", "y", "z"}, "object": int64(3), "object ok": true,
		"no object": false, "paths": []string{"objects[0]none", "objects[1]v"}, "nothing": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSettingsFaults(t *testing.T) {
	for _, c := range []struct {
		name, settings string
		read           func(*policy.Settings)
		want           policy.SettingsError
	}{
		{"kinds", `{"a":1,"b":"true","c":[1],"d":{},"e":null}`, func(s *policy.Settings) {
			s.Text("a", "")
			s.Bool("b", false)
			s.Object("c")
			s.Texts("d")
			s.Objects("e")
		}, policy.SettingsError{
			{"a", "must be a text, not a number"},
			{"b", "must be true or false, not a text"},
			{"c", "must be an object, not a list"},
			{"d", "must be a text or a list of texts, not an object"},
			{"e", "must be a list of objects, not null"},
		}},
		{"range", `{"a":11}`, func(s *policy.Settings) { s.Int("a", 0, 1, 10) },
			policy.SettingsError{{"a", "must be from 1 to 10, not 11"}}},
		{"choice", `{"a":"c"}`, func(s *policy.Settings) { s.OneOf("a", "x", "x", "y") },
			policy.SettingsError{{"a", `must be one of x, y, not "c"`}}},
		{"inner paths", `{"r":[{"a":["x",true]},7],"o":{"p":{"q":1}}}`, func(s *policy.Settings) {
			for _, r := range s.Objects("r") {
				for _, item := range r.Texts("a") {
					item.Fail("is bad")
				}
			}
			o, _ := s.Object("o")
			o.Object("p")
		}, policy.SettingsError{
			{"r[1]", "must be an object, not a number"},
			{"r[0].a[1]", "must be a text, not a truth value"},
			{"r[0].a[0]", "is bad"},
			{"o.p.q", "unknown setting; there are no settings here"},
		}},
		{"unknown", `{"alow":[]}`, func(s *policy.Settings) { s.Has("allow"); s.Has("deny"); s.Has("allow") },
			policy.SettingsError{{"alow", "unknown setting; known here: allow, deny"}}},
		{"no settings at all", `{"x":1}`, func(s *policy.Settings) {},
			policy.SettingsError{{"x", "unknown setting; there are no settings here"}}},
		{"no object", `[]`, func(s *policy.Settings) { s.Has("x") },
			policy.SettingsError{{"", "the settings must be an object, not a list"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, faults(t, c.read, c.settings)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSettingsNotJSON(t *testing.T) {
	for _, c := range []struct{ settings, says string }{
		{`{`, "a key is missing at byte 1"},
		{`{}x`, "something follows the object at byte 2"},
		{`{"a":1,"a":2}`, `the key "a" stands twice`},
		{`{"a":1,"\u0061":2}`, `the key "a" stands twice`},
		{`{"a":01}`, "a number is malformed"},
		{`{"a":-}`, "a number is malformed"},
		{`{"a":1.}`, "a number is malformed"},
		{`{"a":1e}`, "a number is malformed"},
		{`{"a":9007199254740992}`, "a number is too large"},
		{`{"a":tru}`, "no value begins like this at byte 5"},
		{`{"a"}`, "a colon is missing"},
		{`{"a":1,}`, "a key is missing"},
		{`{"a":[1 2]}`, "a comma or the end of a list is missing"},
		{`{"a":"\ud800"}`, "an escape is malformed"},
		{`{"a":"\ude00\ud83d"}`, "an escape is malformed"},
		{`{"a":"\x"}`, "an escape is malformed"},
		{`{"a":"\u12"}`, "an escape is malformed"},
		{"{\"a\":\"\xff\"}", "a text is not UTF-8"},
		{"{\"a\":\"\n\"}", "a text holds a control character"},
		{`{"a":"`, "a text does not end"},
		{`{"a":`, "it ends too soon"},
		{" ", "it ends too soon"},
		{strings.Repeat(`{"a":`, 40), "nested too deep"},
		{strings.Repeat(`[`, 1<<16), "nested too deep"},
		{`{"a":"` + strings.Repeat("x", abi.MaxSettings) + `"}`, "too large"},
	} {
		list := faults(t, func(s *policy.Settings) { s.Has("a") }, c.settings)
		if len(list) != 1 || list[0].Path != "" || !strings.Contains(list[0].Message, c.says) {
			t.Errorf("%.40q: got %v, want %q", c.settings, list, c.says)
		}
	}
}

func TestLoadWithoutDecide(t *testing.T) {
	if _, err := policy.Load(func(*policy.Settings) policy.DecideFunc { return nil }, nil); err == nil {
		t.Error("no error")
	}
}

// FuzzSettings: what is accepted is JSON and means what encoding/json makes of
// it; what encoding/json refuses is refused.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{`{}`, `{"text":"\u00e9\ud83d\udeaa"}`, `{"text":"a","int":-12,"list":["x",""]}`,
		`{"int":1e3}`, `{"text":"\ud800"}`, `{"a":1,"a":2}`, `{"o":{"x":[{},[],null]}} `, "{\"text\":\"\xff\"}", `{"int":-0}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, settings []byte) {
		type values struct {
			Text string   `json:"text"`
			Int  int64    `json:"int"`
			List []string `json:"list"`
		}
		var got values
		_, err := policy.Load(func(s *policy.Settings) policy.DecideFunc {
			got.Text = s.Text("text", "")
			got.Int = s.Int("int", 0, -1<<62, 1<<62)
			for _, i := range s.Texts("list") {
				got.List = append(got.List, i.Text)
			}
			return pass
		}, settings)
		if err != nil || len(settings) == 0 {
			return
		}
		var want values
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(settings, &keys); err != nil {
			t.Fatalf("%q: accepted, but %v", settings, err)
		}
		var alone string
		if json.Unmarshal(keys["list"], &alone) == nil && len(keys["list"]) > 0 {
			keys["list"], _ = json.Marshal([]string{alone})
		}
		again, _ := json.Marshal(keys)
		if err := json.Unmarshal(again, &want); err != nil {
			t.Fatalf("%q: accepted, but %v", settings, err)
		}
		if len(want.List) == 0 {
			want.List = nil
		}
		if !utf8.Valid(settings) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, want %+v", settings, got, want)
		}
	})
}

// TestSettingsVectors: the settings of sdk/abi/testdata that are JSON are read, and
// the others are not.
func TestSettingsVectors(t *testing.T) {
	const path = "../../abi/testdata/settings.json"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Text, Hex string
		Valid     bool
	}
	if err := json.Unmarshal(text, &list); err != nil || len(list) < 50 {
		t.Fatalf("%s: %d settings, err %v", path, len(list), err)
	}
	for _, v := range list {
		raw, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		faults := faults(t, func(*policy.Settings) {}, v.Text+string(raw))
		refused := len(faults) == 1 && strings.HasPrefix(faults[0].Message, "the settings are not JSON: ")
		if refused == v.Valid {
			t.Errorf("settings %q %s: %v, want valid %v", v.Text, v.Hex, faults, v.Valid)
		}
	}
}
