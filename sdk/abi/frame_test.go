package abi_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/sdk/abi"
)

// read returns what a guest reads from a frame, in the form of the facts.
func read(fr abi.Frame) abi.Facts {
	text := func(f abi.Field) abi.Text {
		b, ok := fr.Field(f)
		return abi.Text{Value: string(b), Present: ok}
	}
	number := func(f abi.Field) int64 {
		b, _ := fr.Field(f)
		if len(b) != 8 {
			return 0
		}
		return int64(binary.LittleEndian.Uint64(b))
	}
	count := func(f abi.Field) abi.Number {
		_, ok := fr.Field(f)
		return abi.Number{Value: number(f), Present: ok}
	}
	truth := func(f abi.Field) bool {
		b, _ := fr.Field(f)
		return len(b) == 1 && b[0] == 1
	}
	f := abi.Facts{
		Phase:         fr.Phase(),
		RoomID:        text(abi.FieldRoomID).Value,
		RoomVersion:   text(abi.FieldRoomVersion).Value,
		UserID:        text(abi.FieldUserID).Value,
		UserLocalpart: text(abi.FieldUserLocalpart).Value,
		UserServer:    text(abi.FieldUserServer).Value,
		Origin:        text(abi.FieldOrigin).Value,
		Reason:        text(abi.FieldReason),
		Displayname:   text(abi.FieldDisplayname),
		AvatarURL:     text(abi.FieldAvatarURL),
		RequestID:     text(abi.FieldRequestID).Value,
		NowMS:         number(abi.FieldNowMS),
		ContentHashOK: truth(abi.FieldContentHashOK),
		Room: abi.RoomFacts{
			Known:          truth(abi.FieldRoomKnown),
			JoinRule:       text(abi.FieldRoomJoinRule),
			Name:           text(abi.FieldRoomName),
			Alias:          text(abi.FieldRoomAlias),
			Topic:          text(abi.FieldRoomTopic),
			Encrypted:      truth(abi.FieldRoomEncrypted),
			Members:        number(abi.FieldRoomMembers),
			UserMembership: text(abi.FieldUserMembership),
			AgeMS:          number(abi.FieldRoomAgeMS),

			ACL:                   text(abi.FieldRoomACL),
			Pending:               count(abi.FieldRoomPending),
			PendingServer:         count(abi.FieldRoomPendingServer),
			MembersServer:         count(abi.FieldRoomMembersServer),
			Banned:                count(abi.FieldRoomBanned),
			BannedServer:          count(abi.FieldRoomBannedServer),
			UserMembershipSinceMS: count(abi.FieldUserMembershipSinceMS),
			UserMembershipBy:      text(abi.FieldUserMembershipBy),
		},
	}
	if v := text(abi.FieldSupportedVersions); v.Value != "" {
		f.SupportedVersions = strings.Split(v.Value, "\n")
	}
	if b, ok := fr.Field(abi.FieldEvent); ok && len(b) > 0 {
		f.Event = b
	}
	return f
}

// visible returns what of the facts is in a frame.
func visible(f abi.Facts) abi.Facts {
	if f.Phase != abi.MakeKnock {
		f.SupportedVersions = nil
	}
	if f.Phase != abi.SendKnock {
		f.Reason, f.Displayname, f.AvatarURL = abi.Text{}, abi.Text{}, abi.Text{}
		f.Event, f.ContentHashOK = nil, false
	}
	if !f.Room.Known {
		f.Room = abi.RoomFacts{}
	}
	return f
}

func TestAppendFrame(t *testing.T) {
	for _, c := range frames {
		t.Run(c.name, func(t *testing.T) {
			frame := abi.Frame(abi.AppendFrame(nil, &c.facts))
			if !frame.Valid() {
				t.Fatal("not valid")
			}
			if diff := cmp.Diff(visible(c.facts), read(frame)); diff != "" {
				t.Errorf("the facts (-) are not what a guest reads (+):\n%s", diff)
			}
			if n := binary.LittleEndian.Uint32(frame[12:]); n != abi.FieldCount {
				t.Errorf("%d entries, want %d", n, abi.FieldCount)
			}
			behind := abi.AppendFrame([]byte("before"), &c.facts)
			if diff := cmp.Diff([]byte(frame), behind[len("before"):]); diff != "" {
				t.Errorf("a frame behind other bytes differs:\n%s", diff)
			}
		})
	}
}

