package differential

import (
	"fmt"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// letters are characters in whose handling JSON code goes wrong: those that
// need an escape, those that encoding/json escapes, both sides of a change in
// the length of UTF-8, and both sides of the surrogates, whose order differs
// between UTF-8 and UTF-16.
var letters = []rune{'a', 'b', 'Z', '0', ' ', '"', '\\', '/', '<', '&', '\'', '.', '*', '#', '|', '@',
	0, 1, '\b', '\t', '\n', '\v', '\f', '\r', 0x1f, 0x7f, 0x80, 0x7ff, 0x800, 'é', '本', 0x2028, 0x2029,
	0xd7ff, 0xe000, 0xfeff, 0xfffd, 0xffff, 0x10000, 0x1f6aa, 0x10ffff}

// drawQuoted draws a JSON string, some of it escaped where it need not be.
func drawQuoted(t *rapid.T) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(letters), rapid.Rune()), 0, 8).Draw(t, "text") {
		switch rapid.IntRange(0, 7).Draw(t, "escape") {
		case 0:
			escapeRune(&b, "%04x", r)
		case 1:
			escapeRune(&b, "%04X", r)
		default:
			if r == '/' && rapid.Bool().Draw(t, "slash") {
				b.WriteString(`\/`)
				continue
			}
			q := canonicaljson.AppendString(nil, string(r))
			b.Write(q[1 : len(q)-1])
		}
	}
	return b.String() + `"`
}

func escapeRune(b *strings.Builder, digits string, r rune) {
	if r < 0x10000 {
		fmt.Fprintf(b, `\u`+digits, r)
		return
	}
	r -= 0x10000
	fmt.Fprintf(b, `\u`+digits+`\u`+digits, 0xd800+r>>10, 0xdc00+r&0x3ff)
}

// integers are the bounds of what is one in JSON of Matrix, and those of other
// types that another parser may use for it.
var integers = []int64{0, 1, -1, 9, 10, 255, 1<<31 - 1, 1 << 31, -1 << 31, 1<<32 - 1, 1<<53 - 1, -(1<<53 - 1), 1<<53 - 2}

func drawInt(t *rapid.T) string {
	n := rapid.OneOf(rapid.SampledFrom(integers), rapid.Int64Range(-(1<<53-1), 1<<53-1)).Draw(t, "integer")
	return strconv.FormatInt(n, 10)
}

// drawValue draws a JSON value.
func drawValue(t *rapid.T, depth int) string {
	kind := rapid.IntRange(0, 7).Draw(t, "kind")
	if depth == 0 {
		kind %= 6
	}
	switch kind {
	case 0:
		return "null"
	case 1:
		return "true"
	case 2:
		return "false"
	case 3:
		return drawInt(t)
	case 4, 5:
		return drawQuoted(t)
	case 6:
		return "[" + strings.Join(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawValue(t, depth-1) }), 0, 3).Draw(t, "elements"), " ,") + "]"
	}
	return drawObject(t, drawMembers(t, depth-1, ""))
}

// drawMembers draws members whose keys end in a number, so that none is there
// twice.
func drawMembers(t *rapid.T, depth int, prefix string) []string {
	out := make([]string, rapid.IntRange(0, 3).Draw(t, "members"))
	for i := range out {
		key := `"key"`
		if rapid.IntRange(0, 3).Draw(t, "odd") == 0 {
			key = drawQuoted(t)
		}
		out[i] = `"` + prefix + key[1:len(key)-1] + strconv.Itoa(i) + `" : ` + drawValue(t, depth)
	}
	return out
}

// drawObject writes members in an order of its own.
func drawObject(t *rapid.T, members []string) string {
	space := rapid.SampledFrom([]string{"", " ", "\n\t", "\r"}).Draw(t, "space")
	return "{" + space + strings.Join(rapid.Permutation(members).Draw(t, "order"), space+","+space) + space + "}"
}

