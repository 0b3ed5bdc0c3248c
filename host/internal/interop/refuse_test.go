package interop

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/matrix-org/gomatrix"
	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/fclient"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

// refusal is an answer that is not 2xx, as the library's client gives it.
type refusal struct {
	status      int
	errcode     string
	roomVersion string
}

// refused returns the refusal that err carries, with its message; the zero
// value if it carries none.
func refused(err error) (r refusal, message string) {
	var httpErr gomatrix.HTTPError
	if !errors.As(err, &httpErr) {
		return r, ""
	}
	var body struct {
		Errcode     string `json:"errcode"`
		Error       string `json:"error"`
		RoomVersion string `json:"room_version"`
	}
	if err := json.Unmarshal(httpErr.Contents, &body); err != nil {
		return refusal{status: httpErr.Code}, ""
	}
	return refusal{httpErr.Code, body.Errcode, body.RoomVersion}, body.Error
}

func checkRefused(t *testing.T, err error, want refusal) {
	t.Helper()
	got, message := refused(err)
	if got != want {
		t.Errorf("answer %+v (%v), want %+v", got, err, want)
	}
	if message == "" {
		t.Errorf("answer %+v has no message", got)
	}
}

// TestIncompatibleVersion offers a version that the room does not have. The
// answer names the room's own, so that the peer can tell its user.
func TestIncompatibleVersion(t *testing.T) {
	p := newPeer(t)
	for _, version := range versions {
		t.Run(string(version), func(t *testing.T) {
			room := resident.createRoom(t, string(version))
			offered := []gomatrixserverlib.RoomVersion{gomatrixserverlib.RoomVersionV1}
			_, err := p.client.MakeKnock(t.Context(), p.name, resident.name, room, p.user("ada"), offered)
			checkRefused(t, err, refusal{400, "M_INCOMPATIBLE_ROOM_VERSION", string(version)})
		})
	}
}

func TestMakeKnockRefused(t *testing.T) {
	p := newPeer(t)
	// The impostor has a name of its own: a signature that fails can make
	// serve fetch the keys of that name anew, and that is limited.
	impostor := newPeer(t)
	impostor.client = impostor.clientWith(newKey(t))
	room := resident.createRoom(t, "11")
	tests := []struct {
		name       string
		from       *peer
		room, user string
		versions   []gomatrixserverlib.RoomVersion
		want       refusal
	}{
		{"user of another server", p, room, "@ada:" + string(resident.name), versions, refusal{403, "M_FORBIDDEN", ""}},
		{"user of a server that is nowhere", p, room, "@ada:elsewhere.example", versions, refusal{403, "M_FORBIDDEN", ""}},
		{"no versions", p, room, p.user("ada"), nil, refusal{400, "M_MISSING_PARAM", ""}},
		{"unknown room", p, "!nowhere:" + string(resident.name), p.user("ada"), versions, refusal{404, "M_NOT_FOUND", ""}},
		{"no room ID", p, "room", p.user("ada"), versions, refusal{400, "M_INVALID_PARAM", ""}},
		{"no user ID", p, room, "ada", versions, refusal{400, "M_INVALID_PARAM", ""}},
		{"signed with a key that is not published", impostor, room, impostor.user("ada"), versions, refusal{401, "M_UNAUTHORIZED", ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.from.client.MakeKnock(t.Context(), test.from.name, resident.name, test.room, test.user, test.versions)
			checkRefused(t, err, test.want)
		})
	}
}

// TestSendKnockRefused signs events that are no knock, or not one that may
// enter, from a template that serve gave.
func TestSendKnockRefused(t *testing.T) {
	p := newPeer(t)
	room := resident.createRoom(t, "11")
	made, err := p.client.MakeKnock(t.Context(), p.name, resident.name, room, p.user("ada"), versions)
	if err != nil {
		t.Fatalf("make_knock: %v", err)
	}
	knock := map[string]any{"membership": spec.Knock, "reason": "hello"}
	template := func(change func(*gomatrixserverlib.ProtoEvent)) fclient.RespMakeKnock {
		changed := made
		change(&changed.KnockEvent)
		return changed
	}
	otherKey := *p
	otherKey.key = newKey(t)
	elsewhere := "@ada:elsewhere.example"
	tests := []struct {
		name  string
		event gomatrixserverlib.PDU
		want  refusal
	}{
		{"a policy wants a reason", p.sign(t, made, map[string]any{"membership": spec.Knock}), refusal{403, "M_FORBIDDEN", ""}},
		{"a join", p.sign(t, made, map[string]any{"membership": spec.Join}), refusal{400, "M_INVALID_PARAM", ""}},
		{"signed with a key that is not published", otherKey.sign(t, made, knock), refusal{400, "M_INVALID_PARAM", ""}},
		{"sender of another server", p.sign(t, template(func(e *gomatrixserverlib.ProtoEvent) {
			e.SenderID, e.StateKey = elsewhere, &elsewhere
		}), knock), refusal{400, "M_INVALID_PARAM", ""}},
		{"state_key of another user", p.sign(t, template(func(e *gomatrixserverlib.ProtoEvent) {
			e.StateKey = &elsewhere
		}), knock), refusal{400, "M_INVALID_PARAM", ""}},
		{"another type", p.sign(t, template(func(e *gomatrixserverlib.ProtoEvent) {
			e.Type = spec.MRoomTopic
		}), knock), refusal{400, "M_INVALID_PARAM", ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := p.client.SendKnock(t.Context(), p.name, resident.name, test.event)
			checkRefused(t, err, test.want)
		})
	}
}
