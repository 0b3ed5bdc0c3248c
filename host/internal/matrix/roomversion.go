package matrix

// RoomVersion says how the rules of one room version differ from the others
// that allow knocking. A version we do not implement has no RoomVersion: it is
// refused, never guessed. IDs are opaque; do not compare them as numbers.
//
// Spec: Room versions 7 to 12.
type RoomVersion struct {
	// ID is the identifier on the wire, such as "11".
	ID string
	// KnockRestricted: the join rule knock_restricted lets users knock (10+).
	KnockRestricted bool
	// RestrictedJoins: the join rule restricted exists, and redaction keeps
	// join_rules' allow (8+).
	RestrictedJoins bool
	// RedactKeepsAuthorised: redaction keeps a member event's
	// join_authorised_via_users_server (9+).
	RedactKeepsAuthorised bool
	// RedactV11: the redaction rules of version 11: top-level origin,
	// membership and prev_state go; a create event's content, power levels'
	// invite, a redaction's redacts and third_party_invite.signed stay.
	RedactV11 bool
	// IntegerPowerLevels: power levels must be integers, not strings (10+).
	IntegerPowerLevels bool
	// CreatorInContent: the create event names the creator in its content
	// (up to 10); later the sender is the creator.
	CreatorInContent bool
	// HashRoomID: the room ID is the create event's reference hash, the create
	// event has no room_id, and no event lists it in auth_events (12).
	HashRoomID bool
}

var roomVersions = [...]RoomVersion{
	{ID: "7", CreatorInContent: true},
	{ID: "8", CreatorInContent: true, RestrictedJoins: true},
	{ID: "9", CreatorInContent: true, RestrictedJoins: true, RedactKeepsAuthorised: true},
	{ID: "10", CreatorInContent: true, RestrictedJoins: true, RedactKeepsAuthorised: true, KnockRestricted: true, IntegerPowerLevels: true},
	{ID: "11", RestrictedJoins: true, RedactKeepsAuthorised: true, KnockRestricted: true, IntegerPowerLevels: true, RedactV11: true},
	{ID: "12", RestrictedJoins: true, RedactKeepsAuthorised: true, KnockRestricted: true, IntegerPowerLevels: true, RedactV11: true, HashRoomID: true},
}

// LookupRoomVersion returns the room version with this ID, and false if it is
// not one that this host implements.
func LookupRoomVersion(id string) (*RoomVersion, bool) {
	for i := range roomVersions {
		if roomVersions[i].ID == id {
			return &roomVersions[i], true
		}
	}
	return nil, false
}

// RoomVersionIDs returns the IDs of all implemented room versions, oldest first.
func RoomVersionIDs() []string {
	ids := make([]string, len(roomVersions))
	for i := range roomVersions {
		ids[i] = roomVersions[i].ID
	}
	return ids
}

// BeforeKnocking reports whether id is a room version of the specification
// that came before knocking (1 to 6). A resident server may have such rooms;
// nobody can knock on them.
func BeforeKnocking(id string) bool {
	switch id {
	case "1", "2", "3", "4", "5", "6":
		return true
	}
	return false
}
