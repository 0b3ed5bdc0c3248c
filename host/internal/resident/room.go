package resident

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/store"
)

const (
	// recheck is how long a snapshot is taken for the store's, which another
	// process may write to.
	recheck = time.Second
	// maxAttempts is how often a write is tried that others came before.
	maxAttempts = 8
	// memberReadTimeout bounds the read of one member event.
	memberReadTimeout = 5 * time.Second

	knocksCached = 256  // member events of remote users, for each room
	basesCached  = 4096 // bases of events, for each room
)

// room is one room in memory.
type room struct {
	l       *Local
	id      matrix.RoomID
	current atomic.Pointer[snapshot]
	checked atomic.Int64 // when current was last compared with the store, Unix nanoseconds

	// members holds current member events that are not own ones; nil: none.
	members cache[matrix.UserID, *pdu.Event]
	// bases holds the bases of events of this room.
	bases cache[matrix.EventID, int64]

	mu sync.Mutex
	// pending is current with everything that is queued; nil: read the room
	// again first. Guarded by mu.
	pending *snapshot
	// epoch counts how often pending was dropped. Guarded by mu.
	epoch int64
	// queued holds the member events that are queued and not yet committed, the
	// latest of each user. Guarded by mu.
	queued map[matrix.UserID]*pdu.Event
	// accepting has one call for each event on its way in. Guarded by mu.
	accepting map[matrix.EventID]*call
}

func newRoom(l *Local, id matrix.RoomID) *room {
	return &room{
		l: l, id: id,
		members:   cache[matrix.UserID, *pdu.Event]{size: knocksCached},
		bases:     cache[matrix.EventID, int64]{size: basesCached},
		queued:    make(map[matrix.UserID]*pdu.Event),
		accepting: make(map[matrix.EventID]*call),
	}
}

// errNoRoom says that the store has no such room.
var errNoRoom = errors.New("no such room")

// load reads the room from the store where there is no pending state.
func (r *room) load(ctx context.Context) error {
	for range maxAttempts {
		r.mu.Lock()
		epoch := r.epoch
		there := r.pending != nil
		r.mu.Unlock()
		if there {
			return nil
		}
		data, err := r.l.Store.LoadRoom(ctx, r.id, maxExtremities)
		if err != nil {
			return err
		}
		if data == nil {
			return errNoRoom
		}
		s, err := r.snapshotOf(data)
		if err != nil {
			return err
		}
		if r.install(s, epoch) {
			return nil
		}
	}
	return fmt.Errorf("room %s: read %d times and written to each time", r.id, maxAttempts)
}

// install makes what was read the pending state, unless that was dropped again
// in between.
func (r *room) install(s *snapshot, epoch int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch != epoch {
		return false
	}
	if r.pending != nil {
		return true // another goroutine was quicker
	}
	r.pending = s
	if now := r.current.Load(); now == nil || s.Position >= now.Position {
		r.current.Store(s)
		r.checked.Store(s.At.UnixNano())
		r.members.reset()
	}
	return true
}

// drop forgets the pending state of an epoch.
func (r *room) drop(epoch int64) {
	if r.epoch == epoch {
		r.pending = nil
		r.epoch++
		clear(r.queued)
	}
}

// snapshotOf parses what the store has of a room.
func (r *room) snapshotOf(data *store.RoomData) (*snapshot, error) {
	s := &snapshot{head: data.HeadEvent, extremities: data.Extremities, complete: !data.Truncated}
	s.ID, s.VersionID, s.Position, s.At = data.ID, data.Version, data.Head, r.l.Now()
	s.Member = func(matrix.UserID) *pdu.Event { return nil }
	s.Of = func(matrix.ServerName) knock.Counts { return knock.Counts{} }
	version, ok := matrix.LookupRoomVersion(data.Version)
	if !ok {
		return s, nil
	}
	if len(s.extremities) == 0 {
		return nil, fmt.Errorf("room %s: the store has no forward extremity of it", r.id)
	}
	s.Version = version
	events := make(map[place]placed, len(data.OwnState))
	for _, row := range data.OwnState {
		e, err := pdu.ParseStored(row.JSON, version)
		if err != nil {
			return nil, fmt.Errorf("stored event %s: %w", row.ID, err)
		}
		events[place{row.Type, row.StateKey}] = placed{e, row.Seq}
	}
	// Our own events are a chain, and the first extremity follows all of it.
	s.own = newOwnState(events, s.extremities[0].Base, r.l.Answer)
	s.setOwn(s.own, r)
	s.waiting = newTally(data.Waiting)
	for at, e := range events {
		if at.typ == typeMember {
			s.waiting = s.waiting.moved(e.Event, "")
		}
	}
	s.count()
	return s, nil
}

// setOwn sets the state and what is made from it.
func (s *snapshot) setOwn(own *ownState, r *room) {
	s.own = own
	own.fill(&s.Room)
	version := s.Version
	s.Member = func(user matrix.UserID) *pdu.Event { return r.member(own, version, user) }
}

