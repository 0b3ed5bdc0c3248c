package policy

import (
	"encoding/binary"
	"iter"
	"strings"
	"unsafe"

	"github.com/knockgate/knockgate/sdk/abi"
)

// The phases of a knock, see [Knock.Phase].
const (
	MakeKnock = abi.MakeKnock
	SendKnock = abi.SendKnock
)

// Knock is the knock to be judged. Its getters read the host's request frame in
// place: they do not parse, copy or allocate. A text that is absent reads as "",
// a number as 0 and a truth value as false; [Knock.Text] tells absent from empty.
//
// Text that a getter returns is a view that lasts until decide returns.
type Knock struct{ frame abi.Frame }

// NewKnock returns the knock that a host would hand over for these facts. It is
// for a policy's own tests.
func NewKnock(f abi.Facts) *Knock { return &Knock{frame: abi.AppendFrame(nil, &f)} }

// Text returns a field as text, and whether the host sent it.
func (k *Knock) Text(f abi.Field) (string, bool) {
	b, ok := k.frame.Field(f)
	return unsafe.String(unsafe.SliceData(b), len(b)), ok
}

// Bytes returns a field's bytes, nil if it is absent. They must not be changed.
func (k *Knock) Bytes(f abi.Field) []byte {
	b, _ := k.frame.Field(f)
	return b
}

// Number returns a field that is a number, and whether the host sent it.
func (k *Knock) Number(f abi.Field) (int64, bool) {
	b, ok := k.frame.Field(f)
	if !ok || len(b) != 8 {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(b)), true
}

// Truth returns a field that is a truth value; an absent one is false.
func (k *Knock) Truth(f abi.Field) bool {
	b, _ := k.frame.Field(f)
	return len(b) == 1 && b[0] == 1
}

func (k *Knock) text(f abi.Field) string {
	s, _ := k.Text(f)
	return s
}

func (k *Knock) number(f abi.Field) int64 {
	n, _ := k.Number(f)
	return n
}

// Phase returns [MakeKnock] or [SendKnock]. A policy sees both; a peer need not
// ask the first before it does the second.
func (k *Knock) Phase() abi.Phase { return k.frame.Phase() }

// JSON returns all facts but the event as one JSON object.
func (k *Knock) JSON() []byte { return k.Bytes(abi.FieldJSON) }

// RequestID returns the host's id for this request, as in its log and record.
func (k *Knock) RequestID() string { return k.text(abi.FieldRequestID) }

// NowMS returns when the decision began, in milliseconds since the Unix epoch.
func (k *Knock) NowMS() int64 { return k.number(abi.FieldNowMS) }

// Origin returns the name of the server that sent the request, with its port if
// it has one. The host has checked its signature.
func (k *Knock) Origin() string { return k.text(abi.FieldOrigin) }

// OriginServer returns [Knock.Origin] without its port: what lists of servers
// are to be matched with.
func (k *Knock) OriginServer() string { return StripPort(k.Origin()) }

// UserID returns the knocker, such as "@alice:example.org".
func (k *Knock) UserID() string { return k.text(abi.FieldUserID) }

// UserLocalpart returns the part of the knocker's id between "@" and ":".
func (k *Knock) UserLocalpart() string { return k.text(abi.FieldUserLocalpart) }

// UserServer returns the server name in the knocker's id, without its port.
func (k *Knock) UserServer() string { return k.text(abi.FieldUserServer) }

// UserMembership returns the knocker's membership of the room before this
// knock, "" if there is none or the host does not know.
func (k *Knock) UserMembership() string { return k.text(abi.FieldUserMembership) }

// SupportedVersions returns the room versions that the knocker's server says it
// supports. Only make_knock has them.
func (k *Knock) SupportedVersions() iter.Seq[string] {
	return func(yield func(string) bool) {
		rest, ok := k.Text(abi.FieldSupportedVersions)
		for ok && rest != "" {
			var v string
			v, rest, ok = strings.Cut(rest, "\n")
			if !yield(v) {
				return
			}
		}
	}
}

// Supports reports whether the knocker's server says that it supports a room
// version. It is always false on send_knock, which does not tell.
func (k *Knock) Supports(version string) bool {
	for v := range k.SupportedVersions() {
		if v == version {
			return true
		}
	}
	return false
}

// Reason returns what the knocker wrote, "" if nothing. Only send_knock has it.
func (k *Knock) Reason() string { return k.text(abi.FieldReason) }

