package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// eventCases are 51 to 80: the signed event.
func eventCases(s *scene) []adversarial {
	noHash := "$" + strings.Repeat("A", 43)
	set := func(key string, value any) asked { return s.send(func(e map[string]any) { e[key] = value }) }
	drop := func(key string) asked { return s.send(func(e map[string]any) { delete(e, key) }) }
	inContent := func(key string, value any) asked { return s.send(func(e map[string]any) { content(e)[key] = value }) }
	const bad, invalid = "M_BAD_JSON", "M_INVALID_PARAM"
	cases := []adversarial{
		{"51 path of another event ID", func(t *testing.T) exchange {
			event, _ := s.w.signed(t, s.p, s.room, s.user(), nil)
			return s.put(s.room, matrix.EventID(noHash), event)
		}, 400, invalid, nothing},
		{"52 room_id of another room", func(t *testing.T) exchange {
			other := s.w.room("11", "knock")
			return s.sendIn(t, s.room, func(e map[string]any) { e["room_id"] = other })
		}, 400, invalid, nothing},
		{"52 knock on another room in the path", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
			return s.put(s.w.room("11", "knock"), id, event)
		}, 400, invalid, nothing},
		{"53 room_id absent", drop("room_id"), 400, bad, nothing},
		{"53 room_id null", set("room_id", nil), 400, bad, nothing},
		{"54 state_key missing", drop("state_key"), 400, invalid, nothing},
		{"54 state_key empty", set("state_key", ""), 400, invalid, nothing},
		{"54 state_key null", set("state_key", nil), 400, bad, nothing},
		{"54 state_key of another user", s.send(func(e map[string]any) { e["state_key"] = s.p.User("other") }), 400, invalid, nothing},
		{"54 state_key a number", set("state_key", 1), 400, bad, nothing},
		{"55 membership \"Knock\"", inContent("membership", "Knock"), 400, invalid, nothing},
		{"55 membership [\"knock\"]", inContent("membership", []any{"knock"}), 400, invalid, nothing},
		{"55 membership \"knock\\u0000\"", inContent("membership", "knock\x00"), 400, invalid, nothing},
		{"55 membership missing", s.send(func(e map[string]any) { delete(content(e), "membership") }), 400, invalid, nothing},
		{"55 membership at the top", s.send(func(e map[string]any) { e["content"], e["membership"] = map[string]any{}, "knock" }), 400, invalid, nothing},
		{"56 type with a space behind", set("type", "m.room.member "), 400, invalid, nothing},
		{"56 type of a message", set("type", "m.room.message"), 400, invalid, nothing},
		{"56 type missing", drop("type"), 400, bad, nothing},
		{"57 sender of another server, which signed", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.q, s.room, s.user(), nil)
			return s.put(s.room, id, event)
		}, 400, invalid, nothing},
		{"57 sender of this very server", s.send(func(e map[string]any) {
			e["sender"], e["state_key"] = "@admin:"+s.w.name, "@admin:"+s.w.name
		}), 400, invalid, nothing},
		{"58 signature by another server only", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.q, s.room, s.user(), func(e map[string]any) { e["sender"], e["state_key"] = s.p.User("a"), s.p.User("a") })
			return s.put(s.room, id, event)
		}, 400, invalid, nothing},
		{"58 signature by another server in our name", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.q, s.room, s.user(), func(e map[string]any) { e["sender"], e["state_key"] = s.p.User("a"), s.p.User("a") })
			return s.put(s.room, id, edited(t, event, func(e map[string]any) {
				of := e["signatures"].(map[string]any)[string(s.q.Name())].(map[string]any)
				e["signatures"] = map[string]any{string(s.p.Name()): map[string]any{string(s.p.Key().KeyID()): of[string(s.q.Key().KeyID())]}}
			}))
		}, 400, invalid, nothing},
		{"59 signature over the event that is not redacted", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), func(e map[string]any) { content(e)["reason"] = "hello" })
			whole := edited(t, event, func(e map[string]any) { delete(e, "signatures") })
			doc, err := canonicaljson.Parse(whole)
			if err != nil {
				t.Fatal(err)
			}
			return s.put(s.room, id, edited(t, event, func(e map[string]any) {
				e["signatures"] = signatures(s.p.Name(), s.p.Key().KeyID(), s.p.Key().Sign(doc.Bytes()))
			}))
		}, 400, invalid, nothing},
		{"60 a bogus signature by a third server beside", s.altered(func(e map[string]any) {
			e["signatures"].(map[string]any)["third.example"] = map[string]any{"ed25519:1": encoded(64)}
		}), 200, "", knocked},
		{"60 a policy server's signature beside", s.altered(func(e map[string]any) {
			e["signatures"].(map[string]any)["third.example"] = map[string]any{"ed25519:policy_server": "not base64"}
		}), 200, "", knocked},
		{"60 a bogus signature by an unknown key of the sender's server beside", s.altered(func(e map[string]any) {
			e["signatures"].(map[string]any)[string(s.p.Name())].(map[string]any)["ed25519:unknown"] = encoded(64)
		}), 200, "", knocked},
		{"60 a signature that is no string", s.altered(func(e map[string]any) {
			e["signatures"].(map[string]any)["third.example"] = map[string]any{"ed25519:1": 1}
		}), 400, bad, nothing},
	}
	cases = append(cases, timeCases(s)...)
	cases = append(cases, hashCases(s)...)
	cases = append(cases, jsonCases(s)...)
	cases = append(cases, graphCases(s)...)
	return append(cases, againCases(s)...)
}

