package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Bot tells of rooms what the client-server API says to one user. Of a room that
// this user has joined it is all there is, of others the summary, which anybody
// can see who can knock.
//
// The summary is asked for first: it says whether the user is joined, without
// which /state would fail or, once they have left, be that of back then; and how
// many members there are, without which a state of tens of thousands of events
// would be made and sent to be thrown away. Of rooms with more than maxMembers it
// is the ACL alone that is asked for beside it.
//
// Spec: Client-Server API, "Room previews" (v1.15) and "Getting events for a room".
type Bot struct{ API }

// NewBot returns the source.
func NewBot(api API) *Bot { return &Bot{api} }

// Name returns what the log calls it.
func (b *Bot) Name() string { return "bot" }

// summary is the part of a room summary that is told.
type summary struct {
	RoomID     string  `json:"room_id"`
	Version    string  `json:"room_version"`
	Name       text    `json:"name"`
	Alias      text    `json:"canonical_alias"`
	Topic      text    `json:"topic"`
	JoinRule   text    `json:"join_rule"`
	Encryption *string `json:"encryption"`
	Joined     *int64  `json:"num_joined_members"`
	// Membership is that of the user whose token it is.
	Membership string `json:"membership"`
}

// Ask returns what is said of a room, and nil of one that the user cannot see.
func (b *Bot) Ask(ctx context.Context, room matrix.RoomID) (*Told, error) {
	id := url.PathEscape(string(room))
	var s summary
	// Synapse says M_UNKNOWN of a room that it is not in and M_NOT_FOUND of one that
	// it does not show.
	found, err := b.get(ctx, "/_matrix/client/v1/room_summary/"+id, maxSummary, &s, "M_NOT_FOUND", "M_FORBIDDEN", "M_UNKNOWN")
	if err != nil || !found {
		return nil, err
	}
	if s.RoomID != string(room) || s.Joined == nil {
		return nil, errors.New("what it answered is no summary of the room")
	}
	t := &Told{Room: knock.Outline{
		VersionID: s.Version, Name: string(s.Name), Alias: string(s.Alias), Topic: string(s.Topic), JoinRule: string(s.JoinRule),
		Encrypted: s.Encryption != nil, Counts: knock.Counts{Joined: *s.Joined},
	}}
	if s.Membership != "join" {
		return t, nil
	}
	if t.Room.Joined <= maxMembers {
		var events []event
		// Who was removed meanwhile is told so; the summary still holds.
		found, err := b.get(ctx, "/_matrix/client/v3/rooms/"+id+"/state", maxState, &events, "M_FORBIDDEN")
		if err == nil && found {
			t.state(events)
			return t, nil
		}
		if !errors.Is(err, errTooLong) {
			return t, err
		}
	}
	var content json.RawMessage
	switch found, err := b.get(ctx, "/_matrix/client/v3/rooms/"+id+"/state/m.room.server_acl", maxACL, &content, "M_NOT_FOUND"); {
	case errors.Is(err, errTooLong):
	case err != nil:
		return t, err
	case found:
		t.acl(content)
	default:
		t.Room.ACLTold = true
	}
	return t, nil
}
