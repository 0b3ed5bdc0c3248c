package upstream

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Bounds of what is asked and remembered of rooms.
const (
	maxRooms       = 1000            // remembered at one time
	maxMembersKept = 200_000         // of all of them together, about 200 bytes each
	askTime        = 3 * time.Second // for all sources, each an equal share; then a room is not known
	concurrency    = 8               // rooms asked about at one time
)

// Source tells of rooms of the homeserver's.
type Source interface {
	// Name is what the log calls it.
	Name() string
	// Ask returns what there is to say of a room, and nil if that is nothing. What
	// comes beside an error is good for the room's version alone.
	Ask(ctx context.Context, room matrix.RoomID) (*Told, error)
}

// RoomsOptions says who tells of rooms. All fields are required.
type RoomsOptions struct {
	// Sources are asked in this order until one knows the room.
	Sources []Source
	// MaxAge is how long an answer, or that there was none, is good for.
	MaxAge time.Duration
	Now    func() time.Time
	Log    *slog.Logger
}

// Rooms tells policies of rooms that the homeserver keeps, and remembers for a
// while what it was told. It is safe for concurrent use.
type Rooms struct {
	RoomsOptions
	flights singleflight.Group
	slots   chan struct{}

	mu      sync.Mutex
	told    map[matrix.RoomID]*Told  // guarded by mu
	members int                      // in all of told; guarded by mu
	asking  map[matrix.RoomID]*asked // whose answer is to be remembered; guarded by mu
}

// asked is one question about a room, under way. Each is another by its address.
type asked struct{ room matrix.RoomID }

// NewRooms returns the rooms that the sources tell of.
func NewRooms(o RoomsOptions) *Rooms {
	return &Rooms{
		RoomsOptions: o, slots: make(chan struct{}, concurrency),
		told: map[matrix.RoomID]*Told{}, asking: map[matrix.RoomID]*asked{},
	}
}

// Outline returns what is known of a room, for a user who knocks on it. It does
// not fail: a room that nothing could be learnt of is not known, and the log says
// why.
func (r *Rooms) Outline(ctx context.Context, room matrix.RoomID, user matrix.UserID) *knock.Outline {
	t := r.lookup(room)
	if t == nil {
		flight := r.flights.DoChan(string(room), func() (any, error) {
			// Others may wait for this too, so it does not end with its first caller.
			return r.learn(context.WithoutCancel(ctx), room), nil
		})
		select {
		case result := <-flight:
			t = result.Val.(*Told)
		case <-ctx.Done():
			return &knock.Outline{ID: room}
		}
	}
	return t.outline(user)
}

// Forget drops what is remembered of a room, as when its state has changed. Who
// asks from now on is told what is so now; who is waiting already may be told what
// was so before.
func (r *Rooms) Forget(room matrix.RoomID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(room)
	if r.asking[room] != nil {
		delete(r.asking, room)
		r.flights.Forget(string(room))
	}
}

// lookup returns what is remembered of a room and young enough, or nil.
func (r *Rooms) lookup(room matrix.RoomID) *Told {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.told[room]; t != nil && r.young(t) {
		return t
	}
	return nil
}

func (r *Rooms) young(t *Told) bool { return r.Now().Sub(t.Room.At) < r.MaxAge }

// learn asks the sources and remembers the answer, or that there was none.
func (r *Rooms) learn(ctx context.Context, room matrix.RoomID) *Told {
	if t := r.lookup(room); t != nil {
		return t // of a flight that has just ended
	}
	q := &asked{room}
	r.mu.Lock()
	r.asking[room] = q
	r.mu.Unlock()
	at := r.Now()
	t := r.ask(ctx, room)
	t.Room.ID, t.Room.At = room, at
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asking[room] == q { // not forgotten since
		delete(r.asking, room)
		r.remember(t)
	}
	return t
}

// ask asks one source after the other. What none knows is not known.
func (r *Rooms) ask(ctx context.Context, room matrix.RoomID) *Told {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		r.Log.WarnContext(ctx, "nothing is known of a room: too many are asked about at one time", "room", string(room))
		return &Told{}
	}
	none := &Told{}
	for _, s := range r.Sources {
		ctx, cancel := context.WithTimeout(ctx, askTime/time.Duration(len(r.Sources)))
		t, err := s.Ask(ctx, room)
		cancel()
		switch {
		case err == nil && t != nil:
			t.Room.Known = true
			if t.Room.VersionID == "" {
				t.Room.VersionID = none.Room.VersionID
			}
			return t
		case err != nil:
			r.Log.WarnContext(ctx, "nothing is learnt of a room from a source", "source", s.Name(), "room", string(room), "err", err)
			if t != nil && t.Room.VersionID != "" {
				none.Room.VersionID = t.Room.VersionID
			}
		}
	}
	return none
}

// remember keeps what was told, and makes room for it. The caller holds mu.
func (r *Rooms) remember(t *Told) {
	r.drop(t.Room.ID)
	r.told[t.Room.ID] = t
	r.members += len(t.members)
	if !r.full() {
		return
	}
	for room, other := range r.told {
		if !r.young(other) {
			r.drop(room)
		}
	}
	for room := range r.told {
		if !r.full() {
			return
		}
		if room != t.Room.ID {
			r.drop(room)
		}
	}
}

func (r *Rooms) full() bool { return len(r.told) > maxRooms || r.members > maxMembersKept }

// drop forgets a room. The caller holds mu.
func (r *Rooms) drop(room matrix.RoomID) {
	if t := r.told[room]; t != nil {
		r.members -= len(t.members)
		delete(r.told, room)
	}
}
