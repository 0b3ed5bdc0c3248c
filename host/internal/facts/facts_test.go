package facts

import (
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
		Joined: 3, At: at.Add(-2 * time.Second),
	}
}

var roomWant = abi.RoomFacts{
	Known: true, JoinRule: abi.Some("knock"), Name: abi.Some("Lobby"),
	Members: 3, UserMembership: abi.Some("leave"), AgeMS: 2000,
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

// TestFactsFitAFrame: the largest event there can be makes a frame that fits.
func TestFactsFitAFrame(t *testing.T) {
	reason := make([]byte, 0, 6*10_700)
	for range 10_700 {
		reason = append(reason, `\u0001`...) // grows most when escaped again
	}
	ev := state(t, "m.room.member", "@u:there.example:8448", `{"membership":"knock","reason":"`+string(reason)+`"}`)
	r := room(t)
	long := strings.Repeat("ä", 30_000)
	r.Name = state(t, "m.room.name", "", `{"name":"`+long+`"}`)
	r.Topic = state(t, "m.room.topic", "", `{"topic":"x`+long+`"}`)
	r.Alias = state(t, "m.room.canonical_alias", "", `{"alias":"`+long+`"}`)
	f := ForSend(asked, ev, r)
	for _, text := range []abi.Text{f.Room.Name, f.Room.Topic, f.Room.Alias} {
		if len(text.Value) < maxRoomText-1 || !strings.HasSuffix(text.Value, "ä") {
			t.Errorf("a room's text was cut to %d bytes, ending in %q", len(text.Value), text.Value[len(text.Value)-3:])
		}
	}
	if frame := abi.AppendFrame(nil, &f); len(frame) > abi.MaxFrame || !abi.Frame(frame).Valid() {
		t.Errorf("frame of %d bytes; at most %d, and it must be valid", len(frame), abi.MaxFrame)
	}
}

// TestOutline: of a room that another program keeps, what it has is told, cut as
// ours is; of one that is not known nothing is but its version, if that is.
func TestOutline(t *testing.T) {
	m := &knock.Make{Member: knock.Member{Room: "!r:here", User: "@u:there.example:8448"}, Versions: []string{"11"}}
	got := ForMakeOutline(asked, m, &knock.Outline{
		ID: "!r:here", VersionID: "11", Known: true, JoinRule: "knock", Name: strings.Repeat("\u00e9", 2000), Encrypted: true, Joined: 3, Membership: "leave", At: at.Add(-time.Second),
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
	got = ForMakeOutline(asked, m, &knock.Outline{ID: "!r:here", VersionID: "11", Name: "stale", Joined: 3, At: at})
	want.Room = abi.RoomFacts{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("not known (-want +got):\n%s", diff)
	}
}