// timeCases are 61: when an event says that it was made, and under which key.
func timeCases(s *scene) []adversarial {
	at := func(value any) asked { return s.send(func(e map[string]any) { e["origin_server_ts"] = value }) }
	// oldKey sends an event of a time before or after the end of the key that
	// signed it, by a server with a new key.
	oldKey := func(after time.Duration) asked {
		return func(t *testing.T) exchange {
			old, err := serverkey.Generate()
			if err != nil {
				t.Fatal(err)
			}
			end := time.Now().Add(-time.Hour)
			k := s.w.keyServer(t, func(k *keyServer, w http.ResponseWriter, _ *http.Request) {
				k.document(w, time.Now().Add(time.Hour), serverkey.OldKey{ID: old.KeyID(), Key: old.Public(), ExpiredAt: end})
			})
			event, _ := s.w.signed(t, k.Peer, s.room, s.user(), func(e map[string]any) { e["origin_server_ts"] = end.UnixMilli() + after.Milliseconds() })
			doc, err := canonicaljson.Parse(event)
			if err != nil {
				t.Fatal(err)
			}
			if event, err = pdu.Sign(doc, version11(), k.Name(), old); err != nil {
				t.Fatal(err)
			}
			target := peer.SendTarget(s.room, parseEvent(t, event, version11()).ID())
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange { return s.w.do(t, k.Peer, http.MethodPut, target, event) }}
		}
	}
	later := func(d time.Duration) func() int64 { return func() int64 { return time.Now().Add(d).UnixMilli() } }
	atTime := func(when func() int64) asked {
		return s.send(func(e map[string]any) { e["origin_server_ts"] = when() })
	}
	return []adversarial{
		{"61 after the key's validity", atTime(later(25 * time.Hour)), 400, "M_INVALID_PARAM", nothing},
		{"61 after any key's validity", atTime(later(8 * 24 * time.Hour)), 400, "M_INVALID_PARAM", nothing},
		{"61 long ago", at(0), 200, "", knocked},
		{"61 before the end of an old key", oldKey(-time.Millisecond), 200, "", knocked},
		{"61 at the end of an old key", oldKey(0), 400, "M_INVALID_PARAM", nothing},
		{"61 negative", at(-1), 400, "M_BAD_JSON", nothing},
		{"61 a string", at("1"), 400, "M_BAD_JSON", nothing},
		{"61 true", at(true), 400, "M_BAD_JSON", nothing},
		{"61 2^53", s.number("origin_server_ts", "9007199254740992"), 400, "M_BAD_JSON", nothing},
		{"61 a float", s.number("origin_server_ts", "1.5e12"), 400, "M_BAD_JSON", nothing},
	}
}

