package abi

import "encoding/binary"

// Field is the number of a field in a request frame.
type Field uint32

// The fields of a request frame. Text is UTF-8 and not terminated; a number is
// 8 bytes, little-endian, signed; a truth value is 1 byte, 0 or 1.
const (
	FieldJSON              Field = 0  // all facts but the event, as one JSON object
	FieldRoomID            Field = 1  // text
	FieldRoomVersion       Field = 2  // text, such as "11"
	FieldUserID            Field = 3  // text, such as "@alice:example.org"
	FieldUserLocalpart     Field = 4  // text, may be empty
	FieldUserServer        Field = 5  // text: the user's server name without its port
	FieldOrigin            Field = 6  // text: the authenticated server name, with its port if it has one
	FieldSupportedVersions Field = 7  // text, one room version a line; make_knock only
	FieldReason            Field = 8  // text; send_knock only, absent if the event has none
	FieldDisplayname       Field = 9  // text; send_knock only, claimed by the knocker
	FieldAvatarURL         Field = 10 // text; send_knock only, claimed by the knocker
	FieldEvent             Field = 11 // the event as canonical JSON; send_knock only
	FieldRequestID         Field = 12 // text
	FieldNowMS             Field = 13 // number: when the decision began, ms since the Unix epoch
	FieldContentHashOK     Field = 14 // truth; send_knock only. 0: the event was changed after signing, and reason, displayname and avatar_url are absent
	FieldRoomKnown         Field = 15 // truth: 0 if the host has no view of the room's state
	FieldRoomJoinRule      Field = 16 // text
	FieldRoomName          Field = 17 // text
	FieldRoomAlias         Field = 18 // text: the canonical alias
	FieldRoomTopic         Field = 19 // text
	FieldRoomEncrypted     Field = 20 // truth
	FieldRoomMembers       Field = 21 // number: joined members
	FieldUserMembership    Field = 22 // text: the knocker's membership before this knock, absent if none
	FieldRoomAgeMS         Field = 23 // number: age of the host's view of the room

	FieldRoomACL               Field = 24 // the content of the room's server ACL as canonical JSON; empty if it has none, absent if larger than MaxRoomACL or not told
	FieldRoomPending           Field = 25 // number: users who have knocked and were not answered; absent if not told, like the four below
	FieldRoomPendingServer     Field = 26 // number: those of them on the knocker's server
	FieldRoomMembersServer     Field = 27 // number: joined members on the knocker's server
	FieldRoomBanned            Field = 28 // number: banned users
	FieldRoomBannedServer      Field = 29 // number: those of them on the knocker's server
	FieldUserMembershipSinceMS Field = 30 // number: when the knocker's member event was made, by its server's clock
	FieldUserMembershipBy      Field = 31 // text: who made it

	// FieldCount is how many fields this version of the package knows.
	FieldCount = 32
)

// Layout of a request frame, all numbers little-endian: magic u32, total
// length u32, phase u32, field count u32, then for each field offset u32 and
// length u32 from the frame's start ({0,0} is absent), then the bytes.
const (
	FrameMagic  = 0x314b4e4b // "KNK1"
	FrameHeader = 16
	FieldEntry  = 8
)

// Facts is what a policy is told about one knock. A host fills it; a policy
// reads the same values from the frame that AppendFrame makes.
type Facts struct {
	Phase             Phase
	RoomID            string
	RoomVersion       string
	UserID            string
	UserLocalpart     string
	UserServer        string // without port
	Origin            string // with port
	SupportedVersions []string
	Reason            Text
	Displayname       Text
	AvatarURL         Text
	Event             []byte // canonical JSON; nil on make_knock
	RequestID         string
	NowMS             int64
	ContentHashOK     bool
	Room              RoomFacts
}

// RoomFacts is what the host knows of the room's current state. With Known
// false every other field is absent from the frame.
type RoomFacts struct {
	Known          bool
	JoinRule       Text
	Name           Text
	Alias          Text
	Topic          Text
	Encrypted      bool
	Members        int64
	UserMembership Text
	AgeMS          int64

	// ACL is the content of the m.room.server_acl event as canonical JSON, at
	// most MaxRoomACL bytes; present and empty for a room without one.
	ACL Text
	// Pending counts those who knocked and were not answered, Banned the banned
	// users. The ones of a server count users whose ID has the server name of the
	// knocker's, port included.
	Pending, PendingServer, MembersServer, Banned, BannedServer Number
	// UserMembershipSinceMS and UserMembershipBy are origin_server_ts and sender
	// of the knocker's member event.
	UserMembershipSinceMS Number
	UserMembershipBy      Text
}

// Text is a string that may be absent, which is not the same as empty.
type Text struct {
	Value   string
	Present bool
}

// Some returns a present text.
func Some(s string) Text { return Text{Value: s, Present: true} }

// Number is a number that may be absent, which is not the same as 0.
type Number struct {
	Value   int64
	Present bool
}

// Count returns a present number.
func Count(n int64) Number { return Number{Value: n, Present: true} }