func TestFieldBeyondTable(t *testing.T) {
	frame := abi.Frame(abi.AppendFrame(nil, &frames[0].facts))
	for _, f := range []abi.Field{abi.FieldCount, abi.FieldCount + 1, math.MaxInt32, math.MaxUint32} {
		if b, ok := frame.Field(f); ok || b != nil {
			t.Errorf("field %d: got %q, %v, want absent", f, b, ok)
		}
	}
}

// TestOlderHost: of the table of edition 1.0, the fields of later ones are absent.
func TestOlderHost(t *testing.T) {
	frame := abi.Frame(abi.AppendFrame(nil, &frames[0].facts))
	binary.LittleEndian.PutUint32(frame[12:], 24)
	if !frame.Valid() {
		t.Fatal("not valid")
	}
	for f := range abi.Field(abi.FieldCount) {
		if _, ok := frame.Field(f); ok && f >= 24 {
			t.Errorf("field %d is there", f)
		}
	}
	if b, ok := frame.Field(abi.FieldUserMembership); !ok || string(b) != "leave" {
		t.Errorf("user_membership is %q, %v", b, ok)
	}
}

func TestValid(t *testing.T) {
	for _, c := range invalid {
		if abi.Frame(c.frame()).Valid() {
			t.Errorf("%s: valid", c.name)
		}
	}
}

func TestAppendFrameDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, abi.MaxFrame)
	for _, c := range frames {
		if n := testing.AllocsPerRun(100, func() { buf = abi.AppendFrame(buf[:0], &c.facts) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", c.name, n)
		}
	}
}

// FuzzFrame: whatever the bytes, no field of a valid frame panics or reaches
// beyond the frame.
func FuzzFrame(f *testing.F) {
	for _, c := range frames {
		f.Add(abi.AppendFrame(nil, &c.facts))
	}
	for _, c := range invalid {
		f.Add(c.frame())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		frame := abi.Frame(data)
		if !frame.Valid() {
			return
		}
		for field := range abi.Field(abi.FieldCount + 8) {
			b, ok := frame.Field(field)
			if !ok && b != nil {
				t.Errorf("field %d is absent and has bytes", field)
			}
			if len(b) > len(data) || len(b) != cap(b) {
				t.Errorf("field %d: %d bytes with room for %d, of a frame of %d", field, len(b), cap(b), len(data))
			}
		}
		frame.Field(math.MaxUint32)
		frame.Phase()
	})
}

// FuzzAppendFrame: a guest reads back the facts that went in, and field json is
// a JSON object with the same texts.
func FuzzAppendFrame(f *testing.F) {
	for _, c := range frames {
		f.Add(uint32(c.facts.Phase), c.facts.Origin, c.facts.Reason.Value, c.facts.Reason.Present,
			c.facts.Event, c.facts.Room.Name.Value, c.facts.NowMS)
	}
	f.Fuzz(func(t *testing.T, phase uint32, origin, reason string, hasReason bool, event []byte, name string, now int64) {
		facts := abi.Facts{
			Phase: abi.Phase(phase), Origin: origin, Event: event, NowMS: now, ContentHashOK: hasReason,
			Room: abi.RoomFacts{Known: len(name) > 3, Name: abi.Some(name), Members: -now},
		}
		if hasReason {
			facts.Reason = abi.Some(reason)
		}
		frame := abi.Frame(abi.AppendFrame(nil, &facts))
		if !frame.Valid() {
			t.Fatal("not valid")
		}
		want := visible(facts)
		if len(want.Event) == 0 {
			want.Event = nil
		}
		if diff := cmp.Diff(want, read(frame)); diff != "" {
			t.Errorf("the facts (-) are not what a guest reads (+):\n%s", diff)
		}
		if !utf8.ValidString(origin + reason + name) {
			return
		}
		var got struct {
			Origin string
			Reason *string
			Room   struct{ Name *string }
		}
		text, _ := frame.Field(abi.FieldJSON)
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if got.Origin != origin || (got.Reason != nil) != want.Reason.Present ||
			got.Reason != nil && *got.Reason != reason || got.Room.Name != nil && *got.Room.Name != name {
			t.Errorf("json holds %+v", got)
		}
	})
}

func BenchmarkAppendFrame(b *testing.B) {
	for _, c := range frames {
		b.Run(c.name, func(b *testing.B) {
			buf := make([]byte, 0, abi.MaxFrame)
			b.ReportAllocs()
			for b.Loop() {
				buf = abi.AppendFrame(buf[:0], &c.facts)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}
