package conformance

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Why a probe in Rego is not asked.
const (
	noHost     = "OPA's ABI has no host functions of ours"
	noMessages = "a rule of Rego words its faults itself"
	noBounds   = "Rego has no SDK between a rule and the host that would cut"
	noTrap     = "a rule of Rego has no way to end its instance at will"
)

func allow(note string) answer { return answer{Verdict: abi.Allow, Note: note} }

func echoed(value string) answer { return answer{Verdict: abi.Allow, Note: value, Code: "present"} }

func one(name, noRego, settings string, want answer) row {
	return row{name: name, noRego: noRego, steps: []step{{settings: settings, want: want}}}
}

func refused(name, settings string, faults ...string) row {
	return one("settings: "+name, noMessages, settings, answer{Refused: faults})
}

// rows is the table of what a probe answers to facts that a host makes.
func rows() []row {
	var all []row
	all = append(all, fieldRows()...)
	all = append(all, verdictRows()...)
	all = append(all, hostRows()...)
	return append(all, settingsRows()...)
}

func fieldRows() []row {
	absent := answer{Verdict: abi.Allow, Code: "absent"}
	list := []row{
		{name: "phase", steps: []step{
			{settings: settings("op=", "phase"), want: allow("send_knock")},
			{settings: settings("op=", "phase"), facts: asking("11"), want: allow("make_knock")},
		}},
		{name: "no settings are {}", steps: []step{{settings: "", want: answer{Verdict: abi.Error, Fault: plugins.FaultError, FaultText: "no such field"}}}},
		{name: "supports", noRego: "supported_versions is a list there, which needs no help", steps: []step{
			{settings: settings("op=", "supports", "text=", "11"), facts: asking("7", "11", "org.example.1"), want: allow("true")},
			{settings: settings("op=", "supports", "text=", "7"), facts: asking("7", "11", "org.example.1"), want: allow("true")},
			{settings: settings("op=", "supports", "text=", "org.example.1"), facts: asking("7", "11", "org.example.1"), want: allow("true")},
			{settings: settings("op=", "supports", "text=", "1"), facts: asking("7", "11", "org.example.1"), want: allow("false")},
			{settings: settings("op=", "supports", "text=", "11"), facts: asking(), want: allow("false")},
			{settings: settings("op=", "supports", "text=", "11"), want: allow("false")},
		}},
		one("origin_server", "", settings("op=", "origin_server"), allow("peer.example")),
	}
	ports := row{name: "strip_port"}
	for name, want := range map[string]string{
		"example.org": "example.org", "example.org:8448": "example.org", "[::1]:8448": "[::1]", "[::1]": "[::1]",
		"192.0.2.1:1": "192.0.2.1", "192.0.2.1": "192.0.2.1", "12345": "12345", "a:": "a", ":8448": "",
	} {
		ports.steps = append(ports.steps, step{settings: settings("op=", "strip_port", "text=", name), want: allow(want)})
	}
	list = append(list, ports)
	noMake := "supported_versions is a list there"
	for _, tt := range []struct {
		field  string
		facts  *abi.Facts
		want   answer
		noRego string
	}{
		{"room_id", nil, echoed("!room:here.example"), ""},
		{"room_version", nil, echoed("11"), ""},
		{"user_id", nil, echoed("@alice:peer.example:8448"), ""},
		{"user_localpart", nil, echoed("alice"), ""},
		{"user_server", nil, echoed("peer.example"), ""},
		{"origin", nil, echoed("peer.example:8448"), ""},
		{"supported_versions", nil, absent, noMake},
		{"supported_versions", asking("7", "11"), echoed("7\n11"), noMake},
		{"supported_versions", asking(), echoed(""), noMake},
		{"reason", nil, echoed("Grüße, “let me in” \\ 🚪"), ""},
		{"reason", asking(), absent, ""},
		{"displayname", nil, echoed(""), ""},
		{"avatar_url", nil, absent, ""},
		{"event", nil, echoed(`{"type":"m.room.member"}`), "the event is not in the input"},
		{"event", asking(), absent, "the event is not in the input"},
		{"request_id", nil, echoed("req-1"), ""},
		{"now_ms", nil, echoed("1700000000123"), ""},
		{"content_hash_ok", nil, echoed("true"), ""},
		{"content_hash_ok", asking(), absent, ""},
		{"room_known", nil, echoed("true"), ""},
		{"room_join_rule", nil, echoed("knock"), ""},
		{"room_name", nil, absent, ""},
		{"room_topic", nil, echoed("All & sundry"), ""},
		{"room_encrypted", nil, echoed("false"), ""},
		{"room_members", nil, echoed("1099511627776"), ""},
		{"user_membership", nil, absent, ""},
		{"room_age_ms", nil, echoed("7"), ""},
	} {
		list = append(list, row{name: "echo " + tt.field, noRego: tt.noRego,
			steps: []step{{settings: settings("op=", "echo", "field=", tt.field), facts: tt.facts, want: tt.want}}})
	}
	return list
}