// member returns a user's current member event, or nil. If the store cannot be
// read the answer is what own has: the rules allow a knock on both alike.
func (r *room) member(own *ownState, version *matrix.RoomVersion, user matrix.UserID) *pdu.Event {
	ctx, cancel := context.WithTimeout(context.Background(), memberReadTimeout)
	defer cancel()
	e, err := r.readMember(ctx, own, version, user)
	if err != nil {
		r.l.Log.Error("a member event cannot be read", "room", r.id, "user", user, "err", err)
		return own.get(typeMember, string(user))
	}
	return e
}

// readMember returns a user's current member event, or nil.
//
// A join, invite or ban that own has is final: what follows it takes it out of
// own. Anything else may have been followed by what the user did themself, which
// the store knows.
func (r *room) readMember(ctx context.Context, own *ownState, version *matrix.RoomVersion, user matrix.UserID) (*pdu.Event, error) {
	e := own.get(typeMember, string(user))
	if e != nil && e.Membership() != pdu.Leave {
		return e, nil
	}
	cached, ok, token := r.members.get(user)
	if ok {
		return cached, nil
	}
	row, found, err := r.l.Store.StateEvent(ctx, r.id, typeMember, string(user))
	if err != nil {
		return nil, err
	}
	if found {
		if e, err = pdu.ParseStored(row.JSON, version); err != nil {
			return nil, fmt.Errorf("stored event %s: %w", row.ID, err)
		}
	}
	r.members.add(user, e, token)
	return e, nil
}

// pendingMember returns a user's member event in the pending state, or nil. It
// reads nothing: known is false unless readMember has just been asked. The
// caller holds mu.
func (r *room) pendingMember(user matrix.UserID) (e *pdu.Event, known bool) {
	if e, ok := r.queued[user]; ok {
		return e, true
	}
	if e := r.pending.own.get(typeMember, string(user)); e != nil && e.Membership() != pdu.Leave {
		return e, true
	}
	e, known, _ = r.members.get(user)
	return e, known
}

// refresh compares the room with the store, once in a while.
func (r *room) refresh(ctx context.Context) error {
	now := r.l.Now()
	last := r.checked.Load()
	since := time.Duration(now.UnixNano() - last) // below zero: the clock was set back
	if since >= 0 && since < recheck || !r.checked.CompareAndSwap(last, now.UnixNano()) {
		return nil
	}
	err := r.compare(ctx, now)
	if err != nil {
		r.checked.CompareAndSwap(now.UnixNano(), last)
	}
	return err
}

// compare reads the room again if the store's is another.
func (r *room) compare(ctx context.Context, now time.Time) error {
	row, ok, err := r.l.Store.Room(ctx, r.id)
	if err != nil {
		return err
	}
	if !ok {
		return errNoRoom
	}
	r.mu.Lock()
	if r.pending != nil && row.Head > r.pending.Position {
		r.drop(r.epoch)
	}
	there := r.pending != nil
	r.mu.Unlock()
	if !there {
		return r.load(ctx)
	}
	s := r.current.Load()
	r.current.CompareAndSwap(s, s.at(now))
	return nil
}

// committed publishes what a write made of the room, or drops the pending
// state if it failed. The store's writer calls it, in order.
func (r *room) committed(next *snapshot, epoch int64, e *pdu.Event, base int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.drop(epoch)
		return
	}
	if e.Type() == typeMember {
		key, _ := e.StateKey()
		user := matrix.UserID(key)
		r.members.set(user, e)
		if r.queued[user] == e {
			delete(r.queued, user)
		}
	}
	r.bases.set(e.ID(), base)
	if next.Position > r.current.Load().Position {
		r.current.Store(next)
	}
}

// append queues an event that the caller made on top of the pending state; was is
// the membership that a member event ends. The caller holds mu and a slot.
func (r *room) append(slot store.Slot, e *pdu.Event, own bool, base int64, state *ownState, was string, done func(error)) *store.Ticket {
	before, epoch := r.pending, r.epoch
	next := before.after(e, base, state, was)
	if state != before.own {
		next.setOwn(state, r)
	}
	r.pending = next
	key, _ := e.StateKey()
	if e.Type() == typeMember {
		r.queued[matrix.UserID(key)] = e
	}
	a := &store.Append{
		Event: store.Event{
			ID: e.ID(), Room: r.id, Seq: next.Position, Type: e.Type(), StateKey: key,
			Sender: e.Sender(), Depth: e.Depth(), Own: own, Base: base, JSON: e.JSON(),
		},
		After:   before.head,
		Prev:    before.consumed(e),
		Current: true,

		Membership: e.Membership(),
	}
	return slot.Submit(
		func(tx *store.Tx) error { return tx.Append(a) },
		func(err error) {
			r.committed(next, epoch, e, base, err)
			done(err)
		})
}

// summary describes the room in a list.
func (s *snapshot) summary() Summary {
	return Summary{
		ID: s.ID, VersionID: s.VersionID, Joined: s.Joined,
		Alias: text(s.Alias, "alias"), Name: text(s.Name, "name"), JoinRule: text(s.JoinRules, "join_rule"),
	}
}

// text returns a string of an event's content, or "".
func text(e *pdu.Event, key string) string {
	if e == nil {
		return ""
	}
	s, _ := e.Content().Get(key).Text()
	return s
}
