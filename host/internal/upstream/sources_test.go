package upstream

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/sdk/abi"
)

// What Synapse 1.160 answers about the room, shortened.
const (
	adminRoom = `{"room_id":"!a/b:a.test:18648","name":"Lobby","canonical_alias":"#l:a.test","joined_members":2,"join_rules":"knock","guest_access":"can_join",` +
		`"history_visibility":"shared","state_events":9,"avatar":null,"topic":"A place","room_type":null,"joined_local_members":1,"version":"10","creator":"@c:a.test",` +
		`"encryption":"m.megolm.v1.aes-sha2","federatable":true,"public":false,"tombstoned":false,"replacement_room":null}`
	adminBare = `{"room_id":"!a/b:a.test:18648","name":null,"canonical_alias":null,"joined_members":0,"join_rules":null,"topic":null,"version":"6","encryption":null}`
	botRoom   = `{"room_id":"!a/b:a.test:18648","name":"Old name","canonical_alias":"#l:a.test","num_joined_members":2,"join_rule":"knock","topic":"A place",` +
		`"room_version":"10","world_readable":false,"guest_can_join":false,"encryption":"m.megolm.v1.aes-sha2","membership":"join"}`
	botBare = `{"room_id":"!a/b:a.test:18648","name":null,"num_joined_members":3,"join_rule":"knock","world_readable":false,"guest_can_join":false,"membership":"leave"}`

	// Two joined of b, one of them waiting in c, bans here and there, and who is none.
	members = `{"type":"m.room.member","state_key":"@u:b","sender":"@mod:a.test","origin_server_ts":17,"content":{"membership":"ban","reason":"x"}},` +
		`{"type":"m.room.member","state_key":"@v:b","sender":"@v:b","origin_server_ts":-5,"content":{"membership":"join"}},` +
		`{"type":"m.room.member","state_key":"@w:b","sender":"@w:b","origin_server_ts":1,"content":{"membership":"join"}},` +
		`{"type":"m.room.member","state_key":"@k:b","sender":"@k:b","origin_server_ts":1,"content":{"membership":"knock","reason":"\u2028"}},` +
		`{"type":"m.room.member","state_key":"@k:c","sender":"@k:c","origin_server_ts":1,"content":{"membership":"knock"}},` +
		`{"type":"m.room.member","state_key":"@x:b:1","sender":"@mod:a.test","origin_server_ts":1,"content":{"membership":"ban"}},` +
		`{"type":"m.room.member","state_key":"@l:b","sender":"@mod:a.test","origin_server_ts":9,"content":{"membership":"leave"}},` +
		`{"type":"m.room.member","state_key":"@t:b","sender":7,"origin_server_ts":"9","content":{"membership":"invite"}},` +
		`{"type":"m.room.member","state_key":"@z:b","sender":"@z:b","origin_server_ts":1,"content":{"membership":7}},` +
		`{"type":"m.room.member","state_key":"@y:b","sender":"@y:b","origin_server_ts":1,"content":"join"},` +
		`{"type":"m.room.member","state_key":"@q:b","sender":"@q:b","origin_server_ts":1,"content":{"membership":"JOIN"}},` +
		`{"type":"m.room.member","state_key":"nobody","sender":"@q:b","origin_server_ts":1,"content":{"membership":"join"}},` +
		`{"type":"m.room.other","state_key":"@o:b","sender":"@o:b","origin_server_ts":1,"content":{"membership":"join"}}`
	serverACL = `{"type":"m.room.server_acl","state_key":"","sender":"@mod:a.test","origin_server_ts":1,"content":{"deny":["evil.example"], "allow":["*"]}}`
	canonical = `{"allow":["*"],"deny":["evil.example"]}`
	wholeRoom = `[{"type":"m.room.create","state_key":"","sender":"@c:a.test","content":{"room_version":"10"}},` +
		`{"type":"m.room.join_rules","state_key":"","content":{"join_rule":"knock"}},{"type":"m.room.name","state_key":"","content":{"name":"Lobby"}},` +
		`{"type":"m.room.name","state_key":"x","content":{"name":"Another"}},{"type":"m.room.canonical_alias","state_key":"","content":{"alias":"#l:a.test"}},` +
		`{"type":"m.room.topic","state_key":"","content":{"topic":"A place"}},{"type":"m.room.encryption","state_key":"","content":{"algorithm":"m.megolm.v1.aes-sha2"}},` +
		serverACL + `,` + members + `]`
)