// number puts a number at a top-level key of a signed event, as it is written.
func (s *scene) number(key, digits string) asked {
	return s.bytes(func(event string) string {
		from := strings.Index(event, `"`+key+`":`) + len(key) + 3
		to := from + strings.IndexAny(event[from:], ",}")
		return event[:from] + digits + event[to:]
	})
}

// hashCases are 62 and 63: the content hash.
func hashCases(s *scene) []adversarial {
	hashes := func(value any) asked { return s.altered(func(e map[string]any) { e["hashes"] = value }) }
	return []adversarial{
		{"62 content changed after signing", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), func(e map[string]any) { content(e)["reason"] = "signed" })
			e := s.put(s.room, id, edited(t, event, func(e map[string]any) { content(e)["reason"] = "changed" }))
			e.check = func(t *testing.T, _ *peer.Exchange) {
				if stored := s.stored(t, id); !strings.Contains(stored, `"content":{"membership":"knock"}`) {
					t.Errorf("stored: %s, want no reason", stored)
				}
			}
			return e
		}, 200, "", knocked},
		{"63 hashes missing", s.altered(func(e map[string]any) { delete(e, "hashes") }), 400, "M_INVALID_PARAM", nothing},
		{"63 hashes no object", hashes("x"), 400, "M_INVALID_PARAM", nothing},
		{"63 sha256 missing", hashes(map[string]any{}), 400, "M_INVALID_PARAM", nothing},
		{"63 sha256 no string", hashes(map[string]any{"sha256": 1}), 400, "M_INVALID_PARAM", nothing},
		{"63 sha256 of 31 bytes", hashes(map[string]any{"sha256": encoded(31)}), 400, "M_INVALID_PARAM", nothing},
		{"63 sha256 URL-safe", hashes(map[string]any{"sha256": strings.Repeat("-_", 21) + "8"}), 400, "M_INVALID_PARAM", nothing},
		{"63 sha256 padded, and signed so", func(t *testing.T) exchange {
			event, _ := s.w.signed(t, s.p, s.room, s.user(), func(e map[string]any) { content(e)["reason"] = "kept" })
			event, id := s.resign(t, s.p, edited(t, event, func(e map[string]any) {
				of := e["hashes"].(map[string]any)
				of["sha256"] = of["sha256"].(string) + "="
			}), version11())
			e := s.put(s.room, id, event)
			e.check = func(t *testing.T, _ *peer.Exchange) {
				if stored := s.stored(t, id); !strings.Contains(stored, "kept") {
					t.Errorf("stored: %s, want the reason kept", stored)
				}
			}
			return e
		}, 200, "", knocked},
	}
}

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

