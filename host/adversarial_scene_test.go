package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// scene is what most cases of a theme share: a server that lets everybody in,
// two servers that knock, and a room of version 11.
type scene struct {
	w    *world
	p, q *peer.Peer
	room matrix.RoomID

	users atomic.Int64
}

func newScene(t *testing.T) *scene {
	w := newWorld(t, allowAll, nil)
	return &scene{w: w, p: w.peer(), q: w.peer(), room: w.room("11", "knock")}
}

// user returns a localpart that nobody had before.
func (s *scene) user() string { return fmt.Sprintf("u%d", s.users.Add(1)) }

// makeTarget is the request-target of a make_knock of a new user of p.
func (s *scene) makeTarget() string { return peer.MakeTarget(s.room, s.p.User(s.user()), nil) }

type asked = func(*testing.T) exchange

// get asks with a signed GET, by p.
func (s *scene) get(target func(t *testing.T) string) asked {
	return func(t *testing.T) exchange { return s.signedGet(s.p, target(t)) }
}

// signedGet is a signed GET by any peer.
func (s *scene) signedGet(p *peer.Peer, target string) exchange { return signedGet(s.w, p, target) }

func signedGet(w *world, p *peer.Peer, target string) exchange {
	return exchange{w: w, do: func(t *testing.T) *peer.Exchange { return w.do(t, p, http.MethodGet, target, nil) }}
}

// makes asks for a template for a user of by.
func (s *scene) makes(by *peer.Peer, room matrix.RoomID, user matrix.UserID, versions ...string) exchange {
	return s.signedGet(by, peer.MakeTarget(room, user, versions))
}

// send submits a knock made from a real template and changed by edit before p
// signs it.
func (s *scene) send(edit func(event map[string]any)) asked {
	return func(t *testing.T) exchange { return s.sendIn(t, s.room, edit) }
}

func (s *scene) sendIn(t *testing.T, room matrix.RoomID, edit func(map[string]any)) exchange {
	t.Helper()
	event, id := s.w.signed(t, s.p, room, s.user(), edit)
	return s.put(room, id, event)
}

// altered submits a knock that is changed after it was signed.
func (s *scene) altered(edit func(event map[string]any)) asked {
	return func(t *testing.T) exchange {
		event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
		return s.put(s.room, id, edited(t, event, edit))
	}
}

// put submits a body that is JSON, in a request signed by p.
func (s *scene) put(room matrix.RoomID, id matrix.EventID, body []byte) exchange {
	return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
		return s.w.do(t, s.p, http.MethodPut, peer.SendTarget(room, id), body)
	}}
}

// bytes submits any bytes, made from a signed knock. Where they are no JSON no
// signature of the request can be right: what is wrong with them is said first.
func (s *scene) bytes(change func(event string) string) asked {
	return func(t *testing.T) exchange {
		event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
		body, target := []byte(change(string(event))), peer.SendTarget(s.room, id)
		header := xmatrix.Header(s.p.Key(), s.p.Name(), s.w.name, http.MethodPut, target, event)
		return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
			return s.w.send(t, s.p, http.MethodPut, target, body, header)
		}}
	}
}

// headers asks for a template with the Authorization headers that are made
// from the signature of the request by p.
func (s *scene) headers(values func(sig signature) []string) asked {
	return func(t *testing.T) exchange {
		target := s.makeTarget()
		var lines []string
		for _, v := range values(s.signature(s.p, http.MethodGet, target, nil)) {
			lines = append(lines, "Authorization: "+v)
		}
		return s.raw(rawRequest(http.MethodGet, target, s.w.name, lines, ""))
	}
}

// signature is the parts of an X-Matrix header.
type signature struct{ target, origin, key, sig, destination string }

func (s signature) String() string {
	return fmt.Sprintf(`X-Matrix origin="%s",key="%s",sig="%s",destination="%s"`, s.origin, s.key, s.sig, s.destination)
}

