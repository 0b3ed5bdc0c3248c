package store

import (
	"context"
	"errors"
	"time"
)

// ErrTooManyPermits says that as many permits are live as may be.
var ErrTooManyPermits = errors.New("too many permits are live")

// The ways in which a permit ends.
const (
	PermitUsed    = "used"
	PermitRevoked = "revoked"
	PermitExpired = "expired"
)

// keptPermits is how many later permits an ended one is kept for.
const keptPermits = 10_000

// Permit lets one knock of a user into a room although the policies deny it.
type Permit struct {
	// ID is set by the store. None is given twice.
	ID   int64
	Room string
	User string
	// Note is the admin's own, By who gave it.
	Note, By string
	// Given and Until are when it was given and how long it lasts; kept to the
	// microsecond.
	Given, Until time.Time
	// End says how it ended: PermitUsed, PermitRevoked, PermitExpired; "" while it
	// is live. A live one may be past Until.
	End string
	// Ended is when that was; zero while it is live.
	Ended time.Time
	// Request is the request ID of the decision that used it.
	Request string
}

// GivePermit stores a live permit and returns its ID. It fails with
// [ErrTooManyPermits] where most are live and last beyond p.Given.
func (s *Store) GivePermit(ctx context.Context, p *Permit, most int) (id int64, err error) {
	err = s.Write(ctx, func(t *Tx) error {
		if _, err := t.exec(stExpirePermits, p.Given.UnixMicro()); err != nil {
			return err
		}
		var isNew bool
		id, isNew, err = t.insert(stInsertPermit, p.Room, p.User, p.Note, p.By, p.Given.UnixMicro(), p.Until.UnixMicro(), most)
		if err == nil && !isNew {
			err = ErrTooManyPermits
		}
		if err == nil {
			_, err = t.exec(stTrimPermits, id-keptPermits)
		}
		return err
	})
	return id, err
}

// EndPermit ends a live permit, and reports whether it was one.
func (s *Store) EndPermit(ctx context.Context, id int64, how, request string, at time.Time) (was bool, err error) {
	err = s.Write(ctx, func(t *Tx) error {
		was, err = t.changed(stEndPermit, how, at.UnixMicro(), request, id)
		return err
	})
	return was, err
}

// ExpirePermits ends the live permits that lasted until now.
func (s *Store) ExpirePermits(ctx context.Context, now time.Time) error {
	return s.Write(ctx, func(t *Tx) error {
		_, err := t.exec(stExpirePermits, now.UnixMicro())
		return err
	})
}

// PermitsMark is another one whenever other permits are live than before.
type PermitsMark struct{ Count, Sum int64 }

// PermitsMark returns the mark of the permits that are live.
func (s *Store) PermitsMark(ctx context.Context) (m PermitsMark, err error) {
	// IDs only grow, so as many other ones have another sum.
	err = s.readers.QueryRowContext(ctx, "SELECT count(*), COALESCE(sum(id), 0) FROM permits WHERE ended = ''").Scan(&m.Count, &m.Sum)
	if err != nil {
		return m, s.wrap("looking for permits", err)
	}
	return m, nil
}

// LivePermits returns the permits that are live, in the order in which they were
// given.
func (s *Store) LivePermits(ctx context.Context) ([]Permit, error) {
	return s.permits(ctx, "WHERE ended = '' ORDER BY id")
}

// Permits returns the newest permits, those that ended included, newest first.
func (s *Store) Permits(ctx context.Context, limit int) ([]Permit, error) {
	return s.permits(ctx, "ORDER BY id DESC LIMIT ?", limit)
}

// Permit returns one permit; false if there is none of this ID.
func (s *Store) Permit(ctx context.Context, id int64) (Permit, bool, error) {
	list, err := s.permits(ctx, "WHERE id = ?", id)
	if err != nil || len(list) == 0 {
		return Permit{}, false, err
	}
	return list[0], true, nil
}

func (s *Store) permits(ctx context.Context, which string, args ...any) ([]Permit, error) {
	rows, err := s.readers.QueryContext(ctx, `SELECT id, room_id, user_id, note, given_by, given_at, until_at, ended, ended_at, request_id
		FROM permits `+which, args...)
	if err != nil {
		return nil, s.wrap("reading the permits", err)
	}
	defer rows.Close()
	var list []Permit
	for rows.Next() {
		var p Permit
		var given, until, ended int64
		if err := rows.Scan(&p.ID, &p.Room, &p.User, &p.Note, &p.By, &given, &until, &p.End, &ended, &p.Request); err != nil {
			return nil, s.wrap("reading the permits", err)
		}
		p.Given, p.Until = time.UnixMicro(given).UTC(), time.UnixMicro(until).UTC()
		if p.End != "" {
			p.Ended = time.UnixMicro(ended).UTC()
		}
		list = append(list, p)
	}
	if err := rows.Err(); err != nil {
		return nil, s.wrap("reading the permits", err)
	}
	return list, nil
}