// all is what is told of the room to @u:b, who is banned.
var all = knock.Outline{
	VersionID: "10", Known: true, JoinRule: "knock", Name: "Lobby", Alias: "#l:a.test", Topic: "A place", Encrypted: true,
	ACLTold: true, ACL: canonical, MembersRead: true, Counts: knock.Counts{Joined: 2, Pending: 2, Banned: 2},
	OfServer: knock.Counts{Joined: 2, Pending: 1, Banned: 1}, Membership: "ban", By: "@mod:a.test", SinceMS: 17,
}

// change returns an outline that differs.
func change(o knock.Outline, how func(*knock.Outline)) knock.Outline {
	how(&o)
	return o
}

// sourceTest is what a homeserver answers, what is told then to @u:b, and which
// requests it took.
type sourceTest struct {
	name    string
	answers map[string]answer
	want    knock.Outline
	asked   []string
}

func testSource(t *testing.T, prefix string, source func(API) Source, tests []sourceTest) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &stub{answers: tt.answers}
			r, _ := newRooms(source(newAPI(t, s)))
			if diff := cmp.Diff(tt.want, ask(t, r, "@u:b")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var asked []string
			for _, target := range s.requests(t) {
				asked = append(asked, strings.TrimPrefix(target, prefix))
			}
			if !slices.Equal(asked, tt.asked) {
				t.Errorf("asked %q, want %q", asked, tt.asked)
			}
		})
	}
}

const (
	aclType    = "/state?type=m.room.server_acl"
	memberType = "/state?type=m.room.member"
	noState    = `{"state":[]}`
)

var (
	longAnswer = strings.Repeat("x", maxState+1)
	deep       = strings.Repeat(`{"a":`, 100_000) + strings.Repeat(`}`, 100_000)
	// largestACL is as canonical JSON has it, and as large as is told.
	largestACL = `{"allow":["` + strings.Repeat("x", abi.MaxRoomACL-len(`{"allow":[""]}`)) + `"]}`
)

func aclState(content string) answer {
	return answer{body: `{"state":[{"type":"m.room.server_acl","state_key":"","content":` + content + `},` + strings.Replace(serverACL, `"state_key":""`, `"state_key":"x"`, 1) + `]}`}
}

