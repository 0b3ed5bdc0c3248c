package abi_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/sdk/abi"
)

var update = flag.Bool("update", false, "write testdata/frames.json anew")

// frames are the facts behind the shared vectors.
var frames = []struct {
	name  string
	facts abi.Facts
}{
	{"make_knock", abi.Facts{
		Phase: abi.MakeKnock, RoomID: "!room:here.example", RoomVersion: "11",
		UserID: "@alice:example.org:8448", UserLocalpart: "alice", UserServer: "example.org",
		Origin: "example.org:8448", SupportedVersions: []string{"7", "11", "org.example.1"},
		RequestID: "01-a", NowMS: 1_700_000_000_123,
		Room: abi.RoomFacts{Known: true, JoinRule: abi.Some("knock"), Name: abi.Some("Lobby"),
			Alias: abi.Some("#lobby:here.example"), Topic: abi.Some(""), Encrypted: true,
			Members: 42, UserMembership: abi.Some("leave"), AgeMS: 0,
			ACL:     abi.Some(`{"allow":["*"],"allow_ip_literals":false,"deny":["evil.example","*.\u0007\"é"]}`),
			Pending: abi.Count(3), PendingServer: abi.Count(0), MembersServer: abi.Count(7), Banned: abi.Count(1 << 33), BannedServer: abi.Count(1),
			UserMembershipSinceMS: abi.Count(-1), UserMembershipBy: abi.Some("@mod:here.example")},
	}},
	{"make_knock, nothing known", abi.Facts{
		Phase: abi.MakeKnock, RoomID: "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", RoomVersion: "12",
		UserID: "@:[2001:db8::1]", UserServer: "[2001:db8::1]", Origin: "[2001:db8::1]",
		RequestID: "01-b", NowMS: -1,
	}},
	{"send_knock", abi.Facts{
		Phase: abi.SendKnock, RoomID: "!room:here.example", RoomVersion: "10",
		UserID: "@bob:example.org", UserLocalpart: "bob", UserServer: "example.org", Origin: "example.org",
		Reason: abi.Some("Grüße, “quoted” \\ and\nlines\x01 🚪"), Displayname: abi.Some("Bob"),
		AvatarURL: abi.Some("mxc://example.org/abc"), ContentHashOK: true,
		Event:     []byte(`{"content":{"membership":"knock"},"type":"m.room.member"}`),
		RequestID: "01-c", NowMS: 1_700_000_000_456,
		Room: abi.RoomFacts{Known: true, JoinRule: abi.Some("knock_restricted"), Members: 1 << 40, AgeMS: 61_000,
			ACL: abi.Some("")},
	}},
	{"send_knock, changed after signing", abi.Facts{
		Phase: abi.SendKnock, RoomID: "!room:here.example", RoomVersion: "7",
		UserID: "@eve:evil.example", UserLocalpart: "eve", UserServer: "evil.example", Origin: "evil.example",
		Event: []byte(`{}`), RequestID: "01-d", NowMS: 0,
	}},
	{"send_knock, empty reason", abi.Facts{
		Phase: abi.SendKnock, RoomID: "!room:here.example", RoomVersion: "11",
		UserID: "@bob:example.org", UserLocalpart: "bob", UserServer: "example.org", Origin: "example.org",
		Reason: abi.Some(""), ContentHashOK: true, Event: []byte(`{}`), RequestID: "01-e", NowMS: 1,
	}},
}

// invalid are frames that no guest may read a field of.
var invalid = []struct {
	name  string
	frame func() []byte
}{
	{"empty", func() []byte { return nil }},
	{"shorter than the header", func() []byte { return whole()[:abi.FrameHeader-1] }},
	{"one byte short", func() []byte { f := whole(); return f[:len(f)-1] }},
	{"one byte long", func() []byte { return append(whole(), 0) }},
	{"wrong magic", func() []byte { return with(0, 0x324b4e4b) }},
	{"total length too large", func() []byte { return with(4, 1<<31) }},
	{"more entries than there is room for", func() []byte { return with(12, 1<<29) }},
	{"as many entries as wrap around", func() []byte { return with(12, 1<<29+2) }},
	{"a field beyond the end", func() []byte { return with(16+8*3+4, 1<<16) }},
	{"a field that wraps around", func() []byte {
		f := with(16+8*3, 0xffffffff)
		binary.LittleEndian.PutUint32(f[16+8*3+4:], 0xffffffff)
		return f
	}},
}

func whole() []byte { return abi.AppendFrame(nil, &frames[4].facts) }

func with(at int, n uint32) []byte {
	f := whole()
	binary.LittleEndian.PutUint32(f[at:], n)
	return f
}

// vector is one entry of testdata/frames.json.
type vector struct {
	Name    string            `json:"name"`
	Valid   bool              `json:"valid"`
	Phase   string            `json:"phase,omitempty"`
	Texts   map[string]string `json:"texts,omitempty"`
	Numbers map[string]int64  `json:"numbers,omitempty"`
	Truths  map[string]bool   `json:"truths,omitempty"`
	Frame   string            `json:"frame"`
}

// TestVectors holds testdata/frames.json, which SDKs in other languages read,
// to what this package writes. With -update it writes the file.
func TestVectors(t *testing.T) {
	const path = "testdata/frames.json"
	var want []vector
	for _, c := range frames {
		want = append(want, vectorOf(c.name, abi.AppendFrame(nil, &c.facts)))
	}
	for _, c := range invalid {
		want = append(want, vector{Name: c.name, Frame: hex.EncodeToString(c.frame())})
	}
	if *update {
		text, err := json.MarshalIndent(want, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []vector
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s is not what this package writes (-update writes it):\n%s", path, diff)
	}
}

func vectorOf(name string, frame abi.Frame) vector {
	v := vector{
		Name: name, Valid: frame.Valid(), Phase: frame.Phase().String(), Frame: hex.EncodeToString(frame),
		Texts: map[string]string{}, Numbers: map[string]int64{}, Truths: map[string]bool{},
	}
	for f := range abi.Field(abi.FieldCount) {
		b, ok := frame.Field(f)
		if !ok {
			continue
		}
		name := strings.Split(fieldNames, " ")[f]
		switch f {
		case abi.FieldNowMS, abi.FieldRoomMembers, abi.FieldRoomAgeMS, abi.FieldRoomPending, abi.FieldRoomPendingServer,
			abi.FieldRoomMembersServer, abi.FieldRoomBanned, abi.FieldRoomBannedServer, abi.FieldUserMembershipSinceMS:
			v.Numbers[name] = int64(binary.LittleEndian.Uint64(b))
		case abi.FieldContentHashOK, abi.FieldRoomKnown, abi.FieldRoomEncrypted:
			v.Truths[name] = b[0] == 1
		default:
			v.Texts[name] = string(b)
		}
	}
	return v
}

// fieldNames are the names of the fields in README.md, by number.
const fieldNames = "json room_id room_version user_id user_localpart user_server origin supported_versions " +
	"reason displayname avatar_url event request_id now_ms content_hash_ok room_known room_join_rule room_name " +
	"room_alias room_topic room_encrypted room_members user_membership room_age_ms " +
	"room_acl room_pending room_pending_server room_members_server room_banned room_banned_server " +
	"user_membership_since_ms user_membership_by"