func verdictRows() []row {
	say := func(pairs ...string) string { return settings(append([]string{"op=", "verdict"}, pairs...)...) }
	words := "Say “why”, \\ please"
	full := strings.Repeat("é", 300) // 600 bytes
	return []row{
		one("allow", "", say("kind=", "allow"), answer{Verdict: abi.Allow}),
		one("pass", "", say("kind=", "pass"), answer{Verdict: abi.Pass}),
		one("deny without words", "", say("kind=", "deny"), answer{Verdict: abi.Deny}),
		one("incompatible without words", "", say("kind=", "incompatible"), answer{Verdict: abi.Incompatible}),
		one("error without words", "", say("kind=", "error"), answer{Verdict: abi.Error, Fault: plugins.FaultError}),
		one("deny", "", say("kind=", "deny", "message=", words), answer{Verdict: abi.Deny, Message: words}),
		one("deny with all", "", say("kind=", "deny", "message=", words, "note=", "two\nlines", "code=", "short"),
			answer{Verdict: abi.Deny, Message: words, Note: "two\nlines", Code: "short"}),
		one("incompatible", "", say("kind=", "incompatible", "message=", "too old", "code=", "old"),
			answer{Verdict: abi.Incompatible, Message: "too old", Code: "old"}),
		one("error", "", say("kind=", "error", "message=", "no list", "code=", "list"),
			answer{Verdict: abi.Error, Fault: plugins.FaultError, FaultText: "no list"}),
		one("detail", "", say("kind=", "allow", "detail", `[{"key":"a \"b\"","text":"c\\d"},{"key":"n","number":-5},{"key":"t","truth":true},{"key":"f","truth":false}]`),
			answer{Verdict: abi.Allow, Detail: `{"a \"b\"":"c\\d","f":false,"n":-5,"t":true}`}),
		one("a message that is cut at a character", noBounds, say("kind=", "deny", "message=", "x"+full), answer{Verdict: abi.Deny, Message: "x" + full[:510]}),
		one("a note that is cut", noBounds, say("kind=", "allow", "note=", full+full), answer{Verdict: abi.Allow, Note: (full + full)[:1024]}),
		one("a code that is cut", noBounds, say("kind=", "allow", "code=", full), answer{Verdict: abi.Allow, Code: full[:64]}),
		one("detail that has no room", noBounds, say("kind=", "allow", "detail",
			`[{"key":"a","number":1},{"key":"b","text":`+quoted(strings.Repeat("x", 4100))+`},{"key":"c","number":2}]`),
			answer{Verdict: abi.Allow, Detail: `{"a":1,"c":2}`}),
		one("all at their longest, and escaped", noBounds, say("kind=", "deny", "message=", strings.Repeat("\x01", 600), "note=", strings.Repeat("\x02", 1100),
			"code=", strings.Repeat("\x03", 70), "detail", `[{"key":"k","text":`+quoted(strings.Repeat("x", 4000))+`}]`),
			answer{Verdict: abi.Deny, Note: strings.Repeat("\x02", 1024), Code: strings.Repeat("\x03", 64), Detail: `{"k":"` + strings.Repeat("x", 4000) + `"}`}),
		one("an end at will", noTrap, settings("op=", "panic"), answer{Verdict: abi.Error, Fault: plugins.FaultTrap}),
	}
}