func TestAdmin(t *testing.T) {
	bare := knock.Outline{VersionID: "6", Known: true, ACLTold: true, MembersRead: true}
	onlyVersion := knock.Outline{VersionID: "6"}
	summaryOnly := []string{""}
	three := []string{"", aclType, memberType}
	answers := func(room string, acl, members answer) map[string]answer {
		return map[string]answer{"": {body: room}, aclType: acl, memberType: members}
	}
	none := answer{body: noState}
	aclTests := func(name, content, told string, is bool) sourceTest {
		return sourceTest{name, answers(adminBare, aclState(content), none), change(bare, func(o *knock.Outline) { o.ACLTold, o.ACL = is, told }), three}
	}
	testSource(t, "/_synapse/admin/v1/rooms/"+escaped, func(a API) Source { return NewAdmin(a) }, []sourceTest{
		{"all", answers(adminRoom, answer{body: `{"state":[` + serverACL + `]}`}, answer{body: `{"state":[` + members + `]}`}), all, three},
		{"nothing", answers(adminBare, none, none), bare, three},
		{"many members", answers(strings.Replace(adminBare, `"joined_members":0`, `"joined_members":1001`, 1), none, none),
			change(bare, func(o *knock.Outline) { o.MembersRead, o.Joined = false, 1001 }), three[:2]},
		{"many who left", answers(adminBare, none, answer{body: longAnswer}), change(bare, func(o *knock.Outline) { o.MembersRead = false }), three},
		{"a long answer about the ACL", answers(adminBare, answer{body: longAnswer}, none), change(bare, func(o *knock.Outline) { o.ACLTold = false }), three},
		aclTests("the largest ACL", largestACL, largestACL, true),
		aclTests("an ACL that is too large", strings.Replace(largestACL, "x", "xx", 1), "", false),
		aclTests("an ACL that is no object", `["*"]`, "", false),
		aclTests("an ACL with a key twice", `{"allow":["*"],"allow":[]}`, "", false),
		aclTests("an ACL with a fraction", `{"allow":["*"],"x":1.5}`, "", false),
		aclTests("a deep ACL", deep[:5*9_000]+"1"+strings.Repeat("}", 9_000), "", false),
		{"wrong types", answers(`{"room_id":"!a/b:a.test:18648","name":7,"canonical_alias":[],"topic":{},"join_rules":true,"version":"6","joined_members":0,"encryption":null}`, none, none), bare, three},
		{"no such room", map[string]answer{"": notFound}, knock.Outline{}, summaryOnly},
		{"no admin API there", nil, knock.Outline{}, summaryOnly},
		{"no administrator", map[string]answer{"": {403, `{"errcode":"M_FORBIDDEN"}`}}, knock.Outline{}, summaryOnly},
		{"a fault with that errcode", map[string]answer{"": {500, `{"errcode":"M_NOT_FOUND"}`}}, knock.Outline{}, summaryOnly},
		{"garbage", answers("<html>", none, none), knock.Outline{}, summaryOnly},
		{"deep", answers(deep, none, none), knock.Outline{}, summaryOnly},
		{"another room", answers(strings.Replace(adminBare, "!a", "!b", 1), none, none), knock.Outline{}, summaryOnly},
		{"no member count", answers(strings.Replace(adminBare, "joined_m", "m", 1), none, none), knock.Outline{}, summaryOnly},
		{"the ACL is garbage", answers(adminBare, answer{body: "no"}, none), onlyVersion, three[:2]},
		{"the members are garbage", answers(adminBare, none, answer{body: "no"}), onlyVersion, three},
		{"the members are deep", answers(adminBare, none, answer{body: deep}), onlyVersion, three},
		{"too much", answers(`{"topic":"`+longAnswer+`"}`, none, none), knock.Outline{}, summaryOnly},
		{"gone since", map[string]answer{"": {body: adminBare}, aclType: notFound}, onlyVersion, three[:2]},
	})
}

