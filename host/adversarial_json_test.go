package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// jsonCases are 64 to 70: JSON that two parsers read as two things.
func jsonCases(s *scene) []adversarial {
	const bad, none = "M_BAD_JSON", "M_NOT_JSON"
	before := func(what, insert string) asked {
		return s.bytes(func(event string) string { return replaceOnce(event, what, insert+what) })
	}
	inContent := func(members string) asked { return before(`"membership"`, members) }
	// What is signed is what no server signs: our own refuses to.
	alias := func(key string, value any) asked { return s.altered(func(e map[string]any) { e[key] = value }) }
	contentAlias := func(key string) asked { return s.send(func(e map[string]any) { content(e)[key] = "join" }) }
	odd := "{\"\\u0000\":0,\"\\u001f\":1,\"\\\"\":2,\"\\\\\":3,\"membership\":\"knock\",\"\u007f\":4,\"\u2028\":5,\"\ue000\":6,\"\ufffd\":7,\"\U0001F600\":8}"
	return []adversarial{
		{"64 sender twice", before(`"sender"`, `"sender":"@b:b.example",`), 400, bad, nothing},
		{"64 sender twice, once escaped", before(`"sender"`, `"\u0073ender":"@b:b.example",`), 400, bad, nothing},
		{"64 membership twice", inContent(`"membership":"knock",`), 400, bad, nothing},
		{"64 a key twice, deep inside", inContent(`"a":[{"b":{"c":1,"c":1}}],`), 400, bad, nothing},
		{"65 SENDER beside sender", alias("SENDER", "@b:b.example"), 400, bad, nothing},
		{"65 a long s in ſender", alias("\u017fender", "@b:b.example"), 400, bad, nothing},
		{"65 a Kelvin sign in state_\u212aey", alias("state_\u212aey", "@b:b.example"), 400, bad, nothing},
		{"65 Membership beside membership", contentAlias("Membership"), 400, bad, nothing},
		{"65 event_id, which parsers hash or not", alias("event_id", "$a"), 400, bad, nothing},
		{"65 age_ts, which parsers hash or not", alias("age_ts", 1), 400, bad, nothing},
		{"66 1E2", inContent(`"a":1E2,`), 400, bad, nothing},
		{"66 1.0", inContent(`"a":1.0,`), 400, bad, nothing},
		{"66 0e1", inContent(`"a":0e1,`), 400, bad, nothing},
		{"66 -0", inContent(`"a":-0,`), 400, bad, nothing},
		{"66 -0.0", inContent(`"a":-0.0,`), 400, bad, nothing},
		{"66 9007199254740992", inContent(`"a":9007199254740992,`), 400, bad, nothing},
		{"66 -9007199254740992", inContent(`"a":-9007199254740992,`), 400, bad, nothing},
		{"66 a number of a thousand digits", inContent(`"a":` + strings.Repeat("9", 1000) + `,`), 400, bad, nothing},
		{"66 NaN", inContent(`"a":NaN,`), 400, none, nothing},
		{"66 01", inContent(`"a":01,`), 400, none, nothing},
		{"66 9007199254740991", s.send(func(e map[string]any) { content(e)["a"] = json.Number("9007199254740991") }), 200, "", knocked},
		{"67 lone surrogate", inContent(`"a":"\ud800",`), 400, bad, nothing},
		{"67 lone surrogate, the low one", inContent(`"a":"\udc00x",`), 400, bad, nothing},
		{"67 lone surrogate in a key", inContent(`"\ud83d":1,`), 400, bad, nothing},
		{"67 byte order mark", s.bytes(func(event string) string { return "\ufeff" + event }), 400, none, nothing},
		{"67 invalid UTF-8", inContent("\"a\":\"\xff\","), 400, none, nothing},
		{"67 surrogates as UTF-8", inContent("\"a\":\"\xed\xa0\xbd\xed\xb8\x80\","), 400, none, nothing},
		{"67 overlong UTF-8", inContent("\"a\":\"\xc0\xaf\","), 400, none, nothing},
		{"67 data behind the object", s.bytes(func(event string) string { return event + "{}" }), 400, bad, nothing},
		{"67 UTF-16", s.bytes(func(event string) string { return "\xff\xfe" + strings.Join(strings.Split(event, ""), "\x00") + "\x00" }), 400, none, nothing},
		{"68 keys that need escapes, astral beside BMP", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), func(e map[string]any) {
				var c map[string]any
				if err := json.Unmarshal([]byte(odd), &c); err != nil {
					t.Fatal(err)
				}
				e["content"] = c
			})
			// The same in an order, with escapes and white space of its own.
			var sent bytes.Buffer
			if err := json.Indent(&sent, edited(t, event, func(map[string]any) {}), "\t", "\n  "); err != nil {
				t.Fatal(err)
			}
			e := s.put(s.room, id, sent.Bytes())
			e.check = func(t *testing.T, _ *peer.Exchange) {
				if stored := s.stored(t, id); !strings.Contains(stored, `"content":`+odd+`,`) {
					t.Errorf("stored: %q, want the content %q", stored, odd)
				}
			}
			return e
		}, 200, "", knocked},
		{"69 arrays in arrays", inContent(`"a":` + strings.Repeat("[", 60_000) + strings.Repeat("]", 60_000) + `,`), 400, bad, nothing},
		{"69 objects in objects", inContent(`"a":` + strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat("}", 20_000) + `,`), 400, bad, nothing},
		{"69 arrays that do not end", s.bytes(func(string) string { return `{"a":` + strings.Repeat("[", 120_000) }), 400, bad, nothing},
		{"69 as many values as fit", inContent(`"a":[` + strings.Repeat("0,", 60_000) + `0],`), 400, bad, nothing},
		{"70 65,536 bytes", s.sized(65_536), 200, "", knocked},
		{"70 65,537 bytes", s.sized(65_537), 413, "M_TOO_LARGE", nothing},
		{"70 65,536 bytes that escapes make 115,536", func(t *testing.T) exchange {
			room, id, event := s.eventOf(t, 65_536)
			e := exchange{w: s.w}
			body := bytes.Replace(event, []byte("aaaaaaaaaa"), []byte(strings.Repeat(`\u0061`, 10)), 1_000)
			e.do = func(t *testing.T) *peer.Exchange {
				return s.w.do(t, s.p, http.MethodPut, peer.SendTarget(room, id), body)
			}
			return e
		}, 200, "", knocked},
		{"70 a body over 128 KiB", s.bytes(func(event string) string { return event + strings.Repeat(" ", 128<<10) }), 413, "M_TOO_LARGE", nothing},
	}
}

// sized sends an event of that many bytes as canonical JSON.
func (s *scene) sized(size int) asked {
	return func(t *testing.T) exchange { return s.put(s.eventOf(t, size)) }
}

func (s *scene) eventOf(t *testing.T, size int) (matrix.RoomID, matrix.EventID, []byte) {
	t.Helper()
	name := s.user()
	reason := ""
	for {
		event, id := s.w.signed(t, s.p, s.room, name, func(e map[string]any) {
			e["origin_server_ts"] = 1_700_000_000_000
			content(e)["reason"] = reason
		})
		if len(event) == size {
			return s.room, id, event
		}
		reason = strings.Repeat("a", len(reason)+size-len(event))
	}
}
