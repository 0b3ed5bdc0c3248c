// Package permits keeps the permits by which an admin lets single knocks in
// although the policies deny them. Each is for one knock of one user into one room.
//
// They are in the store, which other processes write too, and those that are live
// are in memory: a look costs a knock no lock and no allocation.
package permits

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/store"
)

// Bounds of permits.
const (
	// DefaultFor is how long a permit lasts where nothing is said, and MaxFor the
	// longest.
	DefaultFor = 24 * time.Hour
	MaxFor     = 30 * 24 * time.Hour
	// MaxLive is how many may be live.
	MaxLive = 10_000
	// MaxNote is the longest note, and name of who gives a permit, in bytes.
	MaxNote = 500
)

// Policy is the name under which a permit decides.
const Policy = "permit"

// Every is how often a running server looks for what other processes gave.
const Every = time.Second

// Permits are the permits of a store. They are safe for concurrent use.
type Permits struct {
	store *store.Store
	now   func() time.Time
	log   *slog.Logger

	// live are the permits that can let a knock in. The map is replaced as a whole.
	live atomic.Pointer[table]

	// again says that a use is not in the store yet.
	again atomic.Bool

	mu     sync.Mutex // held while live is replaced
	known  map[int64]*entry
	mark   store.PermitsMark // of the permits in known
	next   time.Time         // when the first of them expires; zero for none
	opened bool
}

type key struct{ room, user string }

type table map[key][]*entry

// entry is a live permit. What it is changes, and each change is one step.
type entry struct {
	permit  store.Permit
	request string // what used it; set before state is
	state   atomic.Int32
}

const (
	free int32 = iota
	claimed
	used
)

// New returns the permits of a store, none of them in memory yet. now is the clock
// that they last by.
func New(st *store.Store, now func() time.Time, log *slog.Logger) *Permits {
	p := &Permits{store: st, now: now, log: log}
	p.live.Store(&table{})
	return p
}

// Spec is a permit to give.
type Spec struct {
	User matrix.UserID
	Room matrix.RoomID
	// For is how long it lasts. Zero: DefaultFor.
	For time.Duration
	// Note is the admin's own; may be empty. By is who gives it.
	Note, By string
}

func (s *Spec) check() error {
	switch {
	case s.For < 0 || s.For > MaxFor:
		return fmt.Errorf("a permit for %s; it lasts at most %d days", s.For, MaxFor/(24*time.Hour))
	case !isLine(s.Note):
		return fmt.Errorf("the note %.40q; at most %d bytes on one line, without control characters", s.Note, MaxNote)
	case s.By == "" || !isLine(s.By):
		return fmt.Errorf("given by %.40q; a name of at most %d bytes", s.By, MaxNote)
	}
	if _, err := matrix.ParseUserID(string(s.User)); err != nil {
		return err
	}
	_, err := matrix.ParseRoomID(string(s.Room))
	return err
}

func isLine(text string) bool {
	return len(text) <= MaxNote && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// Give stores a permit, which counts at once here, and within a second in a server
// that is another process. It fails if the spec is over the bounds. A permit with an
// ID beside an error is given, and counts with the next look at the store.
func (p *Permits) Give(ctx context.Context, s Spec) (store.Permit, error) {
	if err := s.check(); err != nil {
		return store.Permit{}, err
	}
	if s.For == 0 {
		s.For = DefaultFor
	}
	given := p.now().UTC().Truncate(time.Microsecond)
	permit := store.Permit{Room: string(s.Room), User: string(s.User), Note: s.Note, By: s.By, Given: given, Until: given.Add(s.For)}
	var err error
	permit.ID, err = p.store.GivePermit(ctx, &permit, MaxLive)
	if errors.Is(err, store.ErrTooManyPermits) {
		return store.Permit{}, fmt.Errorf("%d permits are live, and no more can be: revoke some", MaxLive)
	} else if err != nil {
		return store.Permit{}, err
	}
	return permit, p.Refresh(ctx)
}

// Revoke ends a live permit. A knock that it lets in at this moment gets in. It
// fails if there is no such permit, or it has ended. A permit with an ID beside an
// error is revoked, from the next look at the store on.
func (p *Permits) Revoke(ctx context.Context, id int64) (store.Permit, error) {
	now := p.now()
	if err := p.store.ExpirePermits(ctx, now); err != nil {
		return store.Permit{}, err
	}
	was, err := p.store.EndPermit(ctx, id, store.PermitRevoked, "", now)
	if err != nil {
		return store.Permit{}, err
	}
	permit, ok, err := p.store.Permit(ctx, id)
	switch {
	case err != nil:
		return store.Permit{}, err
	case !ok:
		return store.Permit{}, fmt.Errorf("there is no permit %d", id)
	case !was:
		return store.Permit{}, fmt.Errorf("permit %d is %s since %s", id, permit.End, permit.Ended.Local().Format(time.DateTime))
	}
	return permit, p.Refresh(ctx)
}

// List returns the newest permits, newest first, those that have ended included.
func (p *Permits) List(ctx context.Context, limit int) ([]store.Permit, error) {
	if err := p.store.ExpirePermits(ctx, p.now()); err != nil {
		return nil, err
	}
	return p.store.Permits(ctx, limit)
}

// ListLive returns the permits that are live, in the order in which they were given.
func (p *Permits) ListLive(ctx context.Context) ([]store.Permit, error) {
	if err := p.store.ExpirePermits(ctx, p.now()); err != nil {
		return nil, err
	}
	return p.store.LivePermits(ctx)
}
