package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

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