func TestBot(t *testing.T) {
	const (
		summaryPath = "/_matrix/client/v1/room_summary/" + escaped
		statePath   = "/_matrix/client/v3/rooms/" + escaped + "/state"
		aclPath     = statePath + "/m.room.server_acl"
	)
	seen := knock.Outline{Known: true, JoinRule: "knock", Counts: knock.Counts{Joined: 3}}
	// What the summary says of a room that the user has joined.
	summarised := knock.Outline{
		VersionID: "10", Known: true, JoinRule: "knock", Name: "Old name", Alias: "#l:a.test", Topic: "A place", Encrypted: true,
		Counts: knock.Counts{Joined: 2},
	}
	many := change(summarised, func(o *knock.Outline) { o.Joined = 1001 })
	manySummary := strings.Replace(botRoom, `"num_joined_members":2`, `"num_joined_members":1001`, 1)
	onlyVersion := knock.Outline{VersionID: "10"}
	two := []string{summaryPath, statePath}
	answers := func(summary string, state answer) map[string]answer {
		return map[string]answer{"summary": {body: summary}, "/state": state}
	}
	with := func(a map[string]answer, acl answer) map[string]answer {
		a["/state/m.room.server_acl"] = acl
		return a
	}
	testSource(t, "", func(a API) Source { return NewBot(a) }, []sourceTest{
		{"all", answers(botRoom, answer{body: wholeRoom}), all, two},
		{"not joined", answers(botBare, answer{body: wholeRoom}), seen, two[:1]},
		{"left", answers(strings.Replace(botRoom, `"join"`, `"leave"`, 1), answer{body: wholeRoom}), summarised, two[:1]},
		{"removed meanwhile", answers(botRoom, answer{403, `{"errcode":"M_FORBIDDEN"}`}), summarised, two},
		{"many members", with(answers(manySummary, answer{}), answer{body: `{"allow":["*"],"deny":["evil.example"]}`}),
			change(many, func(o *knock.Outline) { o.ACLTold, o.ACL = true, canonical }), []string{summaryPath, aclPath}},
		{"many members, no ACL", with(answers(manySummary, answer{}), notFound), change(many, func(o *knock.Outline) { o.ACLTold = true }), []string{summaryPath, aclPath}},
		{"many members, an ACL without end", with(answers(manySummary, answer{}), answer{body: longAnswer}), many, []string{summaryPath, aclPath}},
		{"much state", with(answers(botRoom, answer{body: longAnswer}), notFound), change(summarised, func(o *knock.Outline) { o.ACLTold = true }), append(slices.Clone(two), aclPath)},
		{"an empty state", answers(botRoom, answer{body: `[]`}), knock.Outline{VersionID: "10", Known: true, ACLTold: true, MembersRead: true}, two},
		{"a state of wrong types", answers(botRoom, answer{body: `[{},{"type":7,"state_key":{}},{"type":"m.room.name","state_key":"","content":[]},{"type":"m.room.topic","state_key":"","content":{"topic":7}},` +
			`{"type":"m.room.server_acl","state_key":"","content":7},{"type":"m.room.create","state_key":"","content":{}}]`}), knock.Outline{VersionID: "1", Known: true, MembersRead: true}, two},
		{"wrong types", answers(`{"room_id":"!a/b:a.test:18648","num_joined_members":3,"name":7,"topic":[],"canonical_alias":{},"join_rule":"knock","membership":"knock"}`, answer{}), seen, two[:1]},
		{"a room it is not shown", map[string]answer{"summary": notFound}, knock.Outline{}, two[:1]},
		{"a room the server is not in", map[string]answer{"summary": {400, `{"errcode":"M_UNKNOWN","error":"Missing via to query remote room"}`}}, knock.Outline{}, two[:1]},
		{"a token that is none", map[string]answer{"summary": {401, `{"errcode":"M_UNKNOWN_TOKEN"}`}}, knock.Outline{}, two[:1]},
		{"no room summaries there", nil, knock.Outline{}, two[:1]},
		{"another room", answers(strings.Replace(botRoom, "!a", "!b", 1), answer{}), knock.Outline{}, two[:1]},
		{"no member count", answers(strings.Replace(botRoom, "num_", "", 1), answer{}), knock.Outline{}, two[:1]},
		{"the state is no list", answers(botRoom, answer{body: `{}`}), onlyVersion, two},
		{"the state is deep", answers(botRoom, answer{body: `[` + deep + `]`}), onlyVersion, two},
		{"the state is refused", answers(botRoom, answer{429, `{"errcode":"M_LIMIT_EXCEEDED"}`}), onlyVersion, two},
		{"the ACL is refused", with(answers(manySummary, answer{}), answer{500, ``}), onlyVersion, []string{summaryPath, aclPath}},
	})
}

// TestKnockers: what is read once is told to each knocker in their own way.
func TestKnockers(t *testing.T) {
	s := &stub{answers: map[string]answer{"summary": {body: botRoom}, "/state": {body: wholeRoom}}}
	r, _ := newRooms(NewBot(newAPI(t, s)))
	ofB, ofC := all.OfServer, knock.Counts{Pending: 1}
	for _, tt := range []struct {
		user           matrix.UserID
		membership, by string
		since          int64
		server         knock.Counts
	}{
		{"@u:b", "ban", "@mod:a.test", 17, ofB},
		{"@v:b", "join", "@v:b", -5, ofB},
		{"@k:c", "knock", "@k:c", 1, ofC},
		{"@l:b", "leave", "@mod:a.test", 9, ofB},
		{"@t:b", "invite", "", 0, ofB}, // its sender and time are of wrong types
		{"@z:b", "", "", 0, ofB},
		{"@y:b", "", "", 0, ofB},
		{"@q:b", "", "", 0, ofB},
		{"@o:b", "", "", 0, ofB},
		{"@x:b:1", "ban", "@mod:a.test", 1, knock.Counts{Banned: 1}},
		{"@new:d", "", "", 0, knock.Counts{}},
	} {
		o := ask(t, r, tt.user)
		if o.Membership != tt.membership || string(o.By) != tt.by || o.SinceMS != tt.since || o.OfServer != tt.server || o.Counts != all.Counts {
			t.Errorf("%s is told %+v, want %+v", tt.user, o, tt)
		}
	}
	if n := len(s.requests(t)); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}
