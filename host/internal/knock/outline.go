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
	// Joined counts the joined members.
	Joined int64
	// Membership is the knocker's; "" if there is none or it was not told.
	Membership string
	// At is when this was read.
	At time.Time
}
