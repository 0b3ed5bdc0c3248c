package interop

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/matrix-org/gomatrixserverlib/fclient"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

// TestLeave takes a knock back with the library's client on a room of each
// version, twice, as a server does that lost the answer, and by the first version
// of send_leave, whose answer is a list. Then the user knocks again.
func TestLeave(t *testing.T) {
	p := newPeer(t)
	for _, version := range versions {
		t.Run(string(version), func(t *testing.T) {
			room := resident.createRoom(t, string(version))
			user := p.user("grace/hopper=v" + string(version))
			knock := func() {
				t.Helper()
				made, err := p.client.MakeKnock(t.Context(), p.name, resident.name, room, user, versions)
				if err != nil {
					t.Fatalf("make_knock: %v", err)
				}
				event := p.sign(t, made, map[string]any{"membership": "knock", "reason": "hello"})
				if _, err := p.client.SendKnock(t.Context(), p.name, resident.name, event); err != nil {
					t.Fatalf("send_knock: %v", err)
				}
			}
			knock()
			made, err := p.client.MakeLeave(t.Context(), p.name, resident.name, room, user)
			if err != nil {
				t.Fatalf("make_leave: %v", err)
			}
			if made.RoomVersion != version {
				t.Errorf("room_version = %q, want %q", made.RoomVersion, version)
			}
			checkTemplate(t, made.LeaveEvent, spec.Leave, room, user)
			template := fclient.RespMakeKnock{KnockEvent: made.LeaveEvent, RoomVersion: made.RoomVersion}
			event := p.sign(t, template, map[string]any{"membership": "leave", "reason": "the wrong door"})
			for _, attempt := range []string{"send_leave", "the same send_leave again"} {
				if err := p.client.SendLeave(t.Context(), p.name, resident.name, event); err != nil {
					t.Fatalf("%s: %v", attempt, err)
				}
			}
			var answer []json.RawMessage
			target := "/_matrix/federation/v1/send_leave/" + url.PathEscape(room) + "/" + url.PathEscape(event.EventID())
			if err := p.do(t.Context(), http.MethodPut, resident.name, target, event, &answer); err != nil {
				t.Fatalf("send_leave, version 1: %v", err)
			}
			if len(answer) != 2 || string(answer[0]) != "200" || string(answer[1]) != "{}" {
				t.Errorf("send_leave, version 1: %s, want [200,{}]", answer)
			}
			_, err = p.client.MakeLeave(t.Context(), p.name, resident.name, room, user)
			checkRefused(t, err, refusal{403, "M_FORBIDDEN", ""})
			knock()
		})
	}
}
