package policy_test

import (
	"slices"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
	"github.com/knockgate/knockgate/sdk/go/policy"
)

func TestKnock(t *testing.T) {
	k := policy.NewKnock(abi.Facts{
		Phase: abi.SendKnock, RoomID: "!r:here.example", RoomVersion: "11", UserID: "@a:example.org:8448",
		UserLocalpart: "a", UserServer: "example.org", Origin: "example.org:8448",
		Reason: abi.Some("hi"), Displayname: abi.Some(""), Event: []byte(`{"type":"m.room.member"}`),
		RequestID: "req", NowMS: -5, ContentHashOK: true,
		Room: abi.RoomFacts{Known: true, JoinRule: abi.Some("knock"), Name: abi.Some("Lobby"), Alias: abi.Some("#l:x"),
			Topic: abi.Some("talk"), Encrypted: true, Members: 3, UserMembership: abi.Some("leave"), AgeMS: 9,
			ACL: abi.Some(`{"allow":["*"]}`), Pending: abi.Count(5), PendingServer: abi.Count(0), MembersServer: abi.Count(2),
			Banned: abi.Count(7), BannedServer: abi.Count(1), UserMembershipSinceMS: abi.Count(-3), UserMembershipBy: abi.Some("@mod:x")},
	})
	for _, c := range []struct{ name, got, want string }{
		{"RoomID", k.RoomID(), "!r:here.example"},
		{"RoomVersion", k.RoomVersion(), "11"},
		{"UserID", k.UserID(), "@a:example.org:8448"},
		{"UserLocalpart", k.UserLocalpart(), "a"},
		{"UserServer", k.UserServer(), "example.org"},
		{"Origin", k.Origin(), "example.org:8448"},
		{"OriginServer", k.OriginServer(), "example.org"},
		{"Reason", k.Reason(), "hi"},
		{"Displayname", k.Displayname(), ""},
		{"AvatarURL", k.AvatarURL(), ""},
		{"Event", string(k.Event()), `{"type":"m.room.member"}`},
		{"RequestID", k.RequestID(), "req"},
		{"RoomJoinRule", k.RoomJoinRule(), "knock"},
		{"RoomName", k.RoomName(), "Lobby"},
		{"RoomAlias", k.RoomAlias(), "#l:x"},
		{"RoomTopic", k.RoomTopic(), "talk"},
		{"UserMembership", k.UserMembership(), "leave"},
		{"UserMembershipBy", k.UserMembershipBy(), "@mod:x"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, c.got, c.want)
		}
	}
	if k.Phase() != policy.SendKnock || k.NowMS() != -5 || k.RoomMembers() != 3 || k.RoomAgeMS() != 9 ||
		!k.ContentHashOK() || !k.RoomKnown() || !k.RoomEncrypted() || len(k.JSON()) == 0 {
		t.Errorf("wrong numbers or truths in %s", k.JSON())
	}
	if acl, told := k.RoomACL(); acl != `{"allow":["*"]}` || !told {
		t.Errorf("RoomACL: got %q, %v", acl, told)
	}
	for _, c := range told(k) {
		if got, ok := c.get(); got != c.want || !ok {
			t.Errorf("%s: got %d, %v, want %d", c.name, got, ok, c.want)
		}
	}
	if _, ok := k.Text(abi.FieldDisplayname); !ok {
		t.Error("an empty display name is absent")
	}
	if _, ok := k.Text(abi.FieldAvatarURL); ok {
		t.Error("an absent avatar is there")
	}
	if k.Supports("11") {
		t.Error("send_knock supports a version")
	}
}

// told are the getters that say whether the host told, with what TestKnock wants
// of them.
func told(k *policy.Knock) []toldNumber {
	return []toldNumber{
		{"RoomPending", k.RoomPending, 5},
		{"RoomPendingServer", k.RoomPendingServer, 0},
		{"RoomMembersServer", k.RoomMembersServer, 2},
		{"RoomBanned", k.RoomBanned, 7},
		{"RoomBannedServer", k.RoomBannedServer, 1},
		{"UserMembershipSinceMS", k.UserMembershipSinceMS, -3},
	}
}

type toldNumber struct {
	name string
	get  func() (int64, bool)
	want int64
}

// TestKnockAbsent: every getter is safe where the host sent nothing.
func TestKnockAbsent(t *testing.T) {
	k := policy.NewKnock(abi.Facts{Phase: abi.MakeKnock})
	if k.Phase() != policy.MakeKnock || k.Reason() != "" || k.Event() != nil || k.ContentHashOK() || k.RoomKnown() ||
		k.RoomMembers() != 0 || k.UserMembership() != "" || k.OriginServer() != "" || k.Bytes(99) != nil {
		t.Error("something is there")
	}
	if acl, ok := k.RoomACL(); acl != "" || ok || k.UserMembershipBy() != "" {
		t.Errorf("RoomACL: got %q, %v; UserMembershipBy %q", acl, ok, k.UserMembershipBy())
	}
	for _, c := range told(k) {
		if got, ok := c.get(); got != 0 || ok {
			t.Errorf("%s: got %d, %v, want that it was not told", c.name, got, ok)
		}
	}
	none := policy.NewKnock(abi.Facts{Phase: abi.MakeKnock, Room: abi.RoomFacts{Known: true, ACL: abi.Some("")}})
	if acl, ok := none.RoomACL(); acl != "" || !ok {
		t.Errorf("RoomACL of a room without one: got %q, %v, want that this was told", acl, ok)
	}
	if n, ok := k.Number(abi.FieldRoomMembers); n != 0 || ok {
		t.Errorf("members: got %d, %v", n, ok)
	}
	if n, ok := k.Number(abi.FieldOrigin); n != 0 || ok {
		t.Errorf("a text as a number: got %d, %v", n, ok)
	}
}

func TestSupportedVersions(t *testing.T) {
	for _, want := range [][]string{nil, {"11"}, {"7", "10", "org.example.1"}} {
		k := policy.NewKnock(abi.Facts{Phase: abi.MakeKnock, SupportedVersions: want})
		if got := slices.Collect(k.SupportedVersions()); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, v := range want {
			if !k.Supports(v) || k.Supports(v+"1") {
				t.Errorf("%q: %s", want, v)
			}
		}
	}
}

func TestStripPort(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "example.org": "example.org", "example.org:8448": "example.org", "example.org:": "example.org",
		"1.2.3.4": "1.2.3.4", "1.2.3.4:1": "1.2.3.4", "[::1]": "[::1]", "[::1]:8448": "[::1]",
		"example.org:port": "example.org:port", "8448": "8448", ":1": "",
	} {
		if got := policy.StripPort(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestGettersDoNotAllocate(t *testing.T) {
	k := policy.NewKnock(abi.Facts{Phase: abi.MakeKnock, Origin: "example.org:8448", UserID: "@a:example.org:8448",
		SupportedVersions: []string{"10", "11"}, NowMS: 7})
	n := testing.AllocsPerRun(100, func() {
		if k.OriginServer() != "example.org" || !k.Supports("11") || k.NowMS() != 7 || k.Reason() != "" {
			t.Error("wrong")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
