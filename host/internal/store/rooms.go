package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Room is a room's row.
type Room struct {
	ID      matrix.RoomID
	Version string
	// Head is the Seq of the room's latest event; 0 if it has none.
	Head int64
	// HeadEvent is that event; empty if there is none.
	HeadEvent matrix.EventID
}

// Event is an event's row. Every event here is a state event.
type Event struct {
	ID   matrix.EventID
	Room matrix.RoomID
	// Seq counts the events of the room in the order of their storing, from 1.
	Seq      int64
	Type     string
	StateKey string
	Sender   matrix.UserID
	Depth    int64
	// Own: this server made the event.
	Own bool
	// Base is the highest Seq of an own event among this event and its
	// ancestors.
	Base int64
	// JSON is the event as it was signed.
	JSON []byte
}

// Extremity is an event of a room that no other event follows.
type Extremity struct {
	ID               matrix.EventID
	Base, Seq, Depth int64
}

// RoomData is a room as of one moment.
type RoomData struct {
	Room
	// OwnState is the current state that this server's own events made.
	// Members that other servers' users made are not in it; see
	// [Store.StateEvent].
	OwnState []Event
	// Extremities are ordered by Base and then Seq, highest first. There are
	// more in the store if Truncated is set.
	Extremities []Extremity
	Truncated   bool
	// Waiting counts the users of other servers who have knocked and were not
	// answered, by server; nil if there are none.
	Waiting map[matrix.ServerName]int64
}

// readStmt names a prepared statement of the readers.
type readStmt int

const (
	rdRoom readStmt = iota
	rdRooms
	rdOwnState
	rdExtremities
	rdEvent
	rdHas
	rdState
	rdOwnAt
	rdRemoteMembers
	rdWaiting
	rdKeys
	readCount
)

const eventColumns = "e.event_id, e.room_id, e.seq, e.type, e.state_key, e.sender, e.depth, e.own, e.base, e.json"

var readSQL = [readCount]string{
	rdRoom:          "SELECT room_id, version, head, head_event FROM rooms WHERE room_id = ?",
	rdRooms:         "SELECT room_id, version, head, head_event FROM rooms ORDER BY created_at, room_id",
	rdOwnState:      "SELECT " + eventColumns + " FROM room_state s JOIN events e ON e.event_id = s.event_id WHERE s.room_id = ? AND s.own = 1",
	rdExtremities:   "SELECT event_id, base, seq, depth FROM extremities WHERE room_id = ? ORDER BY base DESC, seq DESC LIMIT ?",
	rdEvent:         "SELECT " + eventColumns + " FROM events e WHERE e.event_id = ?",
	rdHas:           "SELECT 1 FROM events WHERE event_id = ? AND room_id = ?",
	rdState:         "SELECT " + eventColumns + " FROM room_state s JOIN events e ON e.event_id = s.event_id WHERE s.room_id = ? AND s.type = ? AND s.state_key = ?",
	rdOwnAt:         "SELECT " + eventColumns + " FROM events e WHERE e.room_id = ? AND e.type = ? AND e.state_key = ? AND e.seq <= ? AND e.own = 1 ORDER BY e.seq DESC LIMIT 1",
	rdRemoteMembers: "SELECT " + eventColumns + " FROM room_state s JOIN events e ON e.event_id = s.event_id WHERE s.room_id = ? AND s.type = 'm.room.member' AND s.own = 0 AND s.position > ? ORDER BY s.position LIMIT ?",
	rdWaiting:       "SELECT state_key FROM room_state WHERE room_id = ? AND type = 'm.room.member' AND own = 0 AND membership = 'knock'",
	rdKeys:          "SELECT body, fetched_at FROM server_keys WHERE server = ?",
}

// Room returns a room's row, and false if there is none.
func (s *Store) Room(ctx context.Context, id matrix.RoomID) (Room, bool, error) {
	var r Room
	err := s.reads[rdRoom].QueryRowContext(ctx, string(id)).Scan(r.columns()...)
	return r, err == nil, s.found("reading a room", err)
}

// Rooms returns all rooms, oldest first.
func (s *Store) Rooms(ctx context.Context) ([]Room, error) {
	rows, err := s.reads[rdRooms].QueryContext(ctx)
	if err != nil {
		return nil, s.wrap("reading the rooms", err)
	}
	list, err := collect(rows, (*Room).columns)
	if err != nil {
		return nil, s.wrap("reading the rooms", err)
	}
	return list, nil
}

// LoadRoom returns a room with at most limit of its extremities, all as of one
// moment, and nil if there is no such room.
func (s *Store) LoadRoom(ctx context.Context, id matrix.RoomID, limit int) (*RoomData, error) {
	data, err := s.loadRoom(ctx, id, limit)
	if err != nil {
		return nil, s.wrap("reading a room", err)
	}
	return data, nil
}

