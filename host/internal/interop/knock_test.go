package interop

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/fclient"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

// versions are the room versions with knocks that serve implements.
var versions = []gomatrixserverlib.RoomVersion{
	gomatrixserverlib.RoomVersionV7, gomatrixserverlib.RoomVersionV8, gomatrixserverlib.RoomVersionV9,
	gomatrixserverlib.RoomVersionV10, gomatrixserverlib.RoomVersionV11, gomatrixserverlib.RoomVersionV12,
}

// TestKnock plays the whole handshake with the library's client on a room of
// each version, and sends the same event again, as a server does that lost the
// answer.
func TestKnock(t *testing.T) {
	p := newPeer(t)
	for _, version := range versions {
		t.Run(string(version), func(t *testing.T) {
			room := resident.createRoom(t, string(version))
			// A '/' in an ID goes percent-encoded into the path.
			user := p.user("ada/lovelace=v" + string(version))

			made, err := p.client.MakeKnock(t.Context(), p.name, resident.name, room, user, versions)
			if err != nil {
				t.Fatalf("make_knock: %v", err)
			}
			if made.RoomVersion != version {
				t.Errorf("room_version = %q, want %q", made.RoomVersion, version)
			}
			checkTemplate(t, made.KnockEvent, spec.Knock, room, user)

			event := p.sign(t, made, map[string]any{"membership": "knock", "reason": "<hello> & \u2028 \U0001F6AA", "displayname": nil})
			for _, attempt := range []string{"send_knock", "the same send_knock again"} {
				answer, err := p.client.SendKnock(t.Context(), p.name, resident.name, event)
				if err != nil {
					t.Fatalf("%s: %v", attempt, err)
				}
				checkState(t, answer.KnockRoomState)
			}
		})
	}
}

// checkTemplate holds a template to what the specification has the knocking
// server check, and to what it needs to make an event of it.
func checkTemplate(t *testing.T, event gomatrixserverlib.ProtoEvent, membership, room, user string) {
	t.Helper()
	var content map[string]any
	if err := json.Unmarshal(event.Content, &content); err != nil {
		t.Fatalf("content %s: %v", event.Content, err)
	}
	stateKey := "(none)"
	if event.StateKey != nil {
		stateKey = *event.StateKey
	}
	for _, field := range []struct {
		name      string
		got, want any
	}{
		{"type", event.Type, spec.MRoomMember},
		{"room_id", event.RoomID, room},
		{"sender", event.SenderID, user},
		{"state_key", stateKey, user},
		{"content.membership", content["membership"], membership},
	} {
		if field.got != field.want {
			t.Errorf("%s = %q, want %q", field.name, field.got, field.want)
		}
	}
	for name, list := range map[string]any{"prev_events": event.PrevEvents, "auth_events": event.AuthEvents} {
		ids, _ := list.([]any)
		if len(ids) == 0 {
			t.Errorf("%s = %v, want event IDs", name, list)
		}
		for _, id := range ids {
			if s, ok := id.(string); !ok || len(s) != 44 || s[0] != '$' {
				t.Errorf("%s has %v, want an event ID", name, id)
			}
		}
	}
	if event.Depth < 1 {
		t.Errorf("depth = %d, want at least 1", event.Depth)
	}
}

// sign makes an event from a template with the library's builder.
func (p *peer) sign(t *testing.T, made fclient.RespMakeKnock, content map[string]any) gomatrixserverlib.PDU {
	t.Helper()
	version, err := gomatrixserverlib.GetRoomVersion(made.RoomVersion)
	if err != nil {
		t.Fatal(err)
	}
	template := made.KnockEvent
	if err := template.SetContent(content); err != nil {
		t.Fatal(err)
	}
	event, err := version.NewEventBuilderFromProtoEvent(&template).Build(time.Now(), p.name, p.keyID, p.key)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return event
}

// checkState holds the answer to send_knock to what a client shows a user of
// the room: who made it, its rule, its name, and nothing about its members.
func checkState(t *testing.T, state []gomatrixserverlib.InviteStrippedState) {
	t.Helper()
	found := map[string]string{}
	for _, event := range state {
		if event.StateKey() == nil || *event.StateKey() != "" || event.Sender() != "@knockgate:"+string(resident.name) {
			t.Errorf("%s: state_key %v, sender %q; want an empty one and serve's own user", event.Type(), event.StateKey(), event.Sender())
		}
		found[event.Type()] = string(event.Content())
	}
	for _, want := range []string{spec.MRoomCreate, spec.MRoomJoinRules, spec.MRoomName} {
		if _, ok := found[want]; !ok {
			t.Errorf("knock_room_state %v lacks %s", found, want)
		}
	}
	for _, secret := range []string{spec.MRoomMember, spec.MRoomPowerLevels} {
		if content, ok := found[secret]; ok {
			t.Errorf("knock_room_state tells %s: %s", secret, content)
		}
	}
}

// TestCreateEventOfVersion12 parses the create event of the answer, which is
// whole in version 12: the library finds its content hash right, its signature
// made by the published key of serve, and the room ID to be its hash.
//
// Spec: room version 12, "Room IDs"; Server-Server API, "PUT /send_knock".
func TestCreateEventOfVersion12(t *testing.T) {
	p := newPeer(t)
	const version = gomatrixserverlib.RoomVersionV12
	room := resident.createRoom(t, string(version))
	made, err := p.client.MakeKnock(t.Context(), p.name, resident.name, room, p.user("grace"), versions)
	if err != nil {
		t.Fatalf("make_knock: %v", err)
	}
	event := p.sign(t, made, map[string]any{"membership": "knock", "reason": "hello"})
	var answer struct {
		State []json.RawMessage `json:"knock_room_state"`
	}
	target := "/_matrix/federation/v1/send_knock/" + url.PathEscape(room) + "/" + url.PathEscape(event.EventID())
	if err := p.do(t.Context(), http.MethodPut, resident.name, target, event, &answer); err != nil {
		t.Fatalf("send_knock: %v", err)
	}

	create := findCreate(t, answer.State, version)
	if create.Redacted() {
		t.Errorf("content hash of %s does not match", create.JSON())
	}
	if got := "!" + create.EventID()[1:]; got != room {
		t.Errorf("hash of the create event gives the room ID %s, want %s", got, room)
	}
	if got := create.RoomID(); got.String() != room {
		t.Errorf("room of the create event = %s, want %s", got.String(), room)
	}
	userOf := func(_ spec.RoomID, sender spec.SenderID) (*spec.UserID, error) {
		return spec.NewUserID(string(sender), true)
	}
	if err := gomatrixserverlib.VerifyEventSignatures(t.Context(), create, p.keyRing(), userOf); err != nil {
		t.Errorf("signature of the create event: %v", err)
	}
}

func findCreate(t *testing.T, state []json.RawMessage, version gomatrixserverlib.RoomVersion) gomatrixserverlib.PDU {
	t.Helper()
	for _, raw := range state {
		var event struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(raw, &event); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if event.Type != spec.MRoomCreate {
			continue
		}
		create, err := gomatrixserverlib.MustGetRoomVersion(version).NewEventFromUntrustedJSON(raw)
		if err != nil {
			t.Fatalf("create event %s: %v", raw, err)
		}
		return create
	}
	t.Fatalf("no create event in %s", state)
	return nil
}
