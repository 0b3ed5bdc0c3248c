package knock

import (
	"net/url"
	"slices"
	"strings"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Member is a room and a user as the path of a make_knock or make_leave names
// them. It is the whole of a make_leave.
type Member struct {
	Room matrix.RoomID
	User matrix.UserID
}

// ParseMember returns what the two path segments, already percent-decoded, name.
// It fails with 400 M_INVALID_PARAM for an identifier that is none.
func ParseMember(room, user string) (Member, error) {
	roomID, err := matrix.ParseRoomID(room)
	if err != nil {
		return Member{}, matrix.InvalidParam("%v", err)
	}
	userID, err := matrix.ParseUserID(user)
	if err != nil {
		return Member{}, matrix.InvalidParam("%v", err)
	}
	return Member{Room: roomID, User: userID}, nil
}

// CheckOrigin fails with 403 M_FORBIDDEN unless the user is on the server that
// sent the request.
func (m Member) CheckOrigin(origin matrix.ServerName) error {
	if m.User.Server() != origin {
		return matrix.Forbidden("the user %q is not on %s, which asks for them", m.User, origin)
	}
	return nil
}

// Make is a make_knock request: the user who would knock, the room, and the
// room versions that the user's server takes.
type Make struct {
	Member
	// Versions holds each well-formed value of "ver" once, in the order given.
	// A value that cannot be a room version is dropped: no room has it.
	Versions []string
}

// ParseMake returns the request that the two path segments, already
// percent-decoded, and the raw query make.
//
// It fails with 400 M_INVALID_PARAM for an identifier that is none, and with
// 400 M_MISSING_PARAM if there is no "ver" at all.
func ParseMake(room, user, rawQuery string) (*Make, error) {
	member, err := ParseMember(room, user)
	if err != nil {
		return nil, err
	}
	// Go's parser refuses a query with ';' in it, which is a character like others.
	query, err := url.ParseQuery(strings.ReplaceAll(rawQuery, ";", "%3B"))
	if err != nil {
		return nil, matrix.InvalidParam("the query is malformed: %v", err)
	}
	given, ok := query["ver"]
	if !ok {
		return nil, matrix.MissingParam("the query parameter 'ver' is required: the room versions your server takes")
	}
	m := &Make{Member: member}
	for _, v := range given {
		if isVersionID(v) && len(m.Versions) < maxVersions && !slices.Contains(m.Versions, v) {
			m.Versions = append(m.Versions, v)
		}
	}
	return m, nil
}

// Supports reports whether the user's server takes the room version.
func (m *Make) Supports(version string) bool { return slices.Contains(m.Versions, version) }

// maxVersions bounds the list: Synapse 1.160 sends 15.
const maxVersions = 128

// isVersionID reports whether s follows the grammar of room versions: 1 to 32
// of a-z, 0-9, '.' and '-'.
//
// Spec: Room Versions, "Room version grammar".
func isVersionID(s string) bool {
	if len(s) == 0 || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-') {
			return false
		}
	}
	return true
}
