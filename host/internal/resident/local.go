package resident

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/store"
)

// Format is the shape of the events in the answer to a send_knock.
type Format string

// The formats. The zero value is FormatAuto.
const (
	// FormatAuto is FormatStripped, but for the create event of a room of
	// version 12, which is a whole PDU: with it the knocker can check that the
	// room ID is its hash. Synapse 1.160 answers so.
	FormatAuto Format = "auto"
	// FormatStripped is objects of content, sender, state_key and type.
	FormatStripped Format = "stripped"
	// FormatPDU is whole PDUs, as the specification has it since v1.16.
	FormatPDU Format = "pdu"
)

// Options is what the rooms are made of.
type Options struct {
	// Store keeps them. Required.
	Store *store.Store
	// Server is our own name. Required.
	Server matrix.ServerName
	// Signer returns what signs the events of our own users. It is asked for
	// each event once the event has its time, since keys are rotated. Required.
	Signer func() pdu.Signer
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Log is for what goes wrong inside. Nil: nothing is logged.
	Log *slog.Logger
	// Answer is the shape of the state in the answer to a send_knock. Empty:
	// FormatAuto.
	Answer Format
}

// Local is the rooms of this server. Its methods are safe for concurrent use.
type Local struct {
	Options

	mu    sync.RWMutex
	rooms map[matrix.RoomID]*room // guarded by mu
}

// Summary is one room in a list.
type Summary struct {
	ID        matrix.RoomID
	VersionID string
	// Alias is the canonical alias, such as "#lobby:example.org"; may be empty.
	Alias string
	// Name is the room's name; may be empty.
	Name string
	// JoinRule is the current join rule; empty if the room has none.
	JoinRule string
	// Joined counts the joined members.
	Joined int64
}

// NewLocal returns the rooms in a store. It reads none of them: each is loaded
// when it is first asked for.
func NewLocal(o Options) (*Local, error) {
	switch {
	case o.Store == nil || o.Signer == nil:
		return nil, errors.New("resident rooms need a store and a signing key")
	case o.Server == "":
		return nil, errors.New("resident rooms need a server name")
	}
	switch o.Answer {
	case "":
		o.Answer = FormatAuto
	case FormatAuto, FormatStripped, FormatPDU:
	default:
		return nil, errors.New("the format of the knock state must be auto, stripped or pdu")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Local{Options: o, rooms: make(map[matrix.RoomID]*room)}, nil
}

// Room returns a room as it is now. It fails with 404 M_NOT_FOUND if there is
// none, or if none of our users is joined to it. A room of a version that is
// not implemented has a nil Version, and no state.
func (l *Local) Room(ctx context.Context, id matrix.RoomID) (*knock.Room, error) {
	r, err := l.room(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := r.refresh(ctx); err != nil {
		return nil, notFound(id, err)
	}
	s := r.current.Load()
	if s.Version != nil && s.Joined == 0 {
		return nil, notFound(id, errNoRoom)
	}
	return &s.Room, nil
}

// Rooms lists the rooms, oldest first, also those that nobody is joined to.
func (l *Local) Rooms(ctx context.Context) ([]Summary, error) {
	rows, err := l.Store.Rooms(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Summary, 0, len(rows))
	for _, row := range rows {
		r, err := l.room(ctx, row.ID)
		if err != nil {
			return nil, err
		}
		if err := r.refresh(ctx); err != nil {
			return nil, err
		}
		list = append(list, r.current.Load().summary())
	}
	return list, nil
}

// room returns a loaded room. What the store does not have is not remembered:
// it may be made at any time, and anybody can ask for anything.
func (l *Local) room(ctx context.Context, id matrix.RoomID) (*room, error) {
	l.mu.RLock()
	r := l.rooms[id]
	l.mu.RUnlock()
	if r != nil {
		return r, nil
	}
	r = newRoom(l, id)
	if err := r.load(ctx); err != nil {
		return nil, notFound(id, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if first := l.rooms[id]; first != nil {
		return first, nil
	}
	l.rooms[id] = r
	return r, nil
}

// notFound returns the wire error for errNoRoom, and any other as it is.
func notFound(id matrix.RoomID, err error) error {
	if errors.Is(err, errNoRoom) {
		return matrix.NotFound("This server is not in the room %s", id)
	}
	return err
}
