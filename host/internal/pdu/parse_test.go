package pdu_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

const (
	idA = "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"
	idB = "$acR1l0raoZnm60CBwAVgqbZqoO_mYU81xysh1u7XcJk"
	sum = "ojwBH1s7So7NUsEa/ITe/Au4xTjbCj9SrZ+sek7Kb38"
)

// knock is an event whose hash and signature have the right shape.
const knock = `{"auth_events":["` + idA + `"],"content":{"membership":"knock"},"depth":7,"hashes":{"sha256":"` + sum +
	`"},"origin_server_ts":1000,"prev_events":["` + idB + `"],"room_id":"!r:resident","sender":"@a:domain","signatures":{"domain":{"ed25519:1":"` +
	`CzKjmIkYaqVYLARjPiNmVtwfp/PDUs/wuYUsI+uvqrlNJScntwTxwohuM/yTBsFt93lify4P+n9bu2UkNSEOBw"}},"state_key":"@a:domain","type":"m.room.member"}`

// with returns knock with one of its members, as it stands there, replaced.
func with(tb testing.TB, old, new string) string {
	tb.Helper()
	if strings.Count(knock, old) != 1 {
		tb.Fatalf("%s is not once in the event", old)
	}
	return strings.Replace(knock, old, new, 1)
}

// code returns the status and errcode of err; "ok" for none.
func code(err error) string {
	var m *matrix.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &m):
		return fmt.Sprintf("%d %s", m.Status, m.Code)
	}
	return fmt.Sprintf("%T", err)
}

const (
	badJSON  = "400 M_BAD_JSON"
	badParam = "400 M_INVALID_PARAM"
	tooLarge = "413 M_TOO_LARGE"
)