func hostRows() []row {
	log := func(level, text string) string { return settings("op=", "log", "kind=", level, "text=", text) }
	glob := func(pattern, text string) string { return settings("op=", "glob", "key=", pattern, "text=", text) }
	acl := func(acl, server string) string { return settings("op=", "acl", "text=", acl, "server=", server) }
	list := func(list, key string) string { return settings("op=", "list", "value=", list, "key=", key) }
	get := settings("op=", "kv_get", "key=", "k")
	incr := func(key string, delta int) string {
		return settings("op=", "kv_incr", "key=", key, "number", fmt.Sprint(delta))
	}
	later := knock()
	later.NowMS += 5000
	const blocks = `{"allow":["*"],"deny":["*.evil.example"]}`
	return []row{
		{name: "log", noRego: noHost, steps: []step{
			{settings: log("debug", "one"), want: answer{Verdict: abi.Allow, Log: `level=DEBUG msg="guest: one" policy=probe request=req-1`}},
			{settings: log("info", "two"), want: answer{Verdict: abi.Allow, Log: "level=INFO"}},
			{settings: log("warn", "three"), want: answer{Verdict: abi.Allow, Log: "level=WARN"}},
			{settings: log("error", "four é"), want: answer{Verdict: abi.Allow, Log: "four é"}},
		}},
		one("now", "", settings("op=", "now"), allow("1700000000123")),
		{name: "glob", noRego: noHost, steps: []step{
			{settings: glob("*.evil.example", "a.EVIL.example"), want: allow("true")},
			{settings: glob("*.evil.example", "evil.example"), want: allow("false")},
			{settings: glob("?é*", "Xé"), want: allow("true")},
			{settings: glob("", ""), want: allow("true")},
		}},
		{name: "acl", noRego: noHost, steps: []step{
			{settings: acl(blocks, "peer.example:8448"), want: allow("true")},
			{settings: acl(blocks, "a.evil.example"), want: allow("false")},
			{settings: acl("", "peer.example"), want: allow("true")},
			{settings: acl("[]", "peer.example"), want: allow("false")},
		}},
		{name: "kv: a value", noRego: noHost, steps: []step{
			{settings: get, want: answer{Verdict: abi.Allow, Code: "absent"}},
			{settings: settings("op=", "kv_put", "key=", "k", "value=", "v é", "ttl", "5000"), want: allow("true")},
			{settings: get, want: allow("v é")},
			{settings: get, facts: later, want: answer{Verdict: abi.Allow, Code: "absent"}},
			{settings: settings("op=", "kv_put", "key=", "k", "value=", "v"), want: allow("true")},
			{settings: get, facts: later, want: allow("v")},
		}},
		{name: "kv: a quota", noRego: noHost, steps: []step{
			{settings: settings("op=", "kv_put", "key=", "k", "value=", strings.Repeat("x", storeRoom+1)), want: allow("false")},
			{settings: settings("op=", "kv_put", "key=", strings.Repeat("x", abi.MaxKVKey+1), "value=", "v"), want: allow("false")},
			{settings: settings("op=", "kv_put", "value=", "v"), want: allow("false")},
			{settings: get, want: answer{Verdict: abi.Allow, Code: "absent"}},
		}},
		{name: "kv: a counter", noRego: noHost, steps: []step{
			{settings: incr("k", 5), want: allow("5")},
			{settings: incr("k", -2), want: allow("3")},
			{settings: incr("k", -9), want: allow("0")},
			{settings: settings("op=", "kv_put", "key=", "k", "value=", "no"), want: allow("true")},
			{settings: incr("k", 1), want: answer{Verdict: abi.Allow, Code: "refused"}},
			{settings: incr("", 1), want: answer{Verdict: abi.Allow, Code: "refused"}},
		}},
		{name: "lists", noRego: noHost, steps: []step{
			{settings: list("bad", "bad.example"), want: allow("holds")},
			{settings: list("bad", "good.example"), want: allow("lacks")},
			{settings: list("none", "bad.example"), want: allow("unknown")},
		}},
	}
}