func (s *scene) signature(p *peer.Peer, method, target string, content []byte) signature {
	message := xmatrix.AppendSigned(nil, method, target, p.Name(), s.w.name, content)
	return signature{
		target: target, origin: string(p.Name()), key: string(p.Key().KeyID()), destination: string(s.w.name),
		sig: base64.RawStdEncoding.EncodeToString(p.Key().Sign(message)),
	}
}

// join makes a user of a peer a member of a room that nobody asked for yet, as
// if they had been let in: no room of a resident server has others' members.
func (s *scene) join(t *testing.T, p *peer.Peer, room matrix.RoomID, user matrix.UserID) {
	t.Helper()
	data, err := s.w.store.LoadRoom(t.Context(), room, 1)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := matrix.LookupRoomVersion(data.Version)
	ids := []string{}
	for _, e := range data.OwnState {
		if e.Type == "m.room.power_levels" || e.Type == "m.room.join_rules" || e.Type == "m.room.create" && !v.HashRoomID {
			ids = append(ids, string(e.ID))
		}
	}
	event, err := json.Marshal(map[string]any{
		"type": "m.room.member", "state_key": user, "sender": user, "room_id": room, "content": map[string]any{"membership": "join"},
		"origin_server_ts": s.w.clock.Now().UnixMilli(), "depth": data.Head + 1, "prev_events": []any{data.HeadEvent}, "auth_events": ids,
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, id := s.w.signRaw(t, p, event, v)
	err = s.w.store.Write(t.Context(), func(tx *store.Tx) error {
		return tx.Append(&store.Append{
			Event: store.Event{
				ID: id, Room: room, Seq: data.Head + 1, Type: "m.room.member", StateKey: string(user), Sender: user,
				Depth: data.Head + 1, Own: true, Base: data.Head + 1, JSON: signed,
			},
			After: data.HeadEvent, Prev: []matrix.EventID{data.HeadEvent}, Current: true,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// resign signs an event as it is, its hashes included, which is what
// [peer.Peer.Sign] makes new. It must be of the right form.
func (s *scene) resign(t *testing.T, p *peer.Peer, event []byte, v *matrix.RoomVersion) ([]byte, matrix.EventID) {
	t.Helper()
	ev := parseEvent(t, event, v)
	signed := edited(t, event, func(e map[string]any) {
		e["signatures"] = signatures(p.Name(), p.Key().KeyID(), p.Key().Sign(ev.SigningBytes()))
	})
	return signed, ev.ID()
}

func parseEvent(t testing.TB, event []byte, v *matrix.RoomVersion) *pdu.Event {
	t.Helper()
	doc, err := canonicaljson.Parse(event)
	if err != nil {
		t.Fatal(err)
	}
	ev, err := pdu.Parse(doc, v)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func signatures(server matrix.ServerName, key matrix.KeyID, sig []byte) map[string]any {
	return map[string]any{string(server): map[string]any{string(key): base64.RawStdEncoding.EncodeToString(sig)}}
}

// version11 is the version of most rooms here.
func version11() *matrix.RoomVersion {
	v, _ := matrix.LookupRoomVersion("11")
	return v
}

// stored returns what the store has of an event.
func (s *scene) stored(t *testing.T, id matrix.EventID) string {
	t.Helper()
	e, ok, err := s.w.store.Event(t.Context(), id)
	if err != nil || !ok {
		t.Fatalf("event %s: found %v, %v", id, ok, err)
	}
	return string(e.JSON)
}

// refusedWith holds the cause that the log gives for a refusal.
func (w *world) refusedWith(t *testing.T, words ...string) {
	t.Helper()
	if len(w.log.lines(append(words, "refused by the protocol")...)) == 0 {
		t.Errorf("no refusal in the log says %q:\n%s", words, w.log.tail(4<<10))
	}
}

// content returns the content of an event that is edited.
func content(event map[string]any) map[string]any { return event["content"].(map[string]any) }

// background is a context that no test ends.
var background = context.Background()

// replaceOnce replaces the first old in s and panics if there is none.
func replaceOnce(s, old, new string) string {
	if !strings.Contains(s, old) {
		panic("no " + old + " in " + s)
	}
	return strings.Replace(s, old, new, 1)
}
