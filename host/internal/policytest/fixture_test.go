package policytest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// TestParseRefuses: what is not as it must be is told by its path, with what would be
// right.
func TestParseRefuses(t *testing.T) {
	const deep = `{"cases":[{"facts":{"event":`
	for _, tt := range []struct{ name, text, want string }{
		{"no JSON", `{"cases":[`, "it ends too early"},
		{"a comma too many", "{\n\"cases\": [,]\n}", "line 2"},
		{"not UTF-8", "{\n\n\"about\":\"\xff\"}", "line 3: no UTF-8"},
		{"two values", `{"cases":[{}]} {}`, "after the end"},
		{"a list", `[]`, "must be an object, not a list"},
		{"nothing", `{}`, "it must have either cases, or refused"},
		{"both", `{"cases":[{}],"refused":[{"path":"","says":""}]}`, "it must have either cases, or refused"},
		{"unknown key", `{"case":[]}`, "case: unknown key; there are about, cases, facts, fuel"},
		{"unknown key of a case", `{"cases":[{},{"wants":{}}]}`, "cases[1].wants: unknown key; there are facts, kv, lists, name, steps, want"},
		{"unknown fact", `{"cases":[{"facts":{"reasn":"x"}}]}`, "cases[0].facts.reasn: unknown key; there are avatar_url, content_hash_ok, displayname, event"},
		{"unknown fact of the room", `{"facts":{"room":{"member":1}},"cases":[{}]}`, "facts.room.member: unknown key"},
		{"unknown key of a step", `{"cases":[{"steps":[{"wait":"1s"}]}]}`, "cases[0].steps[0].wait: unknown key; there are after, facts, name, times, want"},
		{"key twice", `{"cases":[{"name":"a","name":"b"}]}`, "cases[0].name: the key stands twice"},
		{"key twice where all keys may be", `{"kv":{"a":1,"a":2},"cases":[{}]}`, "kv.a: the key stands twice"},
		{"wrong kind", `{"cases":[{"facts":{"reason":5}}]}`, "cases[0].facts.reason: must be a text, not a whole number"},
		{"wrong kind in a list", `{"lists":{"bad":["a",1]},"cases":[{}]}`, "lists.bad[1]: must be a text, not a whole number"},
		{"fraction", `{"cases":[{"facts":{"now_ms":1.5}}]}`, "cases[0].facts.now_ms: must be a whole number, not 1.5"},
		{"verdict", `{"cases":[{"want":{"verdict":"denied"}}]}`, `cases[0].want.verdict: "denied"; it must be allow, deny, incompatible, pass or error`},
		{"want without verdict", `{"cases":[{"want":{"code":"x"}}]}`, `cases[0].want.verdict: ""`},
		{"fault of no error", `{"cases":[{"want":{"verdict":"deny","fault":"trap"}}]}`, "cases[0].want.fault: only with the verdict error"},
		{"fuel below 0", `{"cases":[{"want":{"verdict":"deny","fuel":-1}}]}`, "cases[0].want.fuel: -1"},
		{"want beside steps", `{"cases":[{"want":{"verdict":"deny"},"steps":[{}]}]}`, "cases[0]: want stands beside steps"},
		{"no steps", `{"cases":[{"steps":[]}]}`, "cases[0].steps: none"},
		{"too many times", `{"cases":[{"steps":[{"times":1001}]}]}`, "cases[0].steps[0].times: 1001; it must be 1 to 1000"},
		{"time", `{"cases":[{"steps":[{"after":"a while"}]}]}`, `the time "a while"; it must be like "90s"`},
		{"time back", `{"cases":[{"steps":[{"after":"-1s"}]}]}`, `"-1s"`},
		{"value", `{"kv":{"a":-1},"cases":[{}]}`, "the value -1 at a key"},
		{"value in hex", `{"kv":{"a":{"hex":"0"}},"cases":[{}]}`, "the value at a key"},
		{"phase", `{"cases":[{"facts":{"phase":"knock"}}]}`, `the phase "knock"`},
		{"a reason of make_knock", `{"cases":[{"facts":{"phase":"make_knock","reason":"x"}}]}`, "cases[0].facts.reason: a policy is not told this of a make_knock"},
		{"a name of an unknown room", `{"cases":[{"facts":{"room":{"known":false,"name":"x"}}}]}`, "cases[0].facts.room.name: a policy is not told this"},
		{"event of fractions", `{"cases":[{"facts":{"event":{"depth":1.5}}}]}`, "cases[0].facts.event: "},
		{"too deep", deep + strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200) + "}}]}", "nested deeper than 100 levels"},
	} {
		_, err := parse("x.json", []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestLoad: files are named in errors, and a folder without any says what to do.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "--update") {
		t.Errorf("an empty folder: %v, want what to do", err)
	}
	path := filepath.Join(dir, "a.json")
	if err := os.WriteFile(path, []byte(`{"cases":[{"facts":{"reasn":""}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.HasPrefix(err.Error(), path+": cases[0].facts.reasn: unknown key") {
		t.Errorf("got %v, want file, path and key", err)
	}
}

// factsOf returns the facts of the first step of the first case.
func factsOf(t *testing.T, text string) *abi.Facts {
	t.Helper()
	f, err := parse("x.json", []byte(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	facts, err := f.facts(0, f.steps(0)[0], start)
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return facts
}

// TestFacts: what a fixture leaves out is that of an ordinary knock, or follows from
// what it gives.
func TestFacts(t *testing.T) {
	for _, tt := range []struct{ name, text, json, event string }{
		{"nothing", `{"cases":[{}]}`,
			`{"phase":"send_knock","request_id":"fixture","now_ms":1700000000000,"room_id":"!room:here.example","room_version":"11",` +
				`"user_id":"@alice:example.org","user_localpart":"alice","user_server":"example.org","origin":"example.org","content_hash_ok":true,`,
			`{"content":{"membership":"knock"},"depth":12,"origin_server_ts":1700000000000,"room_id":"!room:here.example","sender":"@alice:example.org","state_key":"@alice:example.org","type":"m.room.member"}`},
		{"make_knock", `{"cases":[{"facts":{"phase":"make_knock"}}]}`, `"supported_versions":["1","2","3","4","5","6","7","8","9","10","11","12"]`, ""},
		{"a port", `{"cases":[{"facts":{"user_id":"@Bob:Evil.example:8448"}}]}`,
			`"user_id":"@Bob:Evil.example:8448","user_localpart":"Bob","user_server":"Evil.example","origin":"Evil.example:8448"`, ""},
		{"an address", `{"cases":[{"facts":{"user_id":"@b:[2001:db8::1]:1"}}]}`, `"user_server":"[2001:db8::1]","origin":"[2001:db8::1]:1"`, ""},
		{"another origin", `{"cases":[{"facts":{"origin":"o.example"}}]}`, `"user_server":"example.org","origin":"o.example"`, ""},
		{"reason", `{"cases":[{"facts":{"reason":"a\u0000<&>"}}]}`, `"reason":"a\u0000<&>"`, `{"content":{"membership":"knock","reason":"a\u0000<&>"},`},
		{"event", `{"cases":[{"facts":{"event":{"content":{"reason":"why","displayname":"A","avatar_url":5}}}}]}`,
			`"reason":"why","displayname":"A","content_hash_ok":true`, `{"content":{"avatar_url":5,"displayname":"A","reason":"why"}}`},
		{"event that was changed", `{"cases":[{"facts":{"content_hash_ok":false,"event":{"content":{"reason":"why"}}}}]}`, `"origin":"example.org","content_hash_ok":false`, ""},
		{"layers", `{"facts":{"reason":"file","displayname":"file","room":{"name":"file","topic":"file"}},"cases":[{"facts":{"displayname":"case","room":{"topic":"case"}},"steps":[{"facts":{"room":{"members":9}}}]}]}`,
			`"reason":"file","displayname":"case","content_hash_ok":true,"room":{"known":true,"join_rule":"knock","name":"file","topic":"case","encrypted":false,"members":9,`, ""},
		{"null", `{"facts":{"reason":"file"},"cases":[{"facts":{"reason":null,"room":{"join_rule":null}}}]}`, `"origin":"example.org","content_hash_ok":true,"room":{"known":true,"encrypted"`, ""},
		{"unknown room", `{"cases":[{"facts":{"room":{"known":false}}}]}`, `"room":{"known":false}}`, ""},
	} {
		facts := factsOf(t, tt.text)
		if got := string(abi.AppendJSON(nil, facts)); !strings.Contains(got, tt.json) {
			t.Errorf("%s: the facts are\n%s\nwant in them\n%s", tt.name, got, tt.json)
		}
		if !strings.HasPrefix(string(facts.Event), tt.event) || (facts.Phase == abi.MakeKnock) != (facts.Event == nil) {
			t.Errorf("%s: the event is\n%s\nwant\n%s", tt.name, facts.Event, tt.event)
		}
	}
}