// graphCases are 71 to 76: what an event refers to, and what else it may hold.
func graphCases(s *scene) []adversarial {
	const bad, invalid = "M_BAD_JSON", "M_INVALID_PARAM"
	prev := func(ids ...string) asked { return s.send(func(e map[string]any) { e["prev_events"] = ids }) }
	// auth changes the auth_events of a knock on a new room.
	auth := func(version string, change func(t *testing.T, room matrix.RoomID, ids []any) []any) asked {
		return func(t *testing.T) exchange {
			room := s.w.room(version, "knock")
			return s.sendIn(t, room, func(e map[string]any) { e["auth_events"] = change(t, room, e["auth_events"].([]any)) })
		}
	}
	create := func(t *testing.T, room matrix.RoomID) string {
		r, err := s.w.rooms.Room(t.Context(), room)
		if err != nil {
			t.Fatal(err)
		}
		return string(r.Create.ID())
	}
	others := func(n int) (ids []string) {
		for i := range n {
			ids = append(ids, "$"+string(rune('A'+i))+strings.Repeat("A", 42))
		}
		return ids
	}
	authoriser := func(version string, user func() any) asked {
		return func(t *testing.T) exchange {
			return s.sendIn(t, s.w.room(version, "knock"), func(e map[string]any) { content(e)["join_authorised_via_users_server"] = user() })
		}
	}
	return []adversarial{
		{"71 prev_events null", prev(), 400, bad, nothing},
		{"71 prev_events empty", s.send(func(e map[string]any) { e["prev_events"] = []any{} }), 400, invalid, nothing},
		{"71 prev_events of 21", prev(others(21)...), 400, bad, nothing},
		{"71 prev_events of 20, all unknown", prev(others(20)...), 400, invalid, nothing},
		{"71 prev_events unknown beside known", s.send(func(e map[string]any) {
			e["prev_events"] = append(e["prev_events"].([]any), others(1)[0])
		}), 400, invalid, nothing},
		{"71 prev_events of another room", func(t *testing.T) exchange {
			id := create(t, s.w.room("11", "knock"))
			return s.sendIn(t, s.room, func(e map[string]any) { e["prev_events"] = []any{id} })
		}, 400, invalid, nothing},
		{"71 prev_events with one twice", s.send(func(e map[string]any) {
			ids := e["prev_events"].([]any)
			e["prev_events"] = append(ids, ids[0])
		}), 400, bad, nothing},
		{"71 prev_events of the format before version 3", s.send(func(e map[string]any) {
			e["prev_events"] = []any{[]any{"$a:b.c", map[string]any{"sha256": encoded(32)}}}
		}), 400, bad, nothing},
		{"71 prev_events that hold no event ID", prev("$a:b.example"), 400, invalid, nothing},
		{"72 the create event among auth_events of version 12", auth("12", func(_ *testing.T, room matrix.RoomID, ids []any) []any {
			return append(ids, "$"+string(room[1:]))
		}), 400, bad, nothing},
		{"72 auth_events without the create event in version 11", auth("11", func(t *testing.T, room matrix.RoomID, ids []any) []any {
			id := create(t, room)
			return slices.DeleteFunc(ids, func(e any) bool { return e == id })
		}), 403, "M_FORBIDDEN", nothing},
		{"72 auth_events with one twice", auth("11", func(_ *testing.T, _ matrix.RoomID, ids []any) []any { return append(ids, ids[0]) }), 403, "M_FORBIDDEN", nothing},
		{"72 auth_events with a member of another user", auth("11", func(t *testing.T, room matrix.RoomID, ids []any) []any {
			r, err := s.w.rooms.Room(t.Context(), room)
			if err != nil {
				t.Fatal(err)
			}
			return append(ids, r.Member(matrix.UserID("@admin:"+s.w.name)).ID())
		}), 403, "M_FORBIDDEN", nothing},
		{"72 auth_events with an event that has no say", auth("11", func(t *testing.T, room matrix.RoomID, ids []any) []any {
			r, err := s.w.rooms.Room(t.Context(), room)
			if err != nil {
				t.Fatal(err)
			}
			return append(ids, r.Name.ID())
		}), 403, "M_FORBIDDEN", nothing},
		{"72 auth_events with a refused event", func(t *testing.T) exchange {
			room, user := s.w.room("11", "knock"), s.user()
			refused, id := s.w.signed(t, s.p, room, user, nil)
			s.w.state(room, "m.room.member", string(s.p.User(user)), `{"membership":"invite"}`)
			if x := s.w.do(t, s.p, http.MethodPut, peer.SendTarget(room, id), refused); x.Status != 403 {
				t.Fatalf("the first knock: %d", x.Status)
			}
			s.w.state(room, "m.room.member", string(s.p.User(user)), `{"membership":"leave"}`)
			event, next := s.w.signed(t, s.p, room, user, func(e map[string]any) {
				ids := e["auth_events"].([]any)
				e["auth_events"] = append(ids[:len(ids)-1], id)
			})
			return s.put(room, next, event)
		}, 400, invalid, nothing},
		{"72 auth_events of another room", func(t *testing.T) exchange {
			id := create(t, s.w.room("11", "knock"))
			return s.sendIn(t, s.room, func(e map[string]any) { e["auth_events"] = append(e["auth_events"].([]any), id) })
		}, 403, "M_FORBIDDEN", nothing},
		{"72 auth_events of 11", s.send(func(e map[string]any) { e["auth_events"] = others(11) }), 400, bad, nothing},
		{"72 auth_events with join rules of before", func(t *testing.T) exchange {
			room, user := s.w.room("11", "knock"), s.p.User(s.user())
			before := s.template(t, room, user)
			s.w.state(room, "m.room.join_rules", "", `{"join_rule":"invite"}`)
			event, id := s.w.signRaw(t, s.p, edited(t, s.template(t, room, user), func(e map[string]any) {
				edited(t, before, func(old map[string]any) { e["auth_events"] = old["auth_events"] })
			}), version11())
			return s.put(room, id, event)
		}, 403, "M_FORBIDDEN", nothing},
		{"73 depth -1", s.send(func(e map[string]any) { e["depth"] = -1 }), 400, bad, nothing},
		{"73 depth 2^53", s.number("depth", "9007199254740992"), 400, bad, nothing},
		{"73 depth 2^53-1", func(t *testing.T) exchange {
			return s.sendIn(t, s.w.room("11", "knock"), func(e map[string]any) { e["depth"] = json.Number("9007199254740991") })
		}, 200, "", knocked},
		{"73 the template after depth 2^53-1", func(t *testing.T) exchange {
			room := s.w.room("11", "knock")
			e := s.sendIn(t, room, func(e map[string]any) { e["depth"] = json.Number("9007199254740991") })
			if x := e.do(t); x.Status != 200 {
				t.Fatalf("%d %s", x.Status, x.Body)
			}
			next := s.makes(s.p, room, s.p.User("next"))
			next.check = func(t *testing.T, x *peer.Exchange) {
				if depth, ok := parseTemplate(t, x.Body).Get("depth").Int(); !ok || depth != 1<<53-1 {
					t.Errorf("depth = %d, want 2^53-1", depth)
				}
			}
			return next
		}, 200, "", decision},
		{"74 join_authorised_via_users_server of a server that did not sign", authoriser("11", func() any { return "@admin:" + s.w.name }), 403, "M_FORBIDDEN", nothing},
		{"74 join_authorised_via_users_server no user", authoriser("8", func() any { return []any{} }), 403, "M_FORBIDDEN", nothing},
		{"74 join_authorised_via_users_server of the server that signed", authoriser("12", func() any { return s.p.User("x") }), 200, "", knocked},
		{"74 join_authorised_via_users_server before version 8", authoriser("7", func() any { return "@admin:" + s.w.name }), 200, "", knocked},
		{"75 unsigned with a knock_room_state of its own", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
			e := s.put(s.room, id, edited(t, event, func(e map[string]any) {
				e["unsigned"] = map[string]any{"age": 1, "knock_room_state": []any{map[string]any{"type": "m.room.name", "state_key": "", "content": map[string]any{"name": "injected"}}}}
			}))
			e.check = func(t *testing.T, x *peer.Exchange) {
				if stored := s.stored(t, id); strings.Contains(stored, "unsigned") || strings.Contains(string(x.Body), "injected") {
					t.Errorf("stored: %s\nanswered: %s", stored, x.Body)
				}
			}
			return e
		}, 200, "", knocked},
		{"76 a reason of 60 KiB", s.send(func(e map[string]any) { content(e)["reason"] = strings.Repeat("é", 30<<10) }), 200, "", knocked},
	}
}

