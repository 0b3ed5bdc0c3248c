package upstream

import (
	"context"
	"io"
	"strings"
	"testing"
)

// TestState: the state of a room comes from the first source that is in it now, and
// the error names what each of them said.
func TestState(t *testing.T) {
	const state, object = `[{"type":"m.room.create"}]`, `{"state":[{"type":"m.room.create"}]}`
	joined := answer{body: `{"room_id":"` + string(room) + `","membership":"join","joined_local_members":1,"num_joined_members":1}`}
	for _, tt := range []struct {
		name       string
		bot, admin map[string]answer // nil: not configured
		want       string            // the state, or of the error
		refused    bool
	}{
		{"bot", map[string]answer{"summary": joined, "/state": {body: state}}, map[string]answer{}, state, false},
		{"admin alone", nil, map[string]answer{"": joined, "/state": {body: object}}, object, false},
		{"bot that has left", map[string]answer{"summary": {body: strings.Replace(joined.body, "join\"", "leave\"", 1)}, "/state": {body: state}}, map[string]answer{"": joined, "/state": {body: object}}, object, false},
		{"bot that sees nothing", map[string]answer{"summary": {403, `{"errcode":"M_FORBIDDEN"}`}}, nil, "bot: its user is not in the room", true},
		{"bot with an answer about another room", map[string]answer{"summary": {body: `{"room_id":"!b:c","membership":"join"}`}, "/state": {body: state}}, nil, "bot: its user is not in the room", true},
		{"bot removed meanwhile", map[string]answer{"summary": joined, "/state": {403, `{"errcode":"M_FORBIDDEN"}`}}, nil, `it answered 403: "{\"errcode\":\"M_FORBIDDEN\"}"`, true},
		{"admin of a room that all have left", nil, map[string]answer{"": {body: `{"room_id":"` + string(room) + `","joined_local_members":0}`}, "/state": {body: object}}, "admin API: no user of the homeserver is in the room", true},
		{"admin without a number", nil, map[string]answer{"": {body: `{"room_id":"` + string(room) + `","joined_local_members":null}`}, "/state": {body: object}}, "admin API: no user of the homeserver is in the room", true},
		{"admin of no room", nil, map[string]answer{"": notFound}, "admin API: no user of the homeserver is in the room", true},
		{"admin that breaks", nil, map[string]answer{"": {502, "syt_x is wrong"}}, `it answered 502: "[the token] is wrong"`, true},
		{"neither", map[string]answer{"summary": notFound}, map[string]answer{"": notFound}, "join\nadmin API: no user", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var states States
			if tt.bot != nil {
				states = append(states, NewBot(newAPI(t, &stub{answers: tt.bot})))
			}
			if tt.admin != nil {
				states = append(states, NewAdmin(newAPI(t, &stub{answers: tt.admin})))
			}
			body, err := states.State(context.Background(), room)
			if tt.refused {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want an error with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if got, err := io.ReadAll(body); err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