func (s *Store) loadRoom(ctx context.Context, id matrix.RoomID, limit int) (_ *RoomData, err error) {
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	data := new(RoomData)
	switch err := tx.StmtContext(ctx, s.reads[rdRoom]).QueryRowContext(ctx, string(id)).Scan(data.Room.columns()...); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	}
	rows, err := tx.StmtContext(ctx, s.reads[rdOwnState]).QueryContext(ctx, string(id))
	if err != nil {
		return nil, err
	}
	if data.OwnState, err = collect(rows, (*Event).columns); err != nil {
		return nil, err
	}
	if rows, err = tx.StmtContext(ctx, s.reads[rdExtremities]).QueryContext(ctx, string(id), limit+1); err != nil {
		return nil, err
	}
	data.Extremities, err = collect(rows, func(x *Extremity) []any { return []any{&x.ID, &x.Base, &x.Seq, &x.Depth} })
	if err != nil {
		return nil, err
	}
	if len(data.Extremities) > limit {
		data.Extremities, data.Truncated = data.Extremities[:limit], true
	}
	if rows, err = tx.StmtContext(ctx, s.reads[rdWaiting]).QueryContext(ctx, string(id)); err != nil {
		return nil, err
	}
	data.Waiting, err = countByServer(rows)
	return data, err
}

// countByServer counts user IDs by their server, and closes the rows.
func countByServer(rows *sql.Rows) (map[matrix.ServerName]int64, error) {
	defer rows.Close()
	var by map[matrix.ServerName]int64
	for rows.Next() {
		var user matrix.UserID
		if err := rows.Scan(&user); err != nil {
			return nil, err
		}
		if by == nil {
			by = make(map[matrix.ServerName]int64)
		}
		by[user.Server()]++
	}
	return by, rows.Err()
}

// Event returns an event's row, and false if it is not stored.
func (s *Store) Event(ctx context.Context, id matrix.EventID) (Event, bool, error) {
	return s.event(ctx, rdEvent, string(id))
}

// HasEvent reports whether an event is stored in a room.
func (s *Store) HasEvent(ctx context.Context, room matrix.RoomID, id matrix.EventID) (bool, error) {
	var one int
	err := s.reads[rdHas].QueryRowContext(ctx, string(id), string(room)).Scan(&one)
	return err == nil, s.found("looking for an event", err)
}

// StateEvent returns the event that is the current state of a room for a type
// and state key, and false if there is none.
func (s *Store) StateEvent(ctx context.Context, room matrix.RoomID, typ, stateKey string) (Event, bool, error) {
	return s.event(ctx, rdState, string(room), typ, stateKey)
}

// OwnStateAt returns the latest own event for a type and state key with at
// most this Seq, and false if there is none.
func (s *Store) OwnStateAt(ctx context.Context, room matrix.RoomID, typ, stateKey string, seq int64) (Event, bool, error) {
	return s.event(ctx, rdOwnAt, string(room), typ, stateKey, seq)
}

// RemoteMembers returns the current member events of a room that other servers'
// users made, in the order of Seq from after on, at most limit of them.
func (s *Store) RemoteMembers(ctx context.Context, room matrix.RoomID, after int64, limit int) ([]Event, error) {
	rows, err := s.reads[rdRemoteMembers].QueryContext(ctx, string(room), after, limit)
	if err != nil {
		return nil, s.wrap("reading the members", err)
	}
	list, err := collect(rows, (*Event).columns)
	if err != nil {
		return nil, s.wrap("reading the members", err)
	}
	return list, nil
}

func (s *Store) event(ctx context.Context, st readStmt, args ...any) (Event, bool, error) {
	var e Event
	err := s.reads[st].QueryRowContext(ctx, args...).Scan(e.columns()...)
	return e, err == nil, s.found("reading an event", err)
}

func (r *Room) columns() []any { return []any{&r.ID, &r.Version, &r.Head, &r.HeadEvent} }

func (e *Event) columns() []any {
	return []any{&e.ID, &e.Room, &e.Seq, &e.Type, &e.StateKey, &e.Sender, &e.Depth, &e.Own, &e.Base, &e.JSON}
}

// found returns err unless it only says that there is no row.
func (s *Store) found(doing string, err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return s.wrap(doing, err)
}

// collect scans all rows and closes them.
func collect[T any](rows *sql.Rows, columns func(*T) []any) ([]T, error) {
	defer rows.Close()
	var list []T
	for rows.Next() {
		var v T
		if err := rows.Scan(columns(&v)...); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}