// againCases are 77 to 80: the same once more.
func againCases(s *scene) []adversarial {
	// replayed accepts a knock, changes its sender's membership, and has the
	// same PUT again, byte for byte.
	replayed := func(membership string) asked {
		return func(t *testing.T) exchange {
			room, name := s.w.room("11", "knock"), s.user()
			event, id := s.w.signed(t, s.p, room, name, nil)
			e := s.put(room, id, event)
			if x := e.do(t); x.Status != 200 {
				t.Fatalf("the first time: %d %s", x.Status, x.Body)
			}
			if membership != "" {
				s.w.state(room, "m.room.member", string(s.p.User(name)), `{"membership":"`+membership+`"}`)
			}
			want := membership
			if want == "" {
				want = "knock"
			}
			e.check = func(t *testing.T, _ *peer.Exchange) {
				if got := s.w.membership(room, s.p.User(name)); got != want {
					t.Errorf("membership = %q after the replay, want %q", got, want)
				}
			}
			return e
		}
	}
	return []adversarial{
		{"77 the same PUT 50 times at once", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
				answers := make([]*peer.Exchange, 50)
				var wg sync.WaitGroup
				for i := range answers {
					wg.Go(func() {
						x, err := s.p.Do(background, s.w.name, http.MethodPut, peer.SendTarget(s.room, id), event)
						if err != nil || x.Status != 200 {
							t.Errorf("%v, %v; want 200", x, err)
						}
						answers[i] = x
					})
				}
				wg.Wait()
				return answers[0]
			}}
		}, 200, "", trace{knocks: 1, decisions: anyNumber}},
		{"78 replay of an accepted knock", replayed(""), 200, "", nothing},
		{"78 replay after the user was kicked", replayed("leave"), 200, "", nothing},
		{"78 replay after the user was banned", replayed("ban"), 200, "", nothing},
		{"78 replay after the user was invited", replayed("invite"), 200, "", nothing},
		{"78 the old event under a new one's ID", func(t *testing.T) exchange {
			k := s.w.knock(s.p, s.user(), s.room)
			r := s.w.mustKnock(s.p, k, peer.Allowed)
			_, id := s.w.signed(t, s.p, s.room, k.User.Localpart(), func(e map[string]any) { e["origin_server_ts"] = 1 })
			return s.put(s.room, id, r.Event)
		}, 400, "M_INVALID_PARAM", nothing},
		{"79 one knock after another, over the limit", func(t *testing.T) exchange {
			w := newWorldWith(t, strings.NewReplacer("requests_per_second = 1000000", "requests_per_second = 0.001", "burst = 1000000", "burst = 4").Replace(testFederation)+allowAll)
			p := w.peer()
			room := w.room("11", "knock")
			for range 2 {
				w.mustKnock(p, w.knock(p, "a", room), peer.Allowed)
			}
			e := signedGet(w, p, peer.MakeTarget(room, p.User("a"), nil))
			e.check = func(t *testing.T, x *peer.Exchange) {
				if after := field(t, x.Body, "retry_after_ms"); after == "0" || after == "<nil>" || x.Header.Get("Retry-After") == "" {
					t.Errorf("retry_after_ms = %s, Retry-After = %q", after, x.Header.Get("Retry-After"))
				}
			}
			return e
		}, 429, "M_LIMIT_EXCEEDED", nothing},
		{"80 a captured make_knock again: a template, nothing stored", func(t *testing.T) exchange {
			target := s.makeTarget()
			captured := s.w.do(t, s.p, http.MethodGet, target, nil)
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
				return s.w.send(t, s.q, http.MethodGet, target, nil, captured.Authorization)
			}}
		}, 200, "", decision},
		{"80 a captured send_knock again", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
			captured := s.put(s.room, id, event).do(t)
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
				return s.w.send(t, s.q, http.MethodPut, captured.Target, event, captured.Authorization)
			}}
		}, 200, "", nothing},
		{"80 a captured signature for another target", func(t *testing.T) exchange {
			captured := s.w.do(t, s.p, http.MethodGet, s.makeTarget(), nil)
			target := s.makeTarget()
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
				return s.w.send(t, s.q, http.MethodGet, target, nil, captured.Authorization)
			}}
		}, 401, "M_UNAUTHORIZED", nothing},
		{"80 a captured signature for another server", func(t *testing.T) exchange {
			target := s.makeTarget()
			header := xmatrix.Header(s.p.Key(), s.p.Name(), s.q.Name(), http.MethodGet, target, nil)
			return s.raw(rawRequest(http.MethodGet, target, s.w.name, []string{"Authorization: " + header}, ""))
		}, 401, "M_UNAUTHORIZED", nothing},
		{"80 a captured signature for another body", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
			header := xmatrix.Header(s.p.Key(), s.p.Name(), s.w.name, http.MethodPut, peer.SendTarget(s.room, id), event)
			other := edited(t, event, func(e map[string]any) { content(e)["reason"] = "another" })
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
				return s.w.send(t, s.q, http.MethodPut, peer.SendTarget(s.room, id), other, header)
			}}
		}, 401, "M_UNAUTHORIZED", nothing},
	}
}