// AppendFrame appends the request frame of f to dst and returns it. It
// allocates only where dst has no room. The frame's offsets count from
// len(dst), so dst is usually empty.
func AppendFrame(dst []byte, f *Facts) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, FrameHeader+FieldCount*FieldEntry)...)
	w := frameWriter{buf: dst, start: start}

	w.begin()
	w.buf = AppendJSON(w.buf, f)
	w.end(FieldJSON)

	w.text(FieldRoomID, f.RoomID)
	w.text(FieldRoomVersion, f.RoomVersion)
	w.text(FieldUserID, f.UserID)
	w.text(FieldUserLocalpart, f.UserLocalpart)
	w.text(FieldUserServer, f.UserServer)
	w.text(FieldOrigin, f.Origin)
	w.text(FieldRequestID, f.RequestID)
	w.number(FieldNowMS, f.NowMS)
	switch f.Phase {
	case MakeKnock:
		w.begin()
		for i, v := range f.SupportedVersions {
			if i > 0 {
				w.buf = append(w.buf, '\n')
			}
			w.buf = append(w.buf, v...)
		}
		w.end(FieldSupportedVersions)
	case SendKnock:
		w.optional(FieldReason, f.Reason)
		w.optional(FieldDisplayname, f.Displayname)
		w.optional(FieldAvatarURL, f.AvatarURL)
		w.begin()
		w.buf = append(w.buf, f.Event...)
		w.end(FieldEvent)
		w.truth(FieldContentHashOK, f.ContentHashOK)
	}
	w.truth(FieldRoomKnown, f.Room.Known)
	if f.Room.Known {
		w.optional(FieldRoomJoinRule, f.Room.JoinRule)
		w.optional(FieldRoomName, f.Room.Name)
		w.optional(FieldRoomAlias, f.Room.Alias)
		w.optional(FieldRoomTopic, f.Room.Topic)
		w.truth(FieldRoomEncrypted, f.Room.Encrypted)
		w.number(FieldRoomMembers, f.Room.Members)
		w.optional(FieldUserMembership, f.Room.UserMembership)
		w.number(FieldRoomAgeMS, f.Room.AgeMS)
		w.optional(FieldRoomACL, f.Room.ACL)
		w.count(FieldRoomPending, f.Room.Pending)
		w.count(FieldRoomPendingServer, f.Room.PendingServer)
		w.count(FieldRoomMembersServer, f.Room.MembersServer)
		w.count(FieldRoomBanned, f.Room.Banned)
		w.count(FieldRoomBannedServer, f.Room.BannedServer)
		w.count(FieldUserMembershipSinceMS, f.Room.UserMembershipSinceMS)
		w.optional(FieldUserMembershipBy, f.Room.UserMembershipBy)
	}

	head := w.buf[start:]
	le := binary.LittleEndian
	le.PutUint32(head[0:], FrameMagic)
	le.PutUint32(head[4:], uint32(len(head)))
	le.PutUint32(head[8:], uint32(f.Phase))
	le.PutUint32(head[12:], FieldCount)
	return w.buf
}

// frameWriter appends fields and notes their places in the frame's table.
type frameWriter struct {
	buf   []byte
	start int // where the frame starts in buf
	mark  int // where the open field starts in buf
}

func (w *frameWriter) begin() { w.mark = len(w.buf) }

func (w *frameWriter) end(f Field) {
	at := w.start + FrameHeader + int(f)*FieldEntry
	binary.LittleEndian.PutUint32(w.buf[at:], uint32(w.mark-w.start))
	binary.LittleEndian.PutUint32(w.buf[at+4:], uint32(len(w.buf)-w.mark))
}

func (w *frameWriter) text(f Field, s string) {
	w.begin()
	w.buf = append(w.buf, s...)
	w.end(f)
}

func (w *frameWriter) optional(f Field, t Text) {
	if t.Present {
		w.text(f, t.Value)
	}
}

func (w *frameWriter) number(f Field, n int64) {
	w.begin()
	w.buf = binary.LittleEndian.AppendUint64(w.buf, uint64(n))
	w.end(f)
}

func (w *frameWriter) count(f Field, n Number) {
	if n.Present {
		w.number(f, n.Value)
	}
}

func (w *frameWriter) truth(f Field, b bool) {
	w.begin()
	if b {
		w.buf = append(w.buf, 1)
	} else {
		w.buf = append(w.buf, 0)
	}
	w.end(f)
}

// Frame is a request frame as a guest reads it.
type Frame []byte

// Valid reports whether the frame's header and table are whole: right magic,
// right length, every field inside it.
func (fr Frame) Valid() bool {
	if len(fr) < FrameHeader {
		return false
	}
	le := binary.LittleEndian
	n := uint64(le.Uint32(fr[12:]))
	if le.Uint32(fr) != FrameMagic || uint64(le.Uint32(fr[4:])) != uint64(len(fr)) ||
		FrameHeader+n*FieldEntry > uint64(len(fr)) {
		return false
	}
	for i := range n {
		at := FrameHeader + i*FieldEntry
		if uint64(le.Uint32(fr[at:]))+uint64(le.Uint32(fr[at+4:])) > uint64(len(fr)) {
			return false
		}
	}
	return true
}

// Phase returns the frame's phase. The frame must be Valid.
func (fr Frame) Phase() Phase { return Phase(binary.LittleEndian.Uint32(fr[8:])) }

// Field returns the bytes of a field, without copying them, and whether it is
// present. The frame must be Valid.
func (fr Frame) Field(f Field) ([]byte, bool) {
	le := binary.LittleEndian
	if uint32(f) >= le.Uint32(fr[12:]) {
		return nil, false
	}
	at := FrameHeader + int(f)*FieldEntry
	off, n := le.Uint32(fr[at:]), le.Uint32(fr[at+4:])
	if off == 0 {
		return nil, false
	}
	return fr[off : off+n : off+n], true
}
