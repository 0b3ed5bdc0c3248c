// Package facts says what a policy may know of a knock. It is the only place
// where the host's view of a request and a room becomes the facts of the ABI.
package facts

import (
	"time"
	"unicode/utf8"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Request is what both phases know of a request once it is authenticated.
type Request struct {
	ID     string
	Origin matrix.ServerName
	At     time.Time
}

// ForMake returns the facts of a make_knock on room. A make_knock carries no
// reason, display name or avatar: those come with the signed event.
func ForMake(r Request, m *knock.Make, room *knock.Room) abi.Facts {
	return forMake(r, m, room.VersionID, roomFacts(r, m.User, room))
}

// ForMakeOutline is ForMake for a room that another program keeps.
func ForMakeOutline(r Request, m *knock.Make, room *knock.Outline) abi.Facts {
	return forMake(r, m, room.VersionID, outlineFacts(r, room))
}

func forMake(r Request, m *knock.Make, version string, room abi.RoomFacts) abi.Facts {
	f := common(r, m.User, m.Room, version, room)
	f.Phase = abi.MakeKnock
	f.SupportedVersions = m.Versions
	return f
}

// ForSend returns the facts of a send_knock on room with the checked event ev.
// Where ev's content hash did not match, ev is redacted and what the knocker
// claims of themself is absent.
func ForSend(r Request, ev *pdu.Event, room *knock.Room) abi.Facts {
	return forSend(r, ev, room.VersionID, roomFacts(r, ev.Sender(), room))
}

// ForSendOutline is ForSend for a room that another program keeps.
func ForSendOutline(r Request, ev *pdu.Event, room *knock.Outline) abi.Facts {
	return forSend(r, ev, room.VersionID, outlineFacts(r, room))
}

func forSend(r Request, ev *pdu.Event, version string, room abi.RoomFacts) abi.Facts {
	f := common(r, ev.Sender(), ev.RoomID(), version, room)
	f.Phase = abi.SendKnock
	content := ev.Content()
	f.Reason = text(content.Get("reason"))
	f.Displayname = text(content.Get("displayname"))
	f.AvatarURL = text(content.Get("avatar_url"))
	f.Event = ev.JSON()
	f.ContentHashOK = ev.ContentHashOK()
	return f
}

func common(r Request, user matrix.UserID, room matrix.RoomID, version string, facts abi.RoomFacts) abi.Facts {
	return abi.Facts{
		RoomID:        string(room),
		RoomVersion:   version,
		UserID:        string(user),
		UserLocalpart: user.Localpart(),
		UserServer:    user.Server().Host(),
		Origin:        string(r.Origin),
		RequestID:     r.ID,
		NowMS:         r.At.UnixMilli(),
		Room:          facts,
	}
}

func roomFacts(r Request, user matrix.UserID, room *knock.Room) abi.RoomFacts {
	f := abi.RoomFacts{
		Known:     true,
		JoinRule:  field(room.JoinRules, "join_rule"),
		Name:      field(room.Name, "name"),
		Alias:     field(room.Alias, "alias"),
		Topic:     field(room.Topic, "topic"),
		Encrypted: room.Encryption != nil,
		Members:   room.Joined,
		AgeMS:     max(0, r.At.Sub(room.At).Milliseconds()),
	}
	if member := room.Member(user); member != nil {
		f.UserMembership = abi.Some(member.Membership())
		f.UserMembershipSinceMS = abi.Count(member.OriginServerTS())
		f.UserMembershipBy = abi.Some(string(member.Sender()))
	}
	if room.ACL == nil {
		f.ACL = abi.Some("")
	} else if b := room.ACL.Content().Canonical(); len(b) <= abi.MaxRoomACL {
		f.ACL = abi.Some(string(b))
	}
	count(&f, room.Counts, room.Of(user.Server()))
	return f
}

// count tells who waits, who is banned, and how many of a server are what.
func count(f *abi.RoomFacts, all, server knock.Counts) {
	f.Pending, f.Banned = abi.Count(all.Pending), abi.Count(all.Banned)
	f.MembersServer, f.PendingServer, f.BannedServer = abi.Count(server.Joined), abi.Count(server.Pending), abi.Count(server.Banned)
}

func outlineFacts(r Request, room *knock.Outline) abi.RoomFacts {
	if !room.Known {
		return abi.RoomFacts{}
	}
	f := abi.RoomFacts{
		Known:     true,
		JoinRule:  some(room.JoinRule),
		Name:      some(room.Name),
		Alias:     some(room.Alias),
		Topic:     some(room.Topic),
		Encrypted: room.Encrypted,
		Members:   room.Joined,
		AgeMS:     max(0, r.At.Sub(room.At).Milliseconds()),
	}
	if room.ACLTold && len(room.ACL) <= abi.MaxRoomACL {
		f.ACL = abi.Some(room.ACL)
	}
	if room.MembersRead {
		count(&f, room.Counts, room.OfServer)
	}
	if room.Membership != "" {
		f.UserMembership = abi.Some(room.Membership)
	}
	if room.By != "" {
		f.UserMembershipSinceMS, f.UserMembershipBy = abi.Count(room.SinceMS), abi.Some(string(room.By))
	}
	return f
}

// some returns s, cut; absent if it is empty.
func some(s string) abi.Text { return cut(abi.Text{Value: s, Present: s != ""}) }

// maxRoomText is the most of a room's name, alias, topic or join rule that is told,
// in bytes as it is and as it stands in JSON. Beside the largest event and
// abi.MaxRoomACL, more would not fit a request frame.
const maxRoomText = 2048

// field returns a text of an event's content, cut to maxRoomText; absent if there is no event.
func field(ev *pdu.Event, key string) abi.Text {
	if ev == nil {
		return abi.Text{}
	}
	return cut(text(ev.Content().Get(key)))
}

// cut cuts t to maxRoomText on the border of a character.
func cut(t abi.Text) abi.Text {
	if 6*len(t.Value) <= maxRoomText {
		return t // whatever it holds
	}
	size := 0
	for i, c := range t.Value {
		switch {
		case c < ' ':
			size += len(`\u0000`)
		case c == '"' || c == '\\':
			size += 2
		default:
			size += utf8.RuneLen(c)
		}
		if size > maxRoomText {
			t.Value = t.Value[:i]
			return t
		}
	}
	return t
}

// text returns v as a text. What is not a string is absent: Synapse sends
// "avatar_url": null for a user without an avatar.
func text(v canonicaljson.Value) abi.Text {
	s, ok := v.Text()
	return abi.Text{Value: s, Present: ok}
}