func TestParseFormat(t *testing.T) {
	ids := func(n int) string {
		const last = "AEIMQUYcgkosw048"
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"$%s%c%c"`, strings.Repeat("A", 41), 'a'+i/16, last[i%16])
		}
		return "[" + strings.TrimPrefix(b.String(), ",") + "]"
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	type c struct{ name, old, new, want string }
	cases := []c{
		{"as it is", `"depth":7`, `"depth":7`, "ok"},
		{"unsigned", `{"auth`, `{"unsigned":{"age":3},"auth`, "ok"},
		{"unsigned of another type", `{"auth`, `{"unsigned":[],"auth`, "ok"},
		{"unknown key", `{"auth`, `{"org.example.x":[{}],"auth`, "ok"},
		{"origin", `{"auth`, `{"origin":"resident","auth`, "ok"},
		{"origin of another type", `{"auth`, `{"origin":1,"auth`, badJSON},
		{"origin null", `{"auth`, `{"origin":null,"auth`, badJSON},

		{"no auth_events", `"auth_events":["` + idA + `"],`, ``, badJSON},
		{"auth_events null", `["` + idA + `"]`, `null`, badJSON},
		{"auth_events of numbers", `["` + idA + `"]`, `[1]`, badJSON},
		{"auth_events in version 1's form", `["` + idA + `"]`, `[["` + idA + `",{"sha256":"x"}]]`, badJSON},
		{"auth_events empty", `["` + idA + `"]`, `[]`, "ok"},
		{"10 auth_events", `["` + idA + `"]`, ids(10), "ok"},
		{"11 auth_events", `["` + idA + `"]`, ids(11), badJSON},
		{"auth_events of no event ID", `["` + idA + `"]`, `["$x:domain"]`, badParam},
		{"no prev_events", `"prev_events":["` + idB + `"],`, ``, badJSON},
		{"prev_events empty", `["` + idB + `"]`, `[]`, "ok"},
		{"20 prev_events", `["` + idB + `"]`, ids(20), "ok"},
		{"21 prev_events", `["` + idB + `"]`, ids(21), badJSON},
		{"prev_events twice", `["` + idB + `"]`, `["` + idB + `","` + idB + `"]`, badJSON},
		{"prev_events of no event ID", `["` + idB + `"]`, `[""]`, badParam},

		{"no content", `"content":{"membership":"knock"},`, ``, badJSON},
		{"content an array", `{"membership":"knock"}`, `[]`, badJSON},
		{"content null", `{"membership":"knock"}`, `null`, badJSON},
		{"content empty", `{"membership":"knock"}`, `{}`, "ok"},
		{"membership of another type", `"knock"`, `["knock"]`, "ok"},
		{"avatar_url null", `"membership"`, `"avatar_url":null,"membership"`, "ok"},

		{"no depth", `"depth":7,`, ``, badJSON},
		{"depth -1", `"depth":7`, `"depth":-1`, badJSON},
		{"depth 0", `"depth":7`, `"depth":0`, "ok"},
		{"depth largest", `"depth":7`, `"depth":9007199254740991`, "ok"},
		{"depth 2^53", `"depth":7`, `"depth":9007199254740992`, badJSON},
		{"depth a fraction", `"depth":7`, `"depth":7.0`, badJSON},
		{"depth an exponent", `"depth":7`, `"depth":1E2`, badJSON},
		{"depth -0", `"depth":7`, `"depth":-0`, badJSON},
		{"depth a boolean", `"depth":7`, `"depth":true`, badJSON},
		{"depth a string", `"depth":7`, `"depth":"7"`, badJSON},
		{"no origin_server_ts", `"origin_server_ts":1000,`, ``, badJSON},
		{"origin_server_ts negative", `:1000`, `:-1`, badJSON},
		{"origin_server_ts a string", `:1000`, `:"1000"`, badJSON},
		{"origin_server_ts 2^53", `:1000`, `:9007199254740992`, badJSON},

		{"no hashes", `"hashes":{"sha256":"` + sum + `"},`, ``, badParam},
		{"hashes an array", `{"sha256":"` + sum + `"}`, `[]`, badParam},
		{"hashes null", `{"sha256":"` + sum + `"}`, `null`, badParam},
		{"no sha256", `"sha256"`, `"sha512"`, badParam},
		{"sha256 a number", `"` + sum + `"`, `7`, badParam},
		{"sha256 short", sum, sum[1:], badParam},
		{"sha256 padded", sum, sum + "=", "ok"},
		{"sha256 wrongly padded", sum, sum + "==", badParam},
		{"sha256 URL-safe", sum, strings.NewReplacer("+", "-", "/", "_").Replace(sum), badParam},
		{"sha256 with bits left over", sum, sum[:42] + "9", badParam},
		{"sha256 with a line break", sum, sum[:41] + `\n` + "8", badParam},
		{"another hash too", `"sha256"`, `"md5":7,"sha256"`, "ok"},

		{"no signatures", `"signatures"`, `"x"`, badJSON},
		{"signatures an array", `{"domain":{`, `[],"x":{"domain":{`, badJSON},
		{"signatures of a string", `{"domain":{`, `{"b":"","domain":{`, badJSON},
		{"signature a number", `{"ed25519:1":`, `{"ed25519:0":7,"ed25519:1":`, badJSON},
		{"signature of another server", `{"domain":{`, `{"b":{"ed25519:x":"AA"},"domain":{`, "ok"},
		{"signature of another algorithm", `{"ed25519:1":`, `{"rsa:0":"","ed25519:1":`, "ok"},

		{"no room_id", `"room_id":"!r:resident",`, ``, badJSON},
		{"room_id null", `"!r:resident"`, `null`, badJSON},
		{"room_id no room ID", `"!r:resident"`, `"#r:resident"`, badParam},
		{"room_id of version 12", `"!r:resident"`, `"!` + idA[1:] + `"`, badParam},
		{"room_id of 255 bytes", `!r:resident`, "!" + long(245) + ":resident", "ok"},
		{"room_id of 256 bytes", `!r:resident`, "!" + long(246) + ":resident", tooLarge},
		{"no sender", `"sender":"@a:domain",`, ``, badJSON},
		{"sender a number", `"sender":"@a:domain"`, `"sender":7`, badJSON},
		{"sender no user ID", `"sender":"@a:domain"`, `"sender":"a"`, badParam},
		{"sender with NUL", `"sender":"@a:domain"`, `"sender":"@\u0000:domain"`, badParam},
		{"sender of 256 bytes", `"sender":"@a:domain"`, `"sender":"@` + long(248) + `:domain"`, tooLarge},
		{"no state_key", `"state_key":"@a:domain",`, ``, "ok"},
		{"state_key null", `"state_key":"@a:domain"`, `"state_key":null`, badJSON},
		{"state_key empty", `"state_key":"@a:domain"`, `"state_key":""`, "ok"},
		{"state_key of 256 bytes", `"state_key":"@a:domain"`, `"state_key":"` + long(256) + `"`, tooLarge},
		{"state_key of 255 bytes", `"state_key":"@a:domain"`, `"state_key":"` + long(255) + `"`, "ok"},
		{"no type", `,"type":"m.room.member"`, ``, badJSON},
		{"type a number", `"m.room.member"`, `7`, badJSON},
		{"type of 256 bytes", `"m.room.member"`, `"` + long(256) + `"`, tooLarge},
		{"type of 86 characters, 258 bytes", `"m.room.member"`, `"` + strings.Repeat("日", 86) + `"`, tooLarge},

		{"event_id", `{"auth`, `{"event_id":"` + idA + `","auth`, badJSON},
		{"outlier", `{"auth`, `{"outlier":false,"auth`, badJSON},
		{"destinations", `{"auth`, `{"destinations":[],"auth`, badJSON},
		{"age_ts", `{"auth`, `{"age_ts":1,"auth`, badJSON},
		{"SENDER", `{"auth`, `{"SENDER":"@b:domain","auth`, badJSON},
		{"sender with a long s", `{"auth`, `{"\u017fender":"@b:domain","auth`, badJSON},
		{"state_key with a Kelvin sign", `{"auth`, `{"state_\u212aey":"@b:domain","auth`, badJSON},
		{"Event_ID", `{"auth`, `{"Event_ID":"","auth`, badJSON},
		{"another letter that looks alike", `{"auth`, `{"s\u0435nder":"","auth`, "ok"},
		{"Membership in content", `"membership"`, `"Membership":"join","membership"`, badJSON},
		{"Reason in content", `"membership"`, `"Reason":"x","membership"`, badJSON},
		{"Sender in content", `"membership"`, `"Sender":"x","membership"`, "ok"},
		{"sender twice", `{"auth`, `{"sender":"@b:domain","auth`, badJSON},
		{"membership twice", `"membership"`, `"membership":"join","membership"`, badJSON},
		{"lone surrogate", `"membership"`, `"reason":"\ud800","membership"`, badJSON},
		{"nesting bomb", `"membership"`, `"x":` + strings.Repeat("[", 120) + strings.Repeat("]", 120) + `,"membership"`, badJSON},
		{"no JSON", `{"auth`, `"auth`, badJSON},
		{"invalid UTF-8", `"membership"`, "\"\xff\",\"membership\"", "400 M_NOT_JSON"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			src := with(t, c.old, c.new)
			e, err := pdu.ParseStored([]byte(src), version(t, "10"))
			if got := code(err); got != c.want {
				t.Errorf("%s\n got %s (%v)\nwant %s", src, got, err, c.want)
			}
			if err != nil && e != nil {
				t.Error("an event came with the error")
			}
		})
	}
	for _, src := range []string{`[]`, `null`, `"x"`, `7`, `{}`} {
		if _, err := pdu.ParseStored([]byte(src), version(t, "10")); code(err) != badJSON {
			t.Errorf("%s: %v, want %s", src, err, badJSON)
		}
	}
	if _, err := pdu.Parse(new(canonicaljson.Doc), version(t, "10")); code(err) != badJSON {
		t.Errorf("a document that holds nothing: %v, want %s", err, badJSON)
	}
}

// The limit is on the canonical form, with signatures and without unsigned.
func TestParseSize(t *testing.T) {
	of := func(size int) string {
		return with(t, `"membership"`, `"reason":"`+strings.Repeat("x", size-len(knock)-len(`"reason":"",`))+`","membership"`)
	}
	if src := of(pdu.MaxSize); len(src) != 65536 {
		t.Fatalf("the event is %d bytes", len(src))
	}
	cases := []struct{ name, src, want string }{
		{"65,536 bytes", of(65536), "ok"},
		{"65,537 bytes", of(65537), tooLarge},
		{"65,536 bytes and white space", strings.Repeat(" ", 1000) + of(65536), "ok"},
		{"65,536 bytes in escapes", strings.ReplaceAll(of(65536), "xxxxxxxx", `xxxxxxx\u0078`), "ok"},
		{"65,536 bytes and unsigned", of(65536)[:65535] + `,"unsigned":{"age":3}}`, "ok"},
		{"more than the parser takes", strings.Repeat(" ", 65536) + of(65537), tooLarge},
	}
	for _, c := range cases {
		if _, err := pdu.ParseStored([]byte(c.src), version(t, "11")); code(err) != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestParseVersion12(t *testing.T) {
	const create = `{"auth_events":[],"content":{"room_version":"12"},"depth":1,"origin_server_ts":1,"prev_events":[],"sender":"@a:domain","state_key":"","type":"m.room.create"}`
	room := event(t, "12", create).RoomID()
	if len(room) != 44 {
		t.Errorf("room ID %s, want 44 bytes", room)
	}
	signed := string(sign(t, "12", create))
	knock := with(t, "!r:resident", string(room))
	cases := []struct{ name, v, src, want string }{
		{"create", "12", signed, "ok"},
		{"create with a room_id", "12", strings.Replace(signed, `"depth"`, `"room_id":"`+string(room)+`","depth"`, 1), badJSON},
		{"create with another state key", "12", strings.Replace(signed, `"state_key":""`, `"state_key":"x"`, 1), badJSON},
		{"create that is no state", "12", strings.Replace(signed, `"state_key":"",`, ``, 1), badJSON},
		{"create without a room_id before 12", "11", signed, badJSON},
		{"knock", "12", knock, "ok"},
		{"knock without room_id", "12", strings.Replace(knock, `"room_id":"`+string(room)+`",`, ``, 1), badJSON},
		{"knock on a room with a domain", "12", strings.Replace(knock, string(room), "!r:resident", 1), badParam},
		{"knock on a hash and a domain", "12", strings.Replace(knock, string(room), string(room)+":resident", 1), badParam},
		{"knock that lists the create event", "12", strings.Replace(knock, idA, "$"+string(room[1:]), 1), badJSON},
	}
	for _, c := range cases {
		if _, err := pdu.ParseStored([]byte(c.src), version(t, c.v)); code(err) != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestAccessors(t *testing.T) {
	src := `{"unsigned":{"age":3},` + with(t, `"membership"`, `"reason":"a\nb","membership"`)[1:]
	doc := parseJSON(t, src)
	e, err := pdu.Parse(doc, version(t, "10"))
	if err != nil {
		t.Fatal(err)
	}
	// The event must not change with the document it came from.
	if err := doc.Parse([]byte(`{"` + strings.Repeat("z", 2*len(src)) + `":1}`)); err != nil {
		t.Fatal(err)
	}
	stateKey, isState := e.StateKey()
	got := fmt.Sprint(e.Version().ID, e.Type(), stateKey, isState, e.Sender(), e.RoomID(), e.Membership(), e.OriginServerTS(), e.Depth(), e.PrevEvents(), e.AuthEvents(), e.ContentHashOK())
	want := fmt.Sprint("10", "m.room.member", "@a:domain", true, "@a:domain", "!r:resident", "knock", 1000, 7, []string{idB}, []string{idA}, false)
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if reason, _ := e.Content().Get("reason").Text(); reason != "a\nb" {
		t.Errorf("reason %q", reason)
	}
	if want := with(t, `"knock"`, `"knock","reason":"a\nb"`); string(e.JSON()) != want {
		t.Errorf("\n got %s\nwant %s", e.JSON(), want)
	}
	if r := e.Redacted(); r.Content().Get("reason").Exists() || r.ContentHashOK() || string(r.JSON()) != knock {
		t.Errorf("redacted: %s", r.JSON())
	}
}

func TestSignatures(t *testing.T) {
	const good = "CzKjmIkYaqVYLARjPiNmVtwfp/PDUs/wuYUsI+uvqrlNJScntwTxwohuM/yTBsFt93lify4P+n9bu2UkNSEOBw"
	src := with(t, `{"ed25519:1":"`+good+`"}`, `{"ed25519:padded":"`+good+`==","ed25519:1":"`+good+`","ed25519:short":"AA","ed25519:empty":"",`+
		`"ed25519:urlsafe":"`+strings.ReplaceAll(good, "/", "_")+`","ed25519:":"`+good+`","ed25519:a-b":"`+good+`","rsa:1":"`+good+`"},"other":{"ed25519:1":"AA"}`)
	e, err := pdu.ParseStored([]byte(src), version(t, "10"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for id, sig := range e.Signatures("domain") {
		got = append(got, fmt.Sprint(id, " ", len(sig)))
	}
	want := []string{"ed25519:1 64", "ed25519:empty 0", "ed25519:padded 64", "ed25519:short 0", "ed25519:urlsafe 0"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("signatures %q, want %q", got, want)
	}
	for range e.Signatures("elsewhere") {
		t.Error("a signature by a server that did not sign")
	}
	if !strings.Contains(string(e.JSON()), `"other":{"ed25519:1":"AA"}`) {
		t.Error("the signature of another server was dropped")
	}
}
