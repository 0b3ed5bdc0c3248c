package appservice

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/store"
)

// TestEvents: which rooms are forgotten, and which knocks are taken as such.
func TestEvents(t *testing.T) {
	knock := member("$1", "@u:b.test", "knock", time.Second)
	with := func(old, new string) string {
		t.Helper()
		if !strings.Contains(knock, old) {
			t.Fatalf("%s is not in %s", old, knock)
		}
		return strings.Replace(knock, old, new, 1)
	}
	room, one := []string{"!r:a.test"}, []string{"other_server $1"}
	tests := []struct {
		name, event string
		forgotten   []string
		undecided   []string
	}{
		{"knock", knock, room, one},
		{"join", member("$1", "@u:b.test", "join", time.Second), room, nil},
		{"own user", member("$1", "@u:a.test:8448", "knock", time.Second), room, []string{"own_user $1"}},
		{"a server that ends like ours", member("$1", "@u:xa.test:8448", "knock", time.Second), room, one},
		{"name", `{"type":"m.room.name","room_id":"!n:a.test","sender":"@a:a.test","state_key":"","content":{"name":"x"}}`, []string{"!n:a.test"}, nil},
		{"redaction", `{"type":"m.room.redaction","room_id":"!n:a.test","sender":"@a:a.test","redacts":"$x","content":{}}`, []string{"!n:a.test"}, nil},
		{"message", message("@u:b.test", 0), nil, nil},
		{"of another's membership", with(`"state_key":"@u:b.test"`, `"state_key":"@v:b.test"`), room, nil},
		{"of no state", with(`"state_key":"@u:b.test",`, ``), nil, nil},
		{"floats, which old rooms may have", with(`"age":7`, `"age":7.5,"x":1e300`), room, one},
		{"keys in another case", with(`"type":`, `"TYPE":"x","Type":"y","type":`), room, one},
		{"keys in another case, after", with(`"unsigned":`, `"Room_id":"!x:y","State_Key":"","Sender":"@v:c","unsigned":`), room, one},
		{"membership in another case", with(`"reason":`, `"Membership":"join","reason":`), room, one},
		{"time is no number", with(`"origin_server_ts":`, `"origin_server_ts":"x","y":`), room, nil}, // history, as far as one can tell
		{"time beyond all dates", with(fmt.Sprint(since.Add(time.Second).UnixMilli()), "9223372036854775807"), room, one},
		{"event ID is no text", with(`"$1"`, `7`), room, nil},
		{"long event ID", with(`$1`, `$`+strings.Repeat("x", 255)), room, nil},
		{"content is no object", with(`"content":`, `"content":7,"x":`), room, nil},
		{"membership is no text", with(`"knock"`, `["knock"]`), room, nil},
		{"room is no text", with(`"!r:a.test"`, `{}`), nil, nil},
		{"long room", with(`!r`, `!`+strings.Repeat("r", 255)), nil, nil},
		{"no object", `"x"`, nil, nil},
		{"null", `null`, nil, nil},
		{"list", `[{}]`, nil, nil},
		{"lone surrogate", with(`hello`, `\ud800`), room, one},
	}
	s := newScene(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var taken taken
			s.receiver.Store, s.receiver.live = &taken, false
			s.push("1", tt.event)
			if got := s.facts.take(); !cmp.Equal(got, tt.forgotten) {
				t.Errorf("forgotten are %v, want %v", got, tt.forgotten)
			}
			if !cmp.Equal([]string(taken), tt.undecided) {
				t.Errorf("undecided are %v, want %v", taken, tt.undecided)
			}
		})
	}
}

// taken is a store to which all is new, as "kind event".
type taken []string

func (s *taken) TakeTransaction(_ context.Context, _ string, knocks []store.Undecided) ([]store.Undecided, error) {
	for _, k := range knocks {
		*s = append(*s, k.Kind+" "+k.Event)
	}
	return knocks, nil
}

// TestBodies: what is no transaction is refused; what stands beside the events is
// not looked at.
func TestBodies(t *testing.T) {
	deep := strings.Repeat("[", 1<<20)
	tests := []struct {
		name, body string
		status     int
		code       string
	}{
		{"empty list", `{"events":[]}`, 200, ""},
		{"white space", " {\n\"events\" : [ ] }\n", 200, ""},
		{"beside the events", `{"ephemeral":[{"type":"m.typing"}],"events":[],"de.x":{"a":[1.5]}}`, 200, ""},
		{"nothing", ``, 400, "M_NOT_JSON"},
		{"no JSON", `<html>`, 400, "M_NOT_JSON"},
		{"cut off", `{"events":[{"type":"x"}`, 400, "M_NOT_JSON"},
		{"more after it", `{"events":[]}{}`, 400, "M_NOT_JSON"},
		{"no object", `[]`, 400, "M_BAD_JSON"},
		{"no events", `{}`, 400, "M_BAD_JSON"},
		{"events are no list", `{"events":{}}`, 400, "M_BAD_JSON"},
		{"events in another case", `{"Events":[]}`, 400, "M_BAD_JSON"},
		{"deep", `{"events":[` + deep, 400, "M_NOT_JSON"},
		{"deep beside the events", `{"x":` + deep, 400, "M_NOT_JSON"},
		{"an event of 1,000 levels", `{"events":[` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `]}`, 200, ""},
	}
	s := newScene(t)
	for i, tt := range tests {
		status, code := s.ask("PUT", fmt.Sprint("/transactions/", i), strings.NewReader(tt.body))
		if status != tt.status || code != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, status, code, tt.status, tt.code)
		}
	}
}

// TestLarge: the largest that Synapse can push is taken, and what is over the bounds
// is refused, announced or not.
func TestLarge(t *testing.T) {
	s := newScene(t)
	// 100 events of 64 KiB, with the state before, each byte of three as an escape.
	content := strings.Repeat(`\u20ac`, 64<<10/3)
	event := strings.Replace(member("$1", "@u:b.test", "knock", time.Second), `"hello"`, `"`+content+`"`, 1)
	event = strings.Replace(event, `"age":7`, `"prev_content":{"reason":"`+content+`"}`, 1)
	events := make([]string, 100)
	for i := range events {
		events[i] = strings.Replace(event, "$1", fmt.Sprint("$", i), 1)
	}
	s.push("1", events...)
	if got := len(s.undecided()); got != 100 {
		t.Errorf("%d undecided, want 100", got)
	}

	refused := func(name, id string, body io.Reader) {
		t.Helper()
		if status, code := s.ask("PUT", "/transactions/"+id, body); status != 413 || code != "M_TOO_LARGE" {
			t.Errorf("%s: %d %s, want 413 M_TOO_LARGE", name, status, code)
		}
	}
	endless := func() io.Reader {
		return io.MultiReader(strings.NewReader(`{"events":[],"x":"`), io.LimitReader(letters{}, MaxBody), strings.NewReader(`"}`))
	}
	refused("in chunks", "2", endless())
	many := make([]string, maxKnocks+1)
	for i := range many {
		many[i] = member(fmt.Sprint("$k", i), "@u:b.test", "knock", time.Second)
	}
	refused("many knocks", "3", strings.NewReader(`{"events":[`+strings.Join(many, ",")+`]}`))
	if got := len(s.undecided()); got != 100 {
		t.Errorf("%d undecided, want none of what was refused", got-100)
	}
}

// letters is an endless text.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
