package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
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