func settingsRows() []row {
	const all = `{"op":"settings","truth":true,"number":-5,"text":"é\n\"x\" \ud83d\udeaa","choice":"b","items":["a","b"],"inner":{"number":2},` +
		`"rules":[{"name":"r","allow":["x","y"]},{"name":"s","allow":"z"},{}]}`
	const unknown = "unknown setting; known here: "
	list := []row{
		one("settings: none", "", settings("op=", "settings"), allow("truth=false number=0 text= choice=a items= inner=1 rules=")),
		one("settings: all", "", all, allow("truth=true number=-5 text=é\n\"x\" 🚪 choice=b items=a,b inner=2 rules=r(x,y);s(z);()")),
		refused("another kind", `{"op":5,"truth":"yes","number":"5","text":null,"choice":false,"items":{},"inner":[],"rules":"x"}`,
			"choice: must be a text, not a truth value", "inner: must be an object, not a list",
			"items: must be a text or a list of texts, not an object", "number: must be a whole number, not a text",
			"op: must be a text, not a number", "rules: must be a list of objects, not a text",
			"text: must be a text, not null", "truth: must be true or false, not a text"),
		refused("kinds in lists", `{"items":["a",5,"b",[]],"rules":[{},5,{"allow":["x",null]}]}`,
			"items[1]: must be a text, not a number", "items[3]: must be a text, not a list",
			"rules[1]: must be an object, not a number", "rules[2].allow[1]: must be a text, not null"),
		refused("a number too large", `{"number":1000001}`, "number: must be from -1000000 to 1000000, not 1000001"),
		refused("a number too small", `{"inner":{"number":-1}}`, "inner.number: must be from 0 to 10, not -1"),
		refused("no choice", `{"choice":"c\"d"}`, `choice: must be one of a, b, not "c\"d"`),
		refused("the policy's own", `{"text":"refused","items":["a","refused"]}`, "items[1]: must not be refused", "text: must not be refused"),
		refused("an unknown key", `{"inner":{"nmber":1}}`, "inner.nmber: "+unknown+"number"),
		refused("an unknown key in a list", `{"rules":[{},{"nme":"x"}]}`, "rules[1].nme: "+unknown+"name, allow"),
		refused("one that is not there has no unknown keys", `{"inner":7}`, "inner: must be an object, not a number"),
		refused("not objects", `{"rules":[1,2]}`, "rules[0]: must be an object, not a number", "rules[1]: must be an object, not a number"),
		refused("more faults than a result holds", settings("items", "["+strings.Repeat("1,", 999)+"1]"), "1000 faults"),
		one("settings: as large as they may be", noMessages, settings("op=", "phase", "note=", strings.Repeat("é", 65_000)), allow("send_knock")),
		one("settings: many texts", "", settings("op=", "phase", "items", "["+strings.Repeat(`"text",`, 99)+`"x"]`), allow("send_knock")),
	}
	// Random settings of the right shape give what was put in.
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10 {
		var text strings.Builder
		for range r.IntN(40) {
			text.WriteRune([]rune("aé\n\"\\/\x00\x1f\u2028🚪z ")[r.IntN(12)])
		}
		if got := text.String(); got != "" {
			list = append(list, one(fmt.Sprintf("settings: text %d", i), "", settings("op=", "verdict", "kind=", "allow", "note=", got), answer{Verdict: abi.Allow, Note: got}))
		}
	}
	return list
}
