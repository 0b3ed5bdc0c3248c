package knock

import (
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Outline is what this server was told of a room that another program keeps. It
// is for policies alone: that program holds the room's rules against a knock.
type Outline struct {
	// ID is the room's identifier.
	ID matrix.RoomID
	// VersionID is the room version's identifier; "" if it is not known.
	VersionID string
	// Known reports whether the fields below say anything.
	Known bool
	// A text that the room does not have is "".
	JoinRule, Name, Alias, Topic string
	// Encrypted reports whether the room is.
	Encrypted bool
	// ACLTold reports whether ACL says anything. That is the content of the server
	// ACL as canonical JSON; "" if there is none.
	ACLTold bool
	ACL     string
	// MembersRead reports whether all member events were read. If not, Counts says
	// only how many are joined, and nothing is known of the knocker.
	MembersRead bool
	// Counts is of all members, OfServer of those of the knocker's server.
	Counts
	OfServer Counts
	// Membership is the knocker's; "" if there is none or it was not told. By is
	// who sent the event that made it, and SinceMS the event's origin_server_ts; By
	// is "" if neither was told.
	Membership string
	By         matrix.UserID
	SinceMS    int64
	// At is when this was read.
	At time.Time
}
