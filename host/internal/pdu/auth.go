package pdu

import (
	"slices"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// The memberships that a user of another server gives themself here: they knock,
// and they take the knock back.
const (
	Knock = "knock"
	Leave = "leave"
)

// AuthState is the part of a room's state that decides over a user's knock, and
// over their leaving. An event that the state does not have is nil.
type AuthState struct {
	Create      *Event
	PowerLevels *Event
	// JoinRules has no say over a leave.
	JoinRules *Event
	// Member is the current m.room.member event of the user.
	Member *Event
}

// MayKnock fails with a [*matrix.Error], 403 M_FORBIDDEN, unless user may knock
// on the room of this state. A room without a create event lets nobody knock,
// and neither does one without join rules.
//
// Spec: room versions 7 to 12, "Authorization rules", on m.federate and on
// membership "knock".
func MayKnock(v *matrix.RoomVersion, user matrix.UserID, s AuthState) error {
	if err := s.check(user); err != nil {
		return err
	}
	if !knockable(v, s.JoinRules) {
		return matrix.Forbidden("You don't have permission to knock")
	}
	if s.Member == nil {
		return nil
	}
	switch s.Member.membership {
	case Leave, Knock:
		return nil
	case "ban":
		return matrix.Forbidden("You are banned from this room")
	case "invite":
		return matrix.Forbidden("You are already invited to this room")
	case "join":
		return matrix.Forbidden("You are already in this room")
	}
	return matrix.Forbidden("Your membership in this room is unknown")
}

// MayLeave fails with a [*matrix.Error], 403 M_FORBIDDEN, unless user may leave
// the room of this state by themself: they have knocked, are invited or joined.
// The rule is the same in all room versions that have knocks.
//
// Spec: room versions 7 to 12, "Authorization rules", on m.federate and on
// membership "leave".
func MayLeave(user matrix.UserID, s AuthState) error {
	if err := s.check(user); err != nil {
		return err
	}
	if s.Member != nil {
		switch s.Member.membership {
		case Knock, "invite", "join":
			return nil
		case "ban":
			return matrix.Forbidden("You are banned from this room")
		}
	}
	return matrix.Forbidden("You are not in this room, nor have you knocked on it")
}

// check fails if the state is none that the user can take part in, or holds
// another user's membership.
func (s *AuthState) check(user matrix.UserID) error {
	if s.Create == nil || s.Create.eventType != typeCreate {
		return matrix.Forbidden("The room has no create event")
	}
	// Whatever stands there but true is not taken for a yes.
	if federate := s.Create.Content().Get("m.federate"); federate.Exists() {
		if yes, _ := federate.Bool(); !yes && user.Server() != s.Create.sender.Server() {
			return matrix.Forbidden("This room is only for users of the server that made it")
		}
	}
	if s.Member != nil && (s.Member.eventType != typeMember || s.Member.stateKey != string(user)) {
		return matrix.Forbidden("The membership in the room's state is of another user")
	}
	return nil
}

// knockable reports whether the join rules let users knock. A room without
// them, or whose join rule is no string, is by invitation.
func knockable(v *matrix.RoomVersion, joinRules *Event) bool {
	if joinRules == nil || joinRules.eventType != typeJoinRules {
		return false
	}
	rule, _ := joinRules.Content().Get("join_rule").TextBytes()
	return string(rule) == "knock" || string(rule) == "knock_restricted" && v.KnockRestricted
}

// CheckMembership fails with a [*matrix.Error], 403 M_FORBIDDEN, unless e is a
// knock or a leave, of the sender themself, that the state s of its room allows.
// In a room version whose create event no event lists, s must be given it all
// the same.
//
// That join_authorised_via_users_server is signed for is not checked here.
//
// Spec: room versions 7 to 12, "Authorization rules".
func CheckMembership(e *Event, s AuthState) error {
	if e.eventType != typeMember || !e.isState || e.membership != Knock && e.membership != Leave {
		return matrix.Forbidden("The event is neither a knock nor a leave")
	}
	if e.stateKey != string(e.sender) {
		return matrix.Forbidden("A user can only knock and leave for themself")
	}
	for _, of := range [...]*Event{s.Create, s.PowerLevels, s.JoinRules, s.Member} {
		if of != nil && of.room != e.room {
			return matrix.Forbidden("The event is for another room")
		}
	}
	if e.membership == Leave {
		return MayLeave(e.sender, s)
	}
	return MayKnock(e.version, e.sender, s)
}

// CheckAuthEvents returns the state that the knock or leave e claims to be allowed by:
// auth, the events that it lists, in any order. Whether they were accepted is
// the caller's to know. In a room version whose create event no event lists,
// Create is nil and the caller's to fill in.
//
// It fails with a [*matrix.Error], 403 M_FORBIDDEN, if auth is not what e
// lists, holds two events for one place in the state, one of another room or
// one that has no say over e, or holds no create event where there must be
// one, or one where there must not.
//
// Spec: room versions 7 to 12, "Authorization rules"; Server-Server API, "Auth
// events selection".
func CheckAuthEvents(e *Event, auth []*Event) (AuthState, error) {
	var s AuthState
	if len(auth) != len(e.auth) {
		return AuthState{}, matrix.Forbidden("The event lists %d auth events, of which %d are there", len(e.auth), len(auth))
	}
	for _, a := range auth {
		if !slices.Contains(e.auth, a.id) {
			return AuthState{}, matrix.Forbidden("The event does not list the auth event %s", a.id)
		}
		if a.room != e.room {
			return AuthState{}, matrix.Forbidden("The auth event %s is of another room", a.id)
		}
		slot := s.slot(e, a)
		if slot == nil {
			return AuthState{}, matrix.Forbidden("The auth event %s, a %q, has no say over a %s", a.id, a.eventType, e.membership)
		}
		if *slot != nil {
			return AuthState{}, matrix.Forbidden("Two auth events are a %q", a.eventType)
		}
		*slot = a
	}
	if s.Create == nil && !e.version.HashRoomID {
		return AuthState{}, matrix.Forbidden("The create event is not among the auth events")
	}
	return s, nil
}

// slot returns where the auth event a of e belongs, or nil if it has no say over
// it.
func (s *AuthState) slot(e, a *Event) **Event {
	if !a.isState {
		return nil
	}
	if a.eventType == typeMember && a.stateKey == string(e.sender) {
		return &s.Member
	}
	if a.stateKey != "" {
		return nil
	}
	switch a.eventType {
	case typeCreate:
		if !e.version.HashRoomID {
			return &s.Create
		}
	case typePowerLevels:
		return &s.PowerLevels
	case typeJoinRules:
		if e.membership == Knock {
			return &s.JoinRules
		}
	}
	return nil
}

// AuthEventIDs returns the events that a knock or leave, as membership says,
// must list under the state s.
//
// Spec: Server-Server API, "Auth events selection"; room version 12, which
// leaves out the create event.
func AuthEventIDs(v *matrix.RoomVersion, membership string, s AuthState) []matrix.EventID {
	ids := make([]matrix.EventID, 0, 4)
	add := func(e *Event) {
		if e != nil {
			ids = append(ids, e.id)
		}
	}
	if !v.HashRoomID {
		add(s.Create)
	}
	add(s.PowerLevels)
	if membership == Knock {
		add(s.JoinRules)
	}
	add(s.Member)
	return ids
}
