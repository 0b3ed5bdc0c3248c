package policytest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// start is now_ms where a fixture gives none.
const start = 1_700_000_000_000

// Facts are facts as a fixture gives them: the keys of abi.AppendJSON and event,
// of which null takes away what would be there otherwise.
type Facts map[string]json.RawMessage

// factsShape is learnt from abi itself, which has the last word on the keys.
var factsShape = sync.OnceValue(func() *shape {
	s := &shape{kind: "an object", keys: map[string]*shape{"event": {kind: "an object", null: true}}}
	for _, phase := range [...]abi.Phase{abi.MakeKnock, abi.SendKnock} {
		var f abi.Facts
		fill(reflect.ValueOf(&f).Elem())
		f.Phase = phase
		var all any
		if err := json.Unmarshal(abi.AppendJSON(nil, &f), &all); err != nil {
			panic(fmt.Sprintf("policytest: the facts as JSON: %v", err))
		}
		learn(s, all)
	}
	return s
})

// fill gives every field a value that is no zero, so that each has its key. The
// texts are JSON as well, for those that stand in the facts as such.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.String:
		v.SetString("{}")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(1)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte("{}"))
		} else {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
	}
}

// learn adds the keys of an object, and what their values are, to a shape.
func learn(s *shape, value any) {
	switch v := value.(type) {
	case map[string]any:
		s.kind = "an object"
		for key, inner := range v {
			if s.keys == nil {
				s.keys = map[string]*shape{}
			}
			if s.keys[key] == nil {
				s.keys[key] = &shape{null: true}
			}
			learn(s.keys[key], inner)
		}
	case []any:
		s.kind, s.each = "a list", &shape{kind: "a text"}
	case string:
		s.kind = "a text"
	case bool:
		s.kind = "true or false"
	case float64:
		s.kind = "a whole number"
	}
}

func (Facts) shape() *shape { return factsShape() }

// ordinary are the facts of a knock of which a fixture says nothing.
func ordinary(nowMS int64) Facts {
	versions := make([]string, 12)
	for i := range versions {
		versions[i] = fmt.Sprint(i + 1)
	}
	room := abi.RoomFacts{Known: true, JoinRule: abi.Some("knock"), Members: 3}
	f := abi.Facts{
		Phase: abi.SendKnock, RoomID: "!room:here.example", RoomVersion: "11", UserID: "@alice:example.org",
		RequestID: "fixture", NowMS: nowMS, ContentHashOK: true, Room: room,
	}
	all := decodeFacts(abi.AppendJSON(nil, &f))
	for _, key := range []string{"user_localpart", "user_server", "origin"} {
		delete(all, key) // they follow from the user ID
	}
	all["supported_versions"], _ = json.Marshal(versions)
	return all
}

// decodeFacts reads an object that is known to be one.
func decodeFacts(text []byte) (f Facts) {
	if err := json.Unmarshal(text, &f); err != nil {
		panic(fmt.Sprintf("policytest: facts: %v", err))
	}
	return f
}

// set lays more facts over f; what they say of the room is laid over key by key.
func (f Facts) set(more Facts) {
	for key, value := range more {
		if old, ok := f[key]; ok && key == "room" && string(value) != "null" {
			inner := decodeFacts(old)
			inner.set(decodeFacts(value))
			value, _ = json.Marshal(inner)
		}
		if f[key] = value; string(value) == "null" {
			delete(f, key)
		}
	}
}

func (f Facts) text(key string) (s string) {
	_ = json.Unmarshal(f[key], &s) // a text by its shape, or not there
	return s
}

// facts returns what a policy is told at a step that is done at nowMS.
func (f *File) facts(i int, s placed, nowMS int64) (*abi.Facts, error) {
	all := ordinary(nowMS)
	given := Facts{}
	for _, more := range [...]Facts{f.Facts, f.Cases[i].Facts, s.step.Facts} {
		all.set(more)
		given.set(more)
	}
	user := all.text("user_id")
	local, server, _ := strings.Cut(strings.TrimPrefix(user, "@"), ":")
	for key, value := range map[string]string{"user_localpart": local, "user_server": matrix.ServerName(server).Host(), "origin": server} {
		if _, ok := given[key]; !ok {
			all[key], _ = json.Marshal(value)
		}
	}
	event, err := all.event()
	if err != nil {
		return nil, fmt.Errorf("facts.event: %w", err)
	}
	delete(all, "event")
	text, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	decoded, err := plugins.DecodeFacts(text, event)
	if err != nil {
		return nil, err
	}
	own := f.Cases[i].Facts
	if s.step.Facts != nil {
		own = s.step.Facts
	}
	if key := unheard(own, decodeFacts(abi.AppendJSON(nil, decoded))); key != "" {
		return nil, fmt.Errorf("facts.%s: a policy is not told this of a %s, or of a room that is not known", key, decoded.Phase)
	}
	return decoded, nil
}

// unheard returns the path of a fact that is given and not told, "" if there is
// none.
func unheard(given, told Facts) string {
	for key, value := range given {
		is, ok := told[key]
		switch {
		case string(value) == "null" || key == "event":
		case !ok:
			return key
		case key == "room":
			if inner := unheard(decodeFacts(value), decodeFacts(is)); inner != "" {
				return "room." + inner
			}
		}
	}
	return ""
}

// event returns the canonical event of a send_knock: the one that the fixture
// gives, whose content then tells the texts that the fixture leaves out, or an
// ordinary one.
func (f Facts) event() ([]byte, error) {
	if f.text("phase") != abi.SendKnock.String() {
		return nil, nil
	}
	texts := [...]string{"reason", "displayname", "avatar_url"}
	text, given := f["event"]
	if !given {
		content := map[string]any{"membership": "knock"}
		for _, key := range texts {
			if v, ok := f[key]; ok {
				content[key] = v
			}
		}
		text, _ = json.Marshal(map[string]any{
			"type": "m.room.member", "content": content, "depth": 12, "origin_server_ts": f["now_ms"],
			"room_id": f["room_id"], "sender": f["user_id"], "state_key": f["user_id"],
		})
	}
	var doc canonicaljson.Doc
	if err := doc.Parse(text); err != nil {
		return nil, err
	}
	if hash := f["content_hash_ok"]; given && string(hash) != "false" {
		for _, key := range texts {
			if v := doc.Root().Get("content").Get(key); f[key] == nil && v.IsString() {
				f[key] = v.Canonical()
			}
		}
	}
	return doc.Bytes(), nil
}
