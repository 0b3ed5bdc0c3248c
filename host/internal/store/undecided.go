package store

import (
	"context"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Bounds of what is kept for the application service. Of what is over them the
// oldest goes.
const (
	maxHanded       = 100_000
	maxUndecided    = 10_000
	maxTransactions = 1_000
)

// Undecided is a knock that came into a room without a decision of ours.
type Undecided struct {
	// ID is set by the store; later ones have higher ones.
	ID    int64
	Event string
	Room  string
	User  string
	// Kind says by which way, in a word of the caller's.
	Kind string
	// At is what the event says, and SeenAt when it was pushed to this server;
	// both are kept to the microsecond.
	At, SeenAt time.Time
}

// StartAppservice notes that this server is an application service from now on,
// unless it was one before, and returns since when it is.
func (s *Store) StartAppservice(ctx context.Context, now time.Time) (since time.Time, err error) {
	err = s.Write(ctx, func(t *Tx) error {
		_, err := t.exec(stStartAppservice, now.UnixMicro())
		return err
	})
	if err != nil {
		return since, err
	}
	var us int64
	err = s.readers.QueryRowContext(ctx, "SELECT since FROM appservice").Scan(&us)
	if err != nil {
		return since, s.wrap("reading since when this is an application service", err)
	}
	return time.UnixMicro(us).UTC(), nil
}

// StopAppservice notes that this server is no application service.
func (s *Store) StopAppservice(ctx context.Context) error {
	return s.Write(ctx, func(t *Tx) error {
		_, err := t.exec(stStopAppservice)
		return err
	})
}

// HandedOn notes, durably, that a knock is about to be handed on.
func (s *Store) HandedOn(ctx context.Context, room matrix.RoomID, user matrix.UserID, event matrix.EventID) error {
	return s.Write(ctx, func(t *Tx) error {
		id, isNew, err := t.insert(stInsertHanded, string(event), string(room), string(user))
		if err == nil && isNew {
			_, err = t.exec(stTrimHanded, id-maxHanded)
		}
		return err
	})
}

// TakeTransaction notes a transaction of the homeserver and keeps those of the
// knocks in it that were not handed on. It returns those that are new. Of a
// transaction that was taken before, none is.
func (s *Store) TakeTransaction(ctx context.Context, transaction string, knocks []Undecided) (fresh []Undecided, err error) {
	err = s.Write(ctx, func(t *Tx) error {
		id, isNew, err := t.insert(stInsertTransaction, transaction)
		if err != nil || !isNew {
			return err
		}
		if _, err := t.exec(stTrimTransactions, id-maxTransactions); err != nil {
			return err
		}
		for _, k := range knocks {
			k.ID, isNew, err = t.insert(stInsertUndecided, k.Event, k.Room, k.User, k.Kind, k.At.UnixMicro(), k.SeenAt.UnixMicro(),
				k.Event, k.Room, k.User)
			if err != nil {
				return err
			}
			if !isNew {
				continue
			}
			fresh = append(fresh, k)
			if _, err := t.exec(stCountUndecided, k.Kind); err != nil {
				return err
			}
			if _, err := t.exec(stTrimUndecided, k.ID-maxUndecided); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return fresh, nil
}

// insert runs a statement that inserts one row or none.
func (t *Tx) insert(st writeStmt, args ...any) (id int64, isNew bool, err error) {
	result, err := t.exec(st, args...)
	if err != nil {
		return 0, false, err
	}
	n, err := result.RowsAffected()
	if err != nil || n == 0 {
		return 0, false, err
	}
	id, err = result.LastInsertId()
	return id, true, err
}

// UndecidedFilter narrows a list of undecided knocks. An empty field takes all.
type UndecidedFilter struct {
	Room string
	// Origin is the server of the user who knocked.
	Origin string
	// Limit is the most that are returned. Zero: 50.
	Limit int
}

// UndecidedKnocks returns the newest knocks without a decision that the filter
// takes, newest first.
func (s *Store) UndecidedKnocks(ctx context.Context, f UndecidedFilter) ([]Undecided, error) {
	var where []string
	var args []any
	if f.Room != "" {
		where, args = append(where, "room_id = ?"), append(args, f.Room)
	}
	if f.Origin != "" {
		// A user ID's first ':' ends the localpart.
		where, args = append(where, "substr(user_id, instr(user_id, ':') + 1) = ?"), append(args, f.Origin)
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	query := "SELECT id, event_id, room_id, user_id, kind, at, seen_at FROM undecided_knocks"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	rows, err := s.readers.QueryContext(ctx, query+" ORDER BY id DESC LIMIT ?", append(args, f.Limit)...)
	if err != nil {
		return nil, s.wrap("reading the knocks without a decision", err)
	}
	defer rows.Close()
	var list []Undecided
	for rows.Next() {
		var k Undecided
		var at, seen int64
		if err := rows.Scan(&k.ID, &k.Event, &k.Room, &k.User, &k.Kind, &at, &seen); err != nil {
			return nil, s.wrap("reading the knocks without a decision", err)
		}
		k.At, k.SeenAt = time.UnixMicro(at).UTC(), time.UnixMicro(seen).UTC()
		list = append(list, k)
	}
	if err := rows.Err(); err != nil {
		return nil, s.wrap("reading the knocks without a decision", err)
	}
	return list, nil
}

// UndecidedTotals returns how many knocks without a decision there were, by kind,
// those that are kept no more included.
func (s *Store) UndecidedTotals(ctx context.Context) (map[string]int64, error) {
	rows, err := s.readers.QueryContext(ctx, "SELECT kind, total FROM undecided_totals")
	if err != nil {
		return nil, s.wrap("counting the knocks without a decision", err)
	}
	defer rows.Close()
	totals := map[string]int64{}
	for rows.Next() {
		var kind string
		var total int64
		if err := rows.Scan(&kind, &total); err != nil {
			return nil, s.wrap("counting the knocks without a decision", err)
		}
		totals[kind] = total
	}
	if err := rows.Err(); err != nil {
		return nil, s.wrap("counting the knocks without a decision", err)
	}
	return totals, nil
}
