package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// TestErrorContract holds the status and errcode of every refusal in the error
// contract of host/README.md, over real TLS, and that what is refused is not
// stored.
func TestErrorContract(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p, other := w.peer(), w.peer()
	room := w.room("11", "knock")
	acl := w.room("11", "knock")
	w.state(acl, "m.room.server_acl", "", `{"allow":["*"],"deny":["127.0.0.1"]}`)
	banned := w.room("11", "knock")
	w.state(banned, "m.room.member", string(p.User("banned")), `{"membership":"ban"}`)
	unknown := matrix.RoomID("!unknown:" + string(w.name))
	noUser := matrix.UserID("@nobody:127.0.0.1:1")

	get := func(target string) func(*testing.T) *peer.Exchange {
		return func(t *testing.T) *peer.Exchange { return w.do(t, p, http.MethodGet, target, nil) }
	}
	makeAs := func(user matrix.UserID, room matrix.RoomID, versions ...string) func(*testing.T) *peer.Exchange {
		return get(peer.MakeTarget(room, user, versions))
	}
	// send submits an event made from a real template by edit, signed by p.
	send := func(edit func(event map[string]any)) func(*testing.T) *peer.Exchange {
		return func(t *testing.T) *peer.Exchange {
			event, id := w.signed(t, p, room, "sender", edit)
			return w.do(t, p, http.MethodPut, peer.SendTarget(room, id), event)
		}
	}
	// leave submits a leave to send_leave, by the version of the API, made from
	// the template of a knock by edit.
	leave := func(api int, edit func(event map[string]any)) func(*testing.T) *peer.Exchange {
		return func(t *testing.T) *peer.Exchange {
			event, id := w.signed(t, p, room, "sender", func(e map[string]any) {
				e["content"] = map[string]any{"membership": "leave"}
				if edit != nil {
					edit(e)
				}
			})
			return w.do(t, p, http.MethodPut, peer.SendLeaveTarget(api, room, id), event)
		}
	}
	anyEvent := "$" + matrix.EventID(strings.Repeat("A", 43))
	// sendBytes submits a body of any bytes, with a signature that cannot be
	// right where the body is no JSON: what is wrong with it is said first.
	sendBytes := func(body string) func(*testing.T) *peer.Exchange {
		return func(t *testing.T) *peer.Exchange {
			target := peer.SendTarget(room, anyEvent)
			return w.send(t, p, http.MethodPut, target, []byte(body), xmatrix.Header(p.Key(), p.Name(), w.name, http.MethodPut, target, []byte("{}")))
		}
	}
	tests := []struct {
		name   string
		do     func(*testing.T) *peer.Exchange
		status int
		code   string
	}{
		{"make: no header", func(t *testing.T) *peer.Exchange {
			return w.send(t, p, http.MethodGet, peer.MakeTarget(room, p.User("a"), nil), nil, "")
		}, 401, "M_UNAUTHORIZED"},
		{"make: signature of another request", func(t *testing.T) *peer.Exchange {
			target := peer.MakeTarget(room, p.User("a"), nil)
			return w.send(t, p, http.MethodGet, target, nil, xmatrix.Header(p.Key(), p.Name(), w.name, http.MethodGet, target+"&ver=1", nil))
		}, 401, "M_UNAUTHORIZED"},
		{"make: key of another server", func(t *testing.T) *peer.Exchange {
			target := peer.MakeTarget(room, p.User("a"), nil)
			return w.send(t, p, http.MethodGet, target, nil, xmatrix.Header(other.Key(), p.Name(), w.name, http.MethodGet, target, nil))
		}, 401, "M_UNAUTHORIZED"},
		{"make: for another destination", func(t *testing.T) *peer.Exchange {
			target := peer.MakeTarget(room, p.User("a"), nil)
			return w.send(t, p, http.MethodGet, target, nil, xmatrix.Header(p.Key(), p.Name(), "elsewhere.example", http.MethodGet, target, nil))
		}, 401, "M_UNAUTHORIZED"},
		{"make: ACL", makeAs(p.User("a"), acl), 403, "M_FORBIDDEN"},
		{"make: no ver", get(strings.TrimSuffix(peer.MakeTarget(room, p.User("a"), []string{""}), "?ver=")), 400, "M_MISSING_PARAM"},
		{"make: room ID", get("/_matrix/federation/v1/make_knock/nope/" + string(p.User("a")) + "?ver=11"), 400, "M_INVALID_PARAM"},
		{"make: user ID", get("/_matrix/federation/v1/make_knock/" + string(room) + "/nope?ver=11"), 400, "M_INVALID_PARAM"},
		{"make: path not UTF-8", get("/_matrix/federation/v1/make_knock/" + string(room) + "/@%ff:a?ver=11"), 400, "M_INVALID_PARAM"},
		{"make: user of another server", makeAs(noUser, room), 403, "M_FORBIDDEN"},
		{"make: unknown room", makeAs(p.User("a"), unknown), 404, "M_NOT_FOUND"},
		{"make: unknown v12 room", makeAs(p.User("a"), "!"+matrix.RoomID(strings.Repeat("A", 43))), 404, "M_NOT_FOUND"},
		{"make: version not in ver", makeAs(p.User("a"), room, "7", "10"), 400, "M_INCOMPATIBLE_ROOM_VERSION"},
		{"make: invite only", makeAs(p.User("a"), w.room("11", "invite")), 403, "M_FORBIDDEN"},
		{"make: public", makeAs(p.User("a"), w.room("11", "public")), 403, "M_FORBIDDEN"},

		{"send: no header", func(t *testing.T) *peer.Exchange {
			return w.send(t, p, http.MethodPut, peer.SendTarget(room, "$"+matrix.EventID(strings.Repeat("A", 43))), []byte("{}"), "")
		}, 401, "M_UNAUTHORIZED"},
		{"send: not JSON", sendBytes(`{"type":`), 400, "M_NOT_JSON"},
		{"send: not UTF-8", sendBytes("{\"a\":\"\xff\"}"), 400, "M_NOT_JSON"},
		{"send: no object", sendBytes(`[]`), 400, "M_BAD_JSON"},
		{"send: duplicate key", sendBytes(`{"a":1,"a":1}`), 400, "M_BAD_JSON"},
		{"send: fraction", sendBytes(`{"a":1.5}`), 400, "M_BAD_JSON"},
		{"send: exponent", sendBytes(`{"a":1E2}`), 400, "M_BAD_JSON"},
		{"send: lone surrogate", sendBytes(`{"a":"\ud800"}`), 400, "M_BAD_JSON"},
		{"send: deep nesting", sendBytes(`{"a":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `}`), 400, "M_BAD_JSON"},
		{"send: body over the limit", sendBytes(`{"a":"` + strings.Repeat("a", 128<<10) + `"}`), 413, "M_TOO_LARGE"},
		{"send: event over 65,536 bytes", send(func(e map[string]any) {
			e["content"].(map[string]any)["reason"] = strings.Repeat("a", 65_536)
		}), 413, "M_TOO_LARGE"},
		{"send: field of the wrong type", send(func(e map[string]any) { e["depth"] = "7" }), 400, "M_BAD_JSON"},
		{"send: event ID in the path no ID", func(t *testing.T) *peer.Exchange {
			event, _ := w.signed(t, p, room, "sender", nil)
			return w.do(t, p, http.MethodPut, peer.SendTarget(room, "$nope"), event)
		}, 400, "M_INVALID_PARAM"},
		{"send: event ID of another event", func(t *testing.T) *peer.Exchange {
			event, _ := w.signed(t, p, room, "sender", nil)
			return w.do(t, p, http.MethodPut, peer.SendTarget(room, "$"+matrix.EventID(strings.Repeat("A", 43))), event)
		}, 400, "M_INVALID_PARAM"},
		{"send: type", send(func(e map[string]any) { e["type"] = "m.room.message" }), 400, "M_INVALID_PARAM"},
		{"send: no state_key", send(func(e map[string]any) { delete(e, "state_key") }), 400, "M_INVALID_PARAM"},
		{"send: another state_key", send(func(e map[string]any) { e["state_key"] = string(p.User("b")) }), 400, "M_INVALID_PARAM"},
		{"send: membership join", send(func(e map[string]any) { e["content"].(map[string]any)["membership"] = "join" }), 400, "M_INVALID_PARAM"},
		{"send: room of another room", send(func(e map[string]any) { e["room_id"] = string(unknown) }), 400, "M_INVALID_PARAM"},
		{"send: sender of another server", send(func(e map[string]any) { e["sender"], e["state_key"] = string(noUser), string(noUser) }), 400, "M_INVALID_PARAM"},
		{"send: no signature", func(t *testing.T) *peer.Exchange {
			event, id := w.signed(t, p, room, "sender", nil)
			return w.do(t, p, http.MethodPut, peer.SendTarget(room, id), edited(t, event, func(e map[string]any) { e["signatures"] = map[string]any{} }))
		}, 400, "M_INVALID_PARAM"},
		{"send: signature by another server's key", func(t *testing.T) *peer.Exchange {
			event, id := w.signed(t, other, room, "sender", func(e map[string]any) {
				e["sender"], e["state_key"] = string(p.User("sender")), string(p.User("sender"))
			})
			return w.do(t, p, http.MethodPut, peer.SendTarget(room, id), event)
		}, 400, "M_INVALID_PARAM"},
		{"send: no hashes", func(t *testing.T) *peer.Exchange {
			event, id := w.signed(t, p, room, "sender", nil)
			return w.do(t, p, http.MethodPut, peer.SendTarget(room, id), edited(t, event, func(e map[string]any) { delete(e, "hashes") }))
		}, 400, "M_INVALID_PARAM"},
		{"send: unknown prev_events", send(func(e map[string]any) { e["prev_events"] = []any{"$" + strings.Repeat("A", 43)} }), 400, "M_INVALID_PARAM"},
		{"send: no prev_events", send(func(e map[string]any) { e["prev_events"] = []any{} }), 400, "M_INVALID_PARAM"},
		{"send: unknown auth_events", send(func(e map[string]any) { e["auth_events"] = []any{"$" + strings.Repeat("A", 43)} }), 400, "M_INVALID_PARAM"},
		{"send: no auth_events", send(func(e map[string]any) { e["auth_events"] = []any{} }), 403, "M_FORBIDDEN"},
		{"send: unknown room", func(t *testing.T) *peer.Exchange {
			event, id := w.signed(t, p, room, "sender", nil)
			return w.do(t, p, http.MethodPut, peer.SendTarget(unknown, id), event)
		}, 404, "M_NOT_FOUND"},
		{"send: ACL", func(t *testing.T) *peer.Exchange {
			event, id := w.signed(t, p, room, "sender", nil)
			return w.do(t, p, http.MethodPut, peer.SendTarget(acl, id), event)
		}, 403, "M_FORBIDDEN"},

		{"make_leave: no header", func(t *testing.T) *peer.Exchange {
			return w.send(t, p, http.MethodGet, peer.MakeLeaveTarget(room, p.User("a")), nil, "")
		}, 401, "M_UNAUTHORIZED"},
		{"make_leave: room ID", get("/_matrix/federation/v1/make_leave/nope/" + string(p.User("a"))), 400, "M_INVALID_PARAM"},
		{"make_leave: user ID", get("/_matrix/federation/v1/make_leave/" + string(room) + "/nope"), 400, "M_INVALID_PARAM"},
		{"make_leave: user of another server", get(peer.MakeLeaveTarget(room, noUser)), 403, "M_FORBIDDEN"},
		{"make_leave: unknown room", get(peer.MakeLeaveTarget(unknown, p.User("a"))), 404, "M_NOT_FOUND"},
		{"make_leave: ACL", get(peer.MakeLeaveTarget(acl, p.User("a"))), 403, "M_FORBIDDEN"},
		{"make_leave: not in the room", get(peer.MakeLeaveTarget(room, p.User("a"))), 403, "M_FORBIDDEN"},
		{"make_leave: banned", get(peer.MakeLeaveTarget(banned, p.User("banned"))), 403, "M_FORBIDDEN"},
		{"make_leave: wrong method", func(t *testing.T) *peer.Exchange {
			return w.do(t, p, http.MethodPut, peer.MakeLeaveTarget(room, p.User("a")), []byte("{}"))
		}, 405, "M_UNRECOGNIZED"},
		{"make_leave: no second version", get(strings.Replace(peer.MakeLeaveTarget(room, p.User("a")), "v1", "v2", 1)), 404, "M_UNRECOGNIZED"},

		{"send_leave: no header", func(t *testing.T) *peer.Exchange {
			return w.send(t, p, http.MethodPut, peer.SendLeaveTarget(2, room, anyEvent), []byte("{}"), "")
		}, 401, "M_UNAUTHORIZED"},
		{"send_leave: wrong method", get(peer.SendLeaveTarget(2, room, anyEvent)), 405, "M_UNRECOGNIZED"},
		{"send_leave: wrong method, version 1", get(peer.SendLeaveTarget(1, room, anyEvent)), 405, "M_UNRECOGNIZED"},
		{"send_leave: no third version", get(peer.SendLeaveTarget(3, room, anyEvent)), 404, "M_UNRECOGNIZED"},
		{"send_leave: field of the wrong type", leave(2, func(e map[string]any) { e["depth"] = "7" }), 400, "M_BAD_JSON"},
		{"send_leave: event over 65,536 bytes", leave(2, func(e map[string]any) {
			e["content"].(map[string]any)["reason"] = strings.Repeat("a", 65_536)
		}), 413, "M_TOO_LARGE"},
		{"send_leave: a knock", leave(2, func(e map[string]any) { e["content"].(map[string]any)["membership"] = "knock" }), 400, "M_INVALID_PARAM"},
		{"send_leave: of another user", leave(2, func(e map[string]any) { e["state_key"] = string(p.User("b")) }), 400, "M_INVALID_PARAM"},
		{"send_leave: room of another room", leave(2, func(e map[string]any) { e["room_id"] = string(unknown) }), 400, "M_INVALID_PARAM"},
		{"send_leave: sender of another server", leave(2, func(e map[string]any) { e["sender"], e["state_key"] = string(noUser), string(noUser) }), 400, "M_INVALID_PARAM"},
		{"send_leave: unknown prev_events", leave(1, func(e map[string]any) { e["prev_events"] = []any{anyEvent} }), 400, "M_INVALID_PARAM"},
		{"send_leave: with the join rules", leave(2, nil), 403, "M_FORBIDDEN"},
		{"send_leave: of one who is not there", leave(2, func(e map[string]any) {
			auth := e["auth_events"].([]any)
			e["auth_events"] = auth[:len(auth)-1] // the join rules come last
		}), 403, "M_FORBIDDEN"},
		{"send_leave: event ID of another event", func(t *testing.T) *peer.Exchange {
			event, _ := w.signed(t, p, room, "sender", func(e map[string]any) { e["content"] = map[string]any{"membership": "leave"} })
			return w.do(t, p, http.MethodPut, peer.SendLeaveTarget(2, room, anyEvent), event)
		}, 400, "M_INVALID_PARAM"},
		{"send_leave: no signature", func(t *testing.T) *peer.Exchange {
			event, id := w.signed(t, p, room, "sender", func(e map[string]any) { e["content"] = map[string]any{"membership": "leave"} })
			return w.do(t, p, http.MethodPut, peer.SendLeaveTarget(2, room, id), edited(t, event, func(e map[string]any) { e["signatures"] = map[string]any{} }))
		}, 400, "M_INVALID_PARAM"},
		{"send_leave: ACL", func(t *testing.T) *peer.Exchange {
			return w.do(t, p, http.MethodPut, peer.SendLeaveTarget(2, acl, anyEvent), []byte("{}"))
		}, 403, "M_FORBIDDEN"},
		{"send_leave: unknown room", func(t *testing.T) *peer.Exchange {
			return w.do(t, p, http.MethodPut, peer.SendLeaveTarget(2, unknown, anyEvent), []byte("{}"))
		}, 404, "M_NOT_FOUND"},

		{"unknown endpoint", get("/_matrix/federation/v1/make_knocks/a/b"), 404, "M_UNRECOGNIZED"},
		{"trailing slash", get(strings.Replace(peer.MakeTarget(room, p.User("a"), nil), "?", "/?", 1)), 404, "M_UNRECOGNIZED"},
		{"double slash", get(strings.Replace(peer.MakeTarget(room, p.User("a"), nil), "v1/", "v1//", 1)), 404, "M_UNRECOGNIZED"},
		{"make: wrong method", func(t *testing.T) *peer.Exchange {
			return w.do(t, p, http.MethodPut, peer.MakeTarget(room, p.User("a"), nil), []byte("{}"))
		}, 405, "M_UNRECOGNIZED"},
		{"send: wrong method", get(peer.SendTarget(room, "$"+matrix.EventID(strings.Repeat("A", 43)))), 405, "M_UNRECOGNIZED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := tt.do(t)
			code, message := x.Errcode()
			if x.Status != tt.status || code != tt.code || message == "" {
				t.Errorf("%d %s %q, want %d %s and a sentence", x.Status, code, message, tt.status, tt.code)
			}
			if got := x.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type = %q, want application/json", got)
			}
			if got := w.membership(room, p.User("sender")); got != "" {
				t.Fatalf("the refused knock was stored: membership %q", got)
			}
		})
	}
}

// TestNotServed: what a resident server of rooms with nobody else in them has no
// use for is not there, and what is there takes its own method only.
func TestNotServed(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	room, user, event := string(w.room("11", "knock")), string(p.User("a")), "$"+strings.Repeat("A", 43)
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "v1/make_join/" + room + "/" + user + "?ver=11", 404},
		{"PUT", "v1/send_join/" + room + "/" + event, 404},
		{"PUT", "v2/send_join/" + room + "/" + event, 404},
		{"PUT", "v1/invite/" + room + "/" + event, 404},
		{"PUT", "v2/invite/" + room + "/" + event, 404},
		{"PUT", "v1/send/1", 404},
		{"GET", "v1/backfill/" + room + "?v=" + event + "&limit=1", 404},
		{"POST", "v1/get_missing_events/" + room, 404},
		{"GET", "v1/state/" + room + "?event_id=" + event, 404},
		{"GET", "v1/state_ids/" + room + "?event_id=" + event, 404},
		{"GET", "v1/event/" + event, 404},
		{"GET", "v1/event_auth/" + room + "/" + event, 404},
		{"GET", "v1/hierarchy/" + room, 404},
		{"GET", "v1/timestamp_to_event/" + room + "?ts=1&dir=f", 404},
		{"GET", "v1/publicRooms", 404},
		{"POST", "v1/publicRooms", 404},
		{"GET", "v1/query/directory?room_alias=%23lobby:a", 404},
		{"GET", "v1/query/profile?user_id=" + user, 404},
		{"GET", "v1/user/devices/" + user, 404},
		{"POST", "v1/user/keys/query", 404},
		{"POST", "v1/user/keys/claim", 404},
		{"PUT", "v1/exchange_third_party_invite/" + room, 404},
		{"GET", "v1/openid/userinfo?access_token=a", 404},
		{"PUT", "v2/send_knock/" + room + "/" + event, 404},
		{"GET", "v2/make_knock/" + room + "/" + user + "?ver=11", 404},
		{"POST", "v1/version", 405},
		{"POST", "v1/make_knock/" + room + "/" + user + "?ver=11", 405},
		{"POST", "v1/send_knock/" + room + "/" + event, 405},
		{"DELETE", "v1/make_leave/" + room + "/" + user, 405},
		{"POST", "v1/send_leave/" + room + "/" + event, 405},
		{"POST", "v2/send_leave/" + room + "/" + event, 405},
	} {
		var body []byte
		if tt.method != "GET" {
			body = []byte("{}")
		}
		x := w.do(t, p, tt.method, "/_matrix/federation/"+tt.path, body)
		if code, message := x.Errcode(); x.Status != tt.status || code != "M_UNRECOGNIZED" || message == "" {
			t.Errorf("%s %s: %d %s, want %d M_UNRECOGNIZED", tt.method, tt.path, x.Status, x.Body, tt.status)
		}
	}
	if x := w.do(t, p, "POST", "/_matrix/key/v2/server", []byte("{}")); x.Status != 405 {
		t.Errorf("POST of our keys: %d, want 405", x.Status)
	}
}

// TestIncompatibleNamesTheRoomsVersion: the body of the 400 carries the room's
// version at its top level.
func TestIncompatibleNamesTheRoomsVersion(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	for _, version := range matrix.RoomVersionIDs() {
		x := w.do(t, p, http.MethodGet, peer.MakeTarget(w.room(version, "knock"), p.User("a"), []string{"1"}), nil)
		if got := field(t, x.Body, "room_version"); x.Status != 400 || got != version {
			t.Errorf("version %s: %d with room_version %q", version, x.Status, got)
		}
	}
}

func TestFederationList(t *testing.T) {
	denied := newWorldWith(t, strings.Replace(testFederation, "[federation]", "[federation]\ndeny = [\"127.*\"]", 1)+allowAll)
	p := denied.peer()
	x := denied.do(t, p, http.MethodGet, peer.MakeTarget(denied.room("11", "knock"), p.User("a"), nil), nil)
	if code, _ := x.Errcode(); x.Status != 403 || code != "M_FORBIDDEN" {
		t.Errorf("a server on the deny list: %d %s, want 403 M_FORBIDDEN", x.Status, code)
	}
}

func TestRateLimit(t *testing.T) {
	limited := strings.NewReplacer("requests_per_second = 1000000", "requests_per_second = 0.001", "burst = 1000000", "burst = 3").Replace(testFederation)
	w := newWorldWith(t, limited+allowAll)
	p, q := w.peer(), w.peer()
	room := w.room("11", "knock")
	for i := range 4 {
		x := w.do(t, p, http.MethodGet, peer.MakeTarget(room, p.User("a"), nil), nil)
		if i < 3 {
			if x.Status != 200 {
				t.Fatalf("request %d: %d, want 200", i+1, x.Status)
			}
			continue
		}
		code, _ := x.Errcode()
		if x.Status != 429 || code != "M_LIMIT_EXCEEDED" || x.Header.Get("Retry-After") == "" || !strings.Contains(string(x.Body), `"retry_after_ms":`) {
			t.Errorf("request %d: %d %s %s, want 429 M_LIMIT_EXCEEDED with retry_after_ms", i+1, x.Status, code, x.Body)
		}
	}
	if x := w.do(t, q, http.MethodGet, peer.MakeTarget(room, q.User("a"), nil), nil); x.Status != 200 {
		t.Errorf("another server while the first is limited: %d, want 200", x.Status)
	}
}

// do sends a signed request.
func (w *world) do(t *testing.T, p *peer.Peer, method, target string, body []byte) *peer.Exchange {
	t.Helper()
	x, err := p.Do(context.Background(), w.name, method, target, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return x
}

// send sends a request with the Authorization header as given.
func (w *world) send(t *testing.T, p *peer.Peer, method, target string, body []byte, authorization string) *peer.Exchange {
	t.Helper()
	x, err := p.Send(context.Background(), w.name, method, target, body, authorization)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return x
}

// signed returns a knock of p's user on room, made from a real template,
// changed by edit before p signs it.
func (w *world) signed(t *testing.T, p *peer.Peer, room matrix.RoomID, localpart string, edit func(map[string]any)) ([]byte, matrix.EventID) {
	t.Helper()
	x := w.do(t, p, http.MethodGet, peer.MakeTarget(room, p.User(localpart), nil), nil)
	var answer struct {
		Event       json.RawMessage `json:"event"`
		RoomVersion string          `json:"room_version"`
	}
	if err := json.Unmarshal(x.Body, &answer); err != nil || x.Status != 200 {
		t.Fatalf("make_knock: %d %s (%v)", x.Status, x.Body, err)
	}
	version, ok := matrix.LookupRoomVersion(answer.RoomVersion)
	if !ok {
		t.Fatalf("room_version %q", answer.RoomVersion)
	}
	event := []byte(answer.Event)
	if edit != nil {
		event = edited(t, event, edit)
	}
	return w.signRaw(t, p, event, version)
}

// signRaw hashes and signs whatever event is, also what no server would.
func (w *world) signRaw(t *testing.T, p *peer.Peer, event []byte, v *matrix.RoomVersion) ([]byte, matrix.EventID) {
	t.Helper()
	signed, id, err := p.Sign(event, v)
	if err != nil {
		t.Fatalf("signing %s: %v", event, err)
	}
	return signed, id
}

// edited returns a JSON object changed by edit. Numbers stay whole numbers.
func edited(t *testing.T, object []byte, edit func(map[string]any)) []byte {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(object)))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	edit(m)
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func field(t *testing.T, object []byte, key string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(object, &m); err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	return fmt.Sprint(m[key])
}