// Displayname returns the name that the knocker claims. Only send_knock has it.
func (k *Knock) Displayname() string { return k.text(abi.FieldDisplayname) }

// AvatarURL returns the avatar that the knocker claims. Only send_knock has it.
func (k *Knock) AvatarURL() string { return k.text(abi.FieldAvatarURL) }

// Event returns the knock event as canonical JSON, nil on make_knock.
func (k *Knock) Event() []byte { return k.Bytes(abi.FieldEvent) }

// ContentHashOK reports whether the event is as its sender signed it. If not,
// reason, display name and avatar are absent. Only send_knock has it.
func (k *Knock) ContentHashOK() bool { return k.Truth(abi.FieldContentHashOK) }

// RoomID returns the room's id. From room version 12 on it has no server name.
func (k *Knock) RoomID() string { return k.text(abi.FieldRoomID) }

// RoomVersion returns the room's version, such as "11".
func (k *Knock) RoomVersion() string { return k.text(abi.FieldRoomVersion) }

// RoomKnown reports whether the host has a view of the room's state. If not,
// every other Room getter but id and version reads as absent.
func (k *Knock) RoomKnown() bool { return k.Truth(abi.FieldRoomKnown) }

// RoomJoinRule returns the room's join rule, such as "knock".
func (k *Knock) RoomJoinRule() string { return k.text(abi.FieldRoomJoinRule) }

// RoomName returns the room's name.
func (k *Knock) RoomName() string { return k.text(abi.FieldRoomName) }

// RoomAlias returns the room's canonical alias, such as "#lobby:example.org".
func (k *Knock) RoomAlias() string { return k.text(abi.FieldRoomAlias) }

// RoomTopic returns the room's topic.
func (k *Knock) RoomTopic() string { return k.text(abi.FieldRoomTopic) }

// RoomEncrypted reports whether the room is encrypted.
func (k *Knock) RoomEncrypted() bool { return k.Truth(abi.FieldRoomEncrypted) }

// RoomMembers returns how many users have joined the room.
func (k *Knock) RoomMembers() int64 { return k.number(abi.FieldRoomMembers) }

// RoomAgeMS returns how old the host's view of the room is, in milliseconds.
func (k *Knock) RoomAgeMS() int64 { return k.number(abi.FieldRoomAgeMS) }

// RoomACL returns the content of the room's server ACL as JSON, for [ACLAllows]:
// "" if the room has none. told is false if the host did not say, or could not
// since it is too large.
func (k *Knock) RoomACL() (acl string, told bool) { return k.Text(abi.FieldRoomACL) }

// RoomPending returns how many users have knocked and were not answered. Like the
// four counts below, it is told by a host that has read the room's members.
func (k *Knock) RoomPending() (n int64, told bool) { return k.Number(abi.FieldRoomPending) }

// RoomPendingServer returns how many of [Knock.RoomPending] are of the knocker's
// server.
func (k *Knock) RoomPendingServer() (n int64, told bool) {
	return k.Number(abi.FieldRoomPendingServer)
}

// RoomMembersServer returns how many of [Knock.RoomMembers] are of the knocker's
// server.
func (k *Knock) RoomMembersServer() (n int64, told bool) {
	return k.Number(abi.FieldRoomMembersServer)
}

// RoomBanned returns how many users are banned from the room.
func (k *Knock) RoomBanned() (n int64, told bool) { return k.Number(abi.FieldRoomBanned) }

// RoomBannedServer returns how many of [Knock.RoomBanned] are of the knocker's
// server.
func (k *Knock) RoomBannedServer() (n int64, told bool) {
	return k.Number(abi.FieldRoomBannedServer)
}

// UserMembershipSinceMS returns when the event was made that
// [Knock.UserMembership] is from, in milliseconds since the Unix epoch. The clock
// is that of its sender's server, which may be wrong or lie.
func (k *Knock) UserMembershipSinceMS() (ms int64, told bool) {
	return k.Number(abi.FieldUserMembershipSinceMS)
}

// UserMembershipBy returns who sent the event that [Knock.UserMembership] is from,
// such as the moderator who declined an earlier knock; "" if the host did not say.
func (k *Knock) UserMembershipBy() string { return k.text(abi.FieldUserMembershipBy) }

// StripPort returns a Matrix server name without its port: "example.org" for
// "example.org:8448", "[::1]" for "[::1]:8448".
func StripPort(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		switch c := name[i]; {
		case c == ':':
			return name[:i]
		case c < '0' || c > '9':
			return name
		}
	}
	return name
}
