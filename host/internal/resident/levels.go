package resident

import (
	"math"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// authorise fails with 403 M_FORBIDDEN if the room's rules do not let one of
// our users make a state event. It holds the rules that keep our own users
// from nonsense; it is no implementation of all the rules of a room version.
//
// Spec: room versions 7 to 12, "Authorization rules".
func authorise(s *ownState, d *draft, content canonicaljson.Value, target *pdu.Event) error {
	if d.typ == typeCreate {
		return matrix.Forbidden("A room is created once")
	}
	joined := membershipOf(s.get(typeMember, string(d.sender))) == "join"
	if d.typ == typeMember {
		return authoriseMember(s, d, joined, target)
	}
	if !joined {
		return matrix.Forbidden("%s is not in the room", d.sender)
	}
	levels := levelsOf(s, d.version)
	if len(d.key) > 0 && d.key[0] == '@' && d.key != string(d.sender) {
		return matrix.Forbidden("The state key %q belongs to another user", d.key)
	}
	if err := levels.need(d.sender, levels.event(d.typ)); err != nil {
		return err
	}
	if d.typ == typePowerLevels {
		return levels.mayBecome(d, content)
	}
	return nil
}

// authoriseMember is authorise for a membership.
func authoriseMember(s *ownState, d *draft, joined bool, target *pdu.Event) error {
	user, err := matrix.ParseUserID(d.key)
	if err != nil {
		return matrix.Forbidden("The state key %q is no user", d.key)
	}
	now, self, levels := membershipOf(target), user == d.sender, levelsOf(s, d.version)
	want := membership(d.content)
	if want == "join" {
		rule := text(s.get(typeJoinRules, ""), "join_rule")
		if self && (now == "join" || now == "invite" || now != "ban" && rule == "public") {
			return nil
		}
		return matrix.Forbidden("%s cannot join: they are neither invited, nor is the room public", user)
	}
	if want == "leave" && self {
		if now == "join" || now == "invite" || now == "knock" {
			return nil
		}
		return matrix.Forbidden("%s is not in the room", user)
	}
	if !joined {
		return matrix.Forbidden("%s is not in the room", d.sender)
	}
	switch {
	case want == "invite" && now != "join" && now != "ban":
		return levels.need(d.sender, levels.action("invite", 0))
	case want == "leave" && now == "ban":
		return levels.over(d.sender, user, max(levels.action("ban", 50), levels.action("kick", 50)))
	case want == "leave" && now != "leave" && now != "":
		return levels.over(d.sender, user, levels.action("kick", 50))
	case want == "ban":
		return levels.over(d.sender, user, levels.action("ban", 50))
	}
	return matrix.Forbidden("The membership of %s cannot go from %q to %q", user, now, want)
}

// membershipOf returns an event's membership, or "" for no event.
func membershipOf(e *pdu.Event) string {
	if e == nil {
		return ""
	}
	return e.Membership()
}

// levels are a room's power levels.
type levels struct {
	content canonicaljson.Value // absent: the room has none
	// creator has 100 where the room has no power levels, and from room
	// version 12 on more than any level.
	creator matrix.UserID
	above   bool
}

func levelsOf(s *ownState, v *matrix.RoomVersion) levels {
	l := levels{above: v.HashRoomID}
	if e := s.get(typePowerLevels, ""); e != nil {
		l.content = e.Content()
	}
	if e := s.get(typeCreate, ""); e != nil {
		l.creator = e.Sender()
	}
	return l
}

// level returns a level, or missing if there is none. One that is no integer
// is out of everybody's reach.
func level(v canonicaljson.Value, missing int64) int64 {
	if !v.Exists() {
		return missing
	}
	n, ok := v.Int()
	if !ok {
		return math.MaxInt64
	}
	return n
}

func (l levels) action(name string, missing int64) int64 {
	return level(l.content.Get(name), missing)
}

// event returns what a state event of a type needs.
func (l levels) event(typ string) int64 {
	missing := int64(0)
	if l.content.Exists() {
		missing = 50
	}
	return level(l.content.Get("events").Get(typ), l.action("state_default", missing))
}

// user returns what a user has.
func (l levels) user(user matrix.UserID) int64 {
	if user == l.creator && (l.above || !l.content.Exists()) {
		if l.above {
			return math.MaxInt64
		}
		return 100
	}
	n := level(l.content.Get("users").Get(string(user)), l.action("users_default", 0))
	if n == math.MaxInt64 {
		return 0 // no integer: no power
	}
	return n
}

func (l levels) need(user matrix.UserID, n int64) error {
	if has := l.user(user); has < n || n == math.MaxInt64 {
		return matrix.Forbidden("%s has power level %d; this needs more", user, has)
	}
	return nil
}

// over fails unless user has level n and more than target.
func (l levels) over(user, target matrix.UserID, n int64) error {
	if err := l.need(user, n); err != nil {
		return err
	}
	if user != target && l.user(user) <= l.user(target) {
		return matrix.Forbidden("%s is not below %s in power", target, user)
	}
	return nil
}

// mayBecome fails for new power levels that are malformed, or that give what
// the sender does not have.
func (l levels) mayBecome(d *draft, content canonicaljson.Value) error {
	has := l.user(d.sender)
	check := func(v canonicaljson.Value, name string) error {
		if n, ok := v.Int(); !ok || n > has {
			return matrix.Forbidden("The level of %q must be an integer of at most %d", name, has)
		}
		return nil
	}
	for key, v := range content.Members() {
		switch string(key) {
		case "users", "events", "notifications":
			if !v.IsObject() {
				return matrix.Forbidden("%q must be an object", key)
			}
			for name, n := range v.Members() {
				if string(key) == "users" && l.above && matrix.UserID(name) == l.creator {
					return matrix.Forbidden("The creator %s stands above all levels and must not be listed", name)
				}
				if err := check(n, string(name)); err != nil {
					return err
				}
			}
		default:
			if err := check(v, string(key)); err != nil {
				return err
			}
		}
	}
	return nil
}
