package resident

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/store"
)

const (
	typeMember      = "m.room.member"
	typeCreate      = "m.room.create"
	typePowerLevels = "m.room.power_levels"
	typeJoinRules   = "m.room.join_rules"
)

// place is a place in a room's state.
type place struct{ typ, key string }

// placed is a state event and its place in the order of the room's events.
type placed struct {
	*pdu.Event
	seq int64
}

// ownState is the current state as far as this server's own events made it. It
// never changes once made.
type ownState struct {
	events map[place]placed
	// byID finds the events that a knock or leave may list as auth_events.
	byID map[matrix.EventID]*pdu.Event
	// last is the place of the latest own event.
	last int64
	// joined and banned count users.
	joined, banned tally
	// answer is the body of an accepted knock's 200.
	answer []byte
}

// newOwnState makes the state of a set of events.
func newOwnState(events map[place]placed, last int64, format Format) *ownState {
	s := &ownState{events: events, byID: make(map[matrix.EventID]*pdu.Event), last: last}
	joined, banned := make(map[matrix.ServerName]int64), make(map[matrix.ServerName]int64)
	for at, e := range events {
		switch at.typ {
		case typeMember:
			switch e.Membership() {
			case "join":
				joined[matrix.UserID(at.key).Server()]++
			case "ban":
				banned[matrix.UserID(at.key).Server()]++
			}
			s.byID[e.ID()] = e.Event
		case typeCreate, typePowerLevels, typeJoinRules:
			s.byID[e.ID()] = e.Event
		}
	}
	s.joined, s.banned = newTally(joined), newTally(banned)
	room := new(knock.Room)
	s.fill(room)
	s.answer = appendKnockState(nil, room, format)
	return s
}

// with returns the state after one more own event.
func (s *ownState) with(e *pdu.Event, seq int64, format Format) *ownState {
	events := maps.Clone(s.events)
	key, _ := e.StateKey()
	events[place{e.Type(), key}] = placed{e, seq}
	return newOwnState(events, seq, format)
}

// without returns the state without the event at a place. One of the place that
// is no own event has taken its place.
func (s *ownState) without(at place, format Format) *ownState {
	events := maps.Clone(s.events)
	delete(events, at)
	return newOwnState(events, s.last, format)
}

// get returns the event at a place, or nil.
func (s *ownState) get(typ, key string) *pdu.Event { return s.events[place{typ, key}].Event }

// fill sets the events of a snapshot.
func (s *ownState) fill(r *knock.Room) {
	r.Create, r.PowerLevels = s.get(typeCreate, ""), s.get(typePowerLevels, "")
	r.JoinRules, r.ACL = s.get(typeJoinRules, ""), s.get("m.room.server_acl", "")
	r.Name, r.Alias = s.get("m.room.name", ""), s.get("m.room.canonical_alias", "")
	r.Topic, r.Avatar = s.get("m.room.topic", ""), s.get("m.room.avatar", "")
	r.Encryption = s.get("m.room.encryption", "")
	r.Joined, r.Banned = s.joined.total, s.banned.total
}

// auth returns what decides over a knock of user. Their own knock, or their
// leaving, is not in it: over a knock it decides nothing.
func (s *ownState) auth(user matrix.UserID) pdu.AuthState {
	return pdu.AuthState{
		Create:      s.get(typeCreate, ""),
		PowerLevels: s.get(typePowerLevels, ""),
		JoinRules:   s.get(typeJoinRules, ""),
		Member:      s.get(typeMember, string(user)),
	}
}

// maxExtremities is how many forward extremities of a room are in memory. A
// peer can make any number, with knocks that all follow the same event.
const maxExtremities = 256

// maxDepth is the largest depth there is.
//
// Spec: Room version 6, "Canonical JSON".
const maxDepth = 1<<53 - 1

// snapshot is a room at one moment. It never changes once made.
type snapshot struct {
	knock.Room
	own *ownState
	// waiting counts those who knocked and were not answered.
	waiting tally
	// head is the event at Position.
	head matrix.EventID
	// extremities are ordered by base and then seq, highest first, so that the
	// first has all of our own events among its ancestors.
	extremities []store.Extremity
	// complete: there are no extremities but these.
	complete bool
}

// after returns the snapshot after one more event, which is the new current
// state of its place. own is the state with it, or the old one where
// it changes nothing there. was is the membership that a member event ends.
func (s *snapshot) after(e *pdu.Event, base int64, own *ownState, was string) *snapshot {
	next := *s
	next.Position++
	next.head = e.ID()
	if own != s.own {
		next.own = own
		own.fill(&next.Room)
	}
	if e.Type() == typeMember {
		next.waiting = s.waiting.moved(e, was)
	}
	next.count()
	x := store.Extremity{ID: e.ID(), Base: base, Seq: next.Position, Depth: e.Depth()}
	list := make([]store.Extremity, 0, len(s.extremities)+1)
	for _, old := range s.extremities {
		if !slices.Contains(e.PrevEvents(), old.ID) {
			list = append(list, old)
		}
	}
	i, _ := slices.BinarySearchFunc(list, x, func(a, b store.Extremity) int {
		return cmp.Or(cmp.Compare(b.Base, a.Base), cmp.Compare(b.Seq, a.Seq))
	})
	list = slices.Insert(list, i, x)
	if len(list) > maxExtremities {
		list, next.complete = list[:maxExtremities], false
	}
	next.extremities = list
	return &next
}

// count sets what says how many users there are.
func (s *snapshot) count() {
	own, waiting := s.own, s.waiting
	s.Pending = waiting.total
	s.Of = func(server matrix.ServerName) knock.Counts {
		return knock.Counts{Joined: own.joined.of(server), Pending: waiting.of(server), Banned: own.banned.of(server)}
	}
}

// moved returns the tally of those who wait after a member event, which ends the
// membership was.
func (t tally) moved(e *pdu.Event, was string) tally {
	key, _ := e.StateKey()
	is := e.Membership()
	switch server := matrix.UserID(key).Server(); {
	case was == is:
	case is == pdu.Knock:
		return t.plus(server, 1)
	case was == pdu.Knock:
		return t.plus(server, -1)
	}
	return t
}

// consumed returns which of an event's prev_events may be extremities.
func (s *snapshot) consumed(e *pdu.Event) []matrix.EventID {
	if !s.complete {
		return e.PrevEvents()
	}
	var ids []matrix.EventID
	for _, x := range s.extremities {
		if slices.Contains(e.PrevEvents(), x.ID) {
			ids = append(ids, x.ID)
		}
	}
	return ids
}

// next returns the prev_events and the depth of an event that comes next. Where
// there are more extremities than an event may name, member, if not nil, is
// among those that it does: an event that ends a membership follows it.
func (s *snapshot) next(member *pdu.Event) (prev []matrix.EventID, depth int64) {
	list := s.extremities[:min(len(s.extremities), pdu.MaxPrevEvents)]
	prev = make([]matrix.EventID, len(list))
	for i, x := range list {
		prev[i], depth = x.ID, max(depth, x.Depth)
	}
	if member != nil && len(prev) == pdu.MaxPrevEvents && !slices.Contains(prev, member.ID()) {
		prev[len(prev)-1], depth = member.ID(), max(depth, member.Depth())
	}
	return prev, min(depth+1, maxDepth)
}

// at returns the same snapshot as read at another time.
func (s *snapshot) at(t time.Time) *snapshot {
	again := *s
	again.At = t
	return &again
}
