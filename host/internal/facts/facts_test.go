package facts

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/sdk/abi"
)

var (
	v11, _ = matrix.LookupRoomVersion("11")
	at     = time.UnixMilli(1_795_480_141_057)
	asked  = Request{ID: "req1", Origin: "there.example:8448", At: at}
)

// state returns a state event of the room !r:here.
func state(t *testing.T, eventType, stateKey, content string) *pdu.Event {
	t.Helper()
	return parse(t, `{"auth_events":[],"content":`+content+`,"depth":1,"origin_server_ts":1,"prev_events":[],"room_id":"!r:here","sender":"@u:there.example:8448","state_key":"`+stateKey+`","type":"`+eventType+`"}`)
}

func parse(t *testing.T, text string) *pdu.Event {
	t.Helper()
	doc, err := canonicaljson.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := pdu.Sign(doc, v11, "there.example:8448", noSigner{})
	if err != nil {
		t.Fatal(err)
	}
	ev, err := pdu.ParseStored(signed, v11)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

type noSigner struct{}

func (noSigner) KeyID() matrix.KeyID  { return "ed25519:none" }
func (noSigner) Sign(_ []byte) []byte { return make([]byte, 64) }

func room(t *testing.T) *knock.Room {
	t.Helper()
	return &knock.Room{
		ID: "!r:here", Version: v11, VersionID: "11",
		JoinRules: state(t, "m.room.join_rules", "", `{"join_rule":"knock"}`),
		Name:      state(t, "m.room.name", "", `{"name":"Lobby"}`),
		Topic:     state(t, "m.room.topic", "", `{"topic":7}`),
		Member: func(user matrix.UserID) *pdu.Event {
			return state(t, "m.room.member", string(user), `{"membership":"leave"}`)
		},
		Counts: knock.Counts{Joined: 3, Pending: 5, Banned: 1}, At: at.Add(-2 * time.Second),
		Of: func(server matrix.ServerName) knock.Counts {
			if server != "there.example:8448" {
				t.Errorf("the counts of %s are asked for", server)
			}
			return knock.Counts{Joined: 1, Pending: 2}
		},
	}
}

var roomWant = abi.RoomFacts{
	Known: true, JoinRule: abi.Some("knock"), Name: abi.Some("Lobby"),
	Members: 3, UserMembership: abi.Some("leave"), AgeMS: 2000, ACL: abi.Some(""),
	Pending: abi.Count(5), PendingServer: abi.Count(2), MembersServer: abi.Count(1), Banned: abi.Count(1), BannedServer: abi.Count(0),
	UserMembershipSinceMS: abi.Count(1), UserMembershipBy: abi.Some("@u:there.example:8448"),
}

func TestForMake(t *testing.T) {
	m := &knock.Make{Member: knock.Member{Room: "!r:here", User: "@Ünï:there.example:8448"}, Versions: []string{"10", "11"}}
	got := ForMake(asked, m, room(t))
	want := abi.Facts{
		Phase: abi.MakeKnock, RoomID: "!r:here", RoomVersion: "11",
		UserID: "@Ünï:there.example:8448", UserLocalpart: "Ünï", UserServer: "there.example", Origin: "there.example:8448",
		SupportedVersions: []string{"10", "11"}, RequestID: "req1", NowMS: at.UnixMilli(), Room: roomWant,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestForSend(t *testing.T) {
	ev := state(t, "m.room.member", "@u:there.example:8448", `{"membership":"knock","reason":"","displayname":"Ada","avatar_url":null}`)
	got := ForSend(asked, ev, room(t))
	want := abi.Facts{
		Phase: abi.SendKnock, RoomID: "!r:here", RoomVersion: "11",
		UserID: "@u:there.example:8448", UserLocalpart: "u", UserServer: "there.example", Origin: "there.example:8448",
		Reason: abi.Some(""), Displayname: abi.Some("Ada"), Event: ev.JSON(),
		RequestID: "req1", NowMS: at.UnixMilli(), ContentHashOK: true, Room: roomWant,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestForSendRedacted: what was changed after signing is not told, and that it
// was is.
func TestForSendRedacted(t *testing.T) {
	ev := state(t, "m.room.member", "@u:there.example:8448", `{"membership":"knock","reason":"changed"}`).Redacted()
	got := ForSend(asked, ev, room(t))
	if got.Reason.Present || got.Displayname.Present || got.ContentHashOK {
		t.Errorf("facts of a redacted event: reason %+v, displayname %+v, content hash right %v", got.Reason, got.Displayname, got.ContentHashOK)
	}
}

// TestFactsFitAFrame: the largest event there can be makes a frame that fits,
// beside the largest of all that is told of a room.
func TestFactsFitAFrame(t *testing.T) {
	acl := `{"allow":["` + strings.Repeat("x", abi.MaxRoomACL-len(`{"allow":[""]}`)) + `"]}`
	for _, tt := range []struct{ name, reason, room string }{
		// Grows most when it is escaped again, and stands three times in full.
		{"escapes", strings.Repeat(`\u0001`, 10_700), strings.Repeat(`\u0001`, 10_000)},
		{"plain", strings.Repeat("x", 64_900), strings.Repeat("ä", 30_000)},
		{"quotes", strings.Repeat(`\"`, 32_400), strings.Repeat(`\\`, 30_000)},
		{"plain with escapes", strings.Repeat("x", 64_900), strings.Repeat(`\u0001`, 10_000)},
	} {
		ev := state(t, "m.room.member", "@u:there.example:8448", `{"membership":"knock","reason":"`+tt.reason+`"}`)
		r := room(t)
		r.Name = state(t, "m.room.name", "", `{"name":"`+tt.room+`"}`)
		r.Topic = state(t, "m.room.topic", "", `{"topic":"x`+tt.room+`"}`)
		r.Alias = state(t, "m.room.canonical_alias", "", `{"alias":"`+tt.room+`"}`)
		r.JoinRules = state(t, "m.room.join_rules", "", `{"join_rule":"`+tt.room+`"}`)
		r.ACL = state(t, "m.room.server_acl", "", acl)
		f := ForSend(asked, ev, r)
		for _, text := range []abi.Text{f.Room.Name, f.Room.Topic, f.Room.Alias, f.Room.JoinRule} {
			b, err := json.Marshal(text.Value)
			if err != nil {
				t.Fatal(err)
			}
			size := len(b) - len(`""`)
			if size > maxRoomText || size < maxRoomText-6 {
				t.Errorf("%s: a room's text was cut to %d bytes of %d", tt.name, size, maxRoomText)
			}
		}
		if f.Room.ACL != abi.Some(acl) {
			t.Errorf("%s: an ACL of %d bytes is told as %d bytes", tt.name, len(acl), len(f.Room.ACL.Value))
		}
		id := "@" + strings.Repeat("\x01", 253) + ":" // whatever else stands in a frame is at its largest
		f.UserID, f.UserLocalpart, f.UserServer, f.RoomID, f.Origin, f.Room.UserMembershipBy = id, id, id, id, id, abi.Some(id)
		if frame := abi.AppendFrame(nil, &f); len(frame) > abi.MaxFrame || !abi.Frame(frame).Valid() {
			t.Errorf("%s: frame of %d bytes; at most %d, and it must be valid", tt.name, len(frame), abi.MaxFrame)
		}
		r.ACL = state(t, "m.room.server_acl", "", strings.Replace(acl, "x", "xx", 1))
		if f := ForSend(asked, ev, r); f.Room.ACL.Present {
			t.Errorf("%s: an ACL that is too large is told, as %d bytes", tt.name, len(f.Room.ACL.Value))
		}
	}
}

// TestOutline: of a room that another program keeps, what it has is told, cut as
// ours is; of one that is not known nothing is but its version, if that is.
func TestOutline(t *testing.T) {
	m := &knock.Make{Member: knock.Member{Room: "!r:here", User: "@u:there.example:8448"}, Versions: []string{"11"}}
	got := ForMakeOutline(asked, m, &knock.Outline{
		ID: "!r:here", VersionID: "11", Known: true, JoinRule: "knock", Name: strings.Repeat("\u00e9", 2000), Encrypted: true, Counts: knock.Counts{Joined: 3, Pending: 9}, Membership: "leave", At: at.Add(-time.Second),
	})
	want := abi.Facts{
		Phase: abi.MakeKnock, RoomID: "!r:here", RoomVersion: "11", UserID: "@u:there.example:8448", UserLocalpart: "u", UserServer: "there.example",
		Origin: asked.Origin.Host() + ":8448", SupportedVersions: []string{"11"}, RequestID: "req1", NowMS: at.UnixMilli(),
		Room: abi.RoomFacts{
			Known: true, JoinRule: abi.Some("knock"), Name: abi.Some(strings.Repeat("\u00e9", maxRoomText/2)), Encrypted: true, Members: 3,
			UserMembership: abi.Some("leave"), AgeMS: 1000,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("known (-want +got):\n%s", diff)
	}
	got = ForMakeOutline(asked, m, &knock.Outline{
		ID: "!r:here", VersionID: "11", Known: true, ACLTold: true, ACL: `{"allow":[]}`, MembersRead: true, Counts: knock.Counts{Joined: 3, Pending: 9, Banned: 4},
		OfServer: knock.Counts{Joined: 1, Pending: 2, Banned: 3}, Membership: "ban", By: "@mod:here", SinceMS: -1, At: at,
	})
	want.Room = abi.RoomFacts{
		Known: true, Members: 3, UserMembership: abi.Some("ban"), ACL: abi.Some(`{"allow":[]}`), Pending: abi.Count(9), PendingServer: abi.Count(2),
		MembersServer: abi.Count(1), Banned: abi.Count(4), BannedServer: abi.Count(3), UserMembershipSinceMS: abi.Count(-1), UserMembershipBy: abi.Some("@mod:here"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("all told (-want +got):\n%s", diff)
	}
	got = ForMakeOutline(asked, m, &knock.Outline{ID: "!r:here", VersionID: "11", Name: "stale", ACLTold: true, MembersRead: true, Membership: "ban", By: "@m:here", At: at})
	want.Room = abi.RoomFacts{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("not known (-want +got):\n%s", diff)
	}
}
