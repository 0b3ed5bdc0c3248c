package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// StateSource gives the whole state of rooms of the homeserver's.
type StateSource interface {
	// Name is what an error calls it.
	Name() string
	// State returns the state of a room as JSON, with the events in a list or in one
	// that an object has as its "state". It fails if the source cannot say what it is
	// now. The caller closes what is returned.
	State(ctx context.Context, room matrix.RoomID) (io.ReadCloser, error)
}

// States gives the state of rooms from the first of some sources that can.
type States []StateSource

// State returns the state of a room as JSON, as [StateSource] has it. It fails, with
// the errors of all sources, if none has it.
func (s States) State(ctx context.Context, room matrix.RoomID) (io.ReadCloser, error) {
	var errs []error
	for _, source := range s {
		state, err := source.State(ctx, room)
		if err == nil {
			return state, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", source.Name(), err))
	}
	return nil, errors.Join(errs...)
}

// State returns the state of a room that the user has joined. To one who has left,
// the API would give what it was back then.
func (b *Bot) State(ctx context.Context, room matrix.RoomID) (io.ReadCloser, error) {
	id := url.PathEscape(string(room))
	var s summary
	found, err := b.get(ctx, "/_matrix/client/v1/room_summary/"+id, maxSummary, &s, "M_NOT_FOUND", "M_FORBIDDEN", "M_UNKNOWN")
	if err != nil {
		return nil, err
	}
	if !found || s.RoomID != string(room) || s.Membership != "join" {
		return nil, errors.New("its user is not in the room; invite it there and have it join")
	}
	return b.open(ctx, "/_matrix/client/v3/rooms/"+id+"/state")
}

// State returns the state of a room that a user of the server has joined. Of others
// Synapse has what it was when the last one left.
func (a *Admin) State(ctx context.Context, room matrix.RoomID) (io.ReadCloser, error) {
	path := "/_synapse/admin/v1/rooms/" + url.PathEscape(string(room))
	var s struct {
		RoomID string   `json:"room_id"`
		Joined *integer `json:"joined_local_members"`
	}
	found, err := a.get(ctx, path, maxSummary, &s, "M_NOT_FOUND")
	if err != nil {
		return nil, err
	}
	if !found || s.RoomID != string(room) || s.Joined == nil || s.Joined.value < 1 {
		return nil, errors.New("no user of the homeserver is in the room; have one join")
	}
	return a.open(ctx, path+"/state")
}