const (
	idA     = "$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaA"
	idB     = "$bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbA"
	hashOfA = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

var versions = matrix.RoomVersionIDs()

// roomIn returns a room ID in the form of a room version.
func roomIn(version string) string {
	if roomVersion(version).HashRoomID {
		return "!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"
	}
	return "!room:resident.example"
}

// kept are members of content that redaction keeps in some room versions for
// some types of events.
var kept = map[string][]string{
	"m.room.create":             {`"creator":"@a:peer.example:8448"`, `"room_version":"11"`, `"m.federate":true`, `"predecessor":{"room_id":"!a:b"}`},
	"m.room.member":             {`"membership":"knock"`, `"reason":"because"`, `"displayname":null`, `"join_authorised_via_users_server":"@a:peer.example:8448"`},
	"m.room.power_levels":       {`"ban":50`, `"events":{"m.room.name":50,"z":1}`, `"events_default":0`, `"invite":7`, `"kick":50`, `"notifications":{"room":20}`, `"redact":50`, `"state_default":50`, `"users":{"@a:b":100}`, `"users_default":-1`},
	"m.room.join_rules":         {`"join_rule":"knock_restricted"`, `"allow":[{"type":"m.room_membership","room_id":"!a:b"}]`},
	"m.room.history_visibility": {`"history_visibility":"shared"`},
	"m.room.redaction":          {`"redacts":"` + idA + `"`, `"reason":"spam"`},
	"m.room.aliases":            {`"aliases":["#a:b"]`},
	"m.room.name":               {`"name":"A name"`},
	"org.example.custom":        {`"membership":"join"`, `"creator":"@a:b"`},
}

var eventTypes = []string{"m.room.create", "m.room.member", "m.room.power_levels", "m.room.join_rules",
	"m.room.history_visibility", "m.room.redaction", "m.room.aliases", "m.room.name", "org.example.custom"}

// drawEvent draws an event that is not yet hashed and signed.
func drawEvent(t *rapid.T, version, eventType string) string {
	content := drawMembers(t, 2, "x.")
	for _, member := range kept[eventType] {
		if rapid.Bool().Draw(t, "kept") {
			content = append(content, member)
		}
	}
	return drawEventWith(t, version, eventType, content)
}

// drawEventWith draws an event with this content.
func drawEventWith(t *rapid.T, version, eventType string, content []string) string {
	user := "@ada:" + string(peer)
	top := append(drawMembers(t, 2, "x."),
		`"content":`+drawObject(t, content),
		`"auth_events":`+rapid.SampledFrom([]string{"[]", `["` + idA + `"]`, `["` + idB + `","` + idA + `"]`}).Draw(t, "auth"),
		`"prev_events":["`+idB+`"]`,
		`"depth":`+strconv.FormatInt(rapid.SampledFrom([]int64{0, 1, 7, 1<<53 - 1}).Draw(t, "depth"), 10),
		`"origin_server_ts":`+strconv.FormatInt(drawTime(t), 10),
		`"sender":"`+user+`"`, `"type":"`+eventType+`"`)
	switch {
	case eventType == "m.room.create":
		top = append(top, `"state_key":""`)
	case eventType == "m.room.member":
		top = append(top, `"state_key":"`+user+`"`)
	case rapid.Bool().Draw(t, "state"):
		top = append(top, `"state_key":`+drawQuoted(t))
	}
	if eventType != "m.room.create" || !roomVersion(version).HashRoomID {
		top = append(top, `"room_id":"`+roomIn(version)+`"`)
	}
	for _, member := range []string{`"origin":"resident.example"`, `"prev_state":[]`, `"membership":"knock"`, `"unsigned":{"age":3}`} {
		if rapid.IntRange(0, 3).Draw(t, "legacy") == 0 {
			top = append(top, member)
		}
	}
	return drawObject(t, top)
}

// drawTime draws when an event was made: while the former key was used, since,
// and when neither is valid any more.
func drawTime(t *rapid.T) int64 {
	at := rapid.SampledFrom([]int64{expired.UnixMilli() - 1, expired.UnixMilli() + 1, started.UnixMilli(), validUntil.UnixMilli(), validUntil.UnixMilli() + 1}).Draw(t, "time")
	return at
}

// members returns the members of a drawn object, to change some of them.
func membersOf(t testingT, src string) map[string]string {
	doc, err := canonicaljson.Parse([]byte(src))
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	out := map[string]string{}
	for key, value := range doc.Root().Members() {
		out[string(key)] = string(value.Canonical())
	}
	return out
}

type testingT interface{ Fatalf(string, ...any) }

// with returns src with top-level members set to JSON; empty drops the member.
func with(t testingT, src string, changes ...string) string {
	members := membersOf(t, src)
	for i := 0; i < len(changes); i += 2 {
		members[changes[i]] = changes[i+1]
	}
	var list []string
	for key, value := range members {
		if value != "" {
			list = append(list, string(canonicaljson.AppendKey(nil, key))+value)
		}
	}
	return "{" + strings.Join(list, ",") + "}"
}
