package knock

import (
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// Room is what this server knows of a room at one moment: the snapshot that
// authorisation, facts, the template and the answer are all made from, so that
// no stage sees a state that another did not. It never changes once made.
//
// An event that the room's state does not have is nil.
type Room struct {
	// ID is the room's identifier.
	ID matrix.RoomID
	// VersionID is the room version's identifier as the create event gives it.
	VersionID string
	// Version is nil where VersionID is one this host does not implement, such
	// as one from before knocking.
	Version *matrix.RoomVersion

	// The current state with an empty state key.
	Create, PowerLevels, JoinRules, ACL    *pdu.Event
	Name, Alias, Topic, Avatar, Encryption *pdu.Event

	// Member returns the current m.room.member event of a user, or nil.
	Member func(matrix.UserID) *pdu.Event
	// Counts is of all members.
	Counts
	// Of returns the counts of a server's.
	Of func(matrix.ServerName) Counts
	// At is when this state was read.
	At time.Time
	// Position orders the snapshots of one room: a later one is higher.
	Position int64
}

// Counts says how many users have a membership of a room.
type Counts struct {
	// Joined counts the joined members, Pending those who knocked and were not
	// answered, Banned those who are banned.
	Joined, Pending, Banned int64
}

// AuthState returns the part of the room's state that decides over a knock of
// user, or over their leaving.
func (r *Room) AuthState(user matrix.UserID) pdu.AuthState {
	return pdu.AuthState{Create: r.Create, PowerLevels: r.PowerLevels, JoinRules: r.JoinRules, Member: r.Member(user)}
}
