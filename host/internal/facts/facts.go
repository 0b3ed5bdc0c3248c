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
	}
	return f
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
	if room.Membership != "" {
		f.UserMembership = abi.Some(room.Membership)
	}
	return f
}

// some returns s, cut; absent if it is empty.
func some(s string) abi.Text { return cut(abi.Text{Value: s, Present: s != ""}) }

// maxRoomText is the most of a room's name, alias or topic that is told, in
// bytes. Beside the largest event, more would not fit a request frame.
const maxRoomText = 2048

// field returns a text of an event's content, cut to maxRoomText on the border
// of a character; absent if there is no event.
func field(ev *pdu.Event, key string) abi.Text {
	if ev == nil {
		return abi.Text{}
	}
	return cut(text(ev.Content().Get(key)))
}

// cut cuts t to maxRoomText.
func cut(t abi.Text) abi.Text {
	if len(t.Value) > maxRoomText {
		end := maxRoomText
		for !utf8.RuneStart(t.Value[end]) {
			end--
		}
		t.Value = t.Value[:end]
	}
	return t
}

// text returns v as a text. What is not a string is absent: Synapse sends
// "avatar_url": null for a user without an avatar.
func text(v canonicaljson.Value) abi.Text {
	s, ok := v.Text()
	return abi.Text{Value: s, Present: ok}
}
