package upstream

import (
	"context"
	"errors"
	"net/url"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Bounds of what is read of one room.
const (
	maxMembers = 1000 // joined, of a room whose member events are read
	maxSummary = 256 << 10
	maxACL     = 256 << 10 // with an event's other fields, and escapes
	maxState   = 2 << 20
)

// Admin tells of rooms what Synapse's admin API says, of any that Synapse has.
//
// It is up to three requests for a room: the summary, the server ACL and, where
// the room has at most maxMembers joined members, the member events. The admin API
// has no request for the membership of one user who is not of the server, and
// gives the state of one type or all of it.
type Admin struct{ API }

// NewAdmin returns the source.
func NewAdmin(api API) *Admin { return &Admin{api} }

// Name returns what the log calls it.
func (a *Admin) Name() string { return "admin API" }

// adminSummary is the part of /rooms/{id} that is told. Synapse has null for what
// the room does not have.
type adminSummary struct {
	RoomID     string  `json:"room_id"`
	Version    string  `json:"version"`
	Name       text    `json:"name"`
	Alias      text    `json:"canonical_alias"`
	Topic      text    `json:"topic"`
	JoinRules  text    `json:"join_rules"`
	Encryption *string `json:"encryption"`
	Joined     *int64  `json:"joined_members"`
}

// Ask returns what is said of a room, and nil of one that is not there.
func (a *Admin) Ask(ctx context.Context, room matrix.RoomID) (*Told, error) {
	path := "/_synapse/admin/v1/rooms/" + url.PathEscape(string(room))
	var s adminSummary
	found, err := a.get(ctx, path, maxSummary, &s, "M_NOT_FOUND")
	if err != nil || !found {
		return nil, err
	}
	if s.RoomID != string(room) || s.Version == "" || s.Joined == nil {
		return nil, errors.New("what it answered is no summary of the room")
	}
	t := &Told{Room: knock.Outline{
		VersionID: s.Version, Name: string(s.Name), Alias: string(s.Alias), Topic: string(s.Topic), JoinRule: string(s.JoinRules),
		Encrypted: s.Encryption != nil, ACLTold: true, Counts: knock.Counts{Joined: *s.Joined},
	}}
	switch events, err := a.typed(ctx, path, "m.room.server_acl", maxACL); {
	case errors.Is(err, errTooLong):
		t.Room.ACLTold = false
	case err != nil:
		return t, err
	default:
		for _, e := range events {
			if e.Type == "m.room.server_acl" && e.StateKey == "" {
				t.acl(e.Content)
			}
		}
	}
	if t.Room.Joined > maxMembers {
		return t, nil
	}
	switch events, err := a.typed(ctx, path, "m.room.member", maxState); {
	case errors.Is(err, errTooLong): // too many have left, or were banned
	case err != nil:
		return t, err
	default:
		t.read(events)
	}
	return t, nil
}

// typed returns the state of one type.
func (a *Admin) typed(ctx context.Context, path, eventType string, most int64) ([]event, error) {
	var state struct {
		State []event `json:"state"`
	}
	found, err := a.get(ctx, path+"/state?type="+eventType, most, &state, "M_NOT_FOUND")
	if err == nil && !found {
		err = errors.New("the room has gone since its summary")
	}
	return state.State, err
}
