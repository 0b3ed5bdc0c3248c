package pdu_test

import (
	"testing"

	"github.com/knockgate/knockgate/host/internal/pdu"
)

// Content of each type that redaction knows, and what each version keeps of it.
func TestRedactContent(t *testing.T) {
	all := []string{"7", "8", "9", "10", "11", "12"}
	cases := []struct {
		name, eventType, content string
		versions                 []string
		want                     string
	}{
		{"member", "m.room.member", `{"avatar_url":null,"displayname":"x","membership":"knock","reason":"x"}`, all, `{"membership":"knock"}`},
		{"member's authoriser", "m.room.member", `{"join_authorised_via_users_server":"@a:b","membership":"join"}`, all[:2], `{"membership":"join"}`},
		{"member's authoriser", "m.room.member", `{"join_authorised_via_users_server":"@a:b","membership":"join"}`, all[2:], `{"join_authorised_via_users_server":"@a:b","membership":"join"}`},
		{"third party", "m.room.member", `{"membership":"invite","third_party_invite":{"display_name":"x","signed":{"token":"y"}}}`, all[:4], `{"membership":"invite"}`},
		{"third party", "m.room.member", `{"membership":"invite","third_party_invite":{"display_name":"x","signed":{"token":"y"}}}`, all[4:], `{"membership":"invite","third_party_invite":{"signed":{"token":"y"}}}`},
		{"third party, not signed", "m.room.member", `{"third_party_invite":{"display_name":"x"}}`, all[4:], `{"third_party_invite":{}}`},
		{"third party, no object", "m.room.member", `{"third_party_invite":["signed"]}`, all[4:], `{}`},
		{"member without membership", "m.room.member", `{"reason":"x"}`, all, `{}`},
		{"join rules", "m.room.join_rules", `{"allow":[],"join_rule":"restricted","x":1}`, all[:1], `{"join_rule":"restricted"}`},
		{"join rules", "m.room.join_rules", `{"allow":[],"join_rule":"restricted","x":1}`, all[1:], `{"allow":[],"join_rule":"restricted"}`},
		{"power levels", "m.room.power_levels",
			`{"ban":1,"events":{},"events_default":2,"invite":3,"kick":4,"notifications":{},"redact":5,"state_default":6,"users":{"@a:b":7},"users_default":8}`, all[:4],
			`{"ban":1,"events":{},"events_default":2,"kick":4,"redact":5,"state_default":6,"users":{"@a:b":7},"users_default":8}`},
		{"power levels", "m.room.power_levels", `{"invite":3,"notifications":{}}`, all[4:], `{"invite":3}`},
		{"history visibility", "m.room.history_visibility", `{"history_visibility":"joined","x":1}`, all, `{"history_visibility":"joined"}`},
		{"redaction", "m.room.redaction", `{"reason":"x","redacts":"$y"}`, all[:4], `{}`},
		{"redaction", "m.room.redaction", `{"reason":"x","redacts":"$y"}`, all[4:], `{"redacts":"$y"}`},
		{"create", "m.room.create", `{"creator":"@a:b","m.federate":false,"room_version":"x"}`, all[:4], `{"creator":"@a:b"}`},
		{"create", "m.room.create", `{"creator":"@a:b","m.federate":false,"room_version":"x"}`, all[4:], `{"creator":"@a:b","m.federate":false,"room_version":"x"}`},
		{"aliases", "m.room.aliases", `{"aliases":["#a:b"]}`, all, `{}`},
		{"server ACL", "m.room.server_acl", `{"allow":["*"]}`, all, `{}`},
		{"message", "m.room.message", `{"body":"x","membership":"knock"}`, all, `{}`},
	}
	for _, c := range cases {
		for _, v := range c.versions {
			room := `"room_id":"!r:resident",`
			if v == "12" {
				room = `"room_id":"!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ",`
				if c.eventType == "m.room.create" {
					room = ""
				}
			}
			e := event(t, v, `{"auth_events":[],"content":`+c.content+`,"depth":1,"origin_server_ts":1,"prev_events":[],`+room+`"sender":"@a:domain","state_key":"","type":"`+c.eventType+`"}`)
			if !e.ContentHashOK() {
				t.Errorf("%s, version %s: the content hash is wrong", c.name, v)
			}
			r := e.Redacted()
			if got := string(r.Content().Canonical()); got != c.want {
				t.Errorf("%s, version %s:\n got %s\nwant %s", c.name, v, got, c.want)
			}
			if r.ID() != e.ID() || r.Type() != e.Type() || r.RoomID() != e.RoomID() || r.Membership() != e.Membership() {
				t.Errorf("%s, version %s: redaction made another event", c.name, v)
			}
			if got, want := r.ContentHashOK(), c.want == c.content; got != want {
				t.Errorf("%s, version %s: redacted, the content hash is right: %v, want %v", c.name, v, got, want)
			}
		}
	}
}

func TestRedactTopLevel(t *testing.T) {
	const src = `{"age":1,"auth_events":[],"content":{"membership":"knock"},"depth":1,"membership":"knock","origin":"domain","origin_server_ts":1,"other":{},` +
		`"prev_events":[],"prev_state":[],"redacts":"$x","room_id":"!r:resident","sender":"@a:domain","state_key":"@a:domain","type":"m.room.member"}`
	const before11 = `{"auth_events":[],"content":{"membership":"knock"},"depth":1,"hashes":{"sha256":"qhN2YKJ8aIJfWWTzcDb251EfuUbiIcZbH7SGWrKTMAk"},"membership":"knock","origin":"domain","origin_server_ts":1,` +
		`"prev_events":[],"prev_state":[],"room_id":"!r:resident","sender":"@a:domain","state_key":"@a:domain","type":"m.room.member"}`
	const from11 = `{"auth_events":[],"content":{"membership":"knock"},"depth":1,"hashes":{"sha256":"qhN2YKJ8aIJfWWTzcDb251EfuUbiIcZbH7SGWrKTMAk"},"origin_server_ts":1,` +
		`"prev_events":[],"room_id":"!r:resident","sender":"@a:domain","state_key":"@a:domain","type":"m.room.member"}`
	for v, want := range map[string]string{"7": before11, "8": before11, "9": before11, "10": before11, "11": from11} {
		e := event(t, v, src)
		if got := string(e.SigningBytes()); got != want {
			t.Errorf("version %s:\n got %s\nwant %s", v, got, want)
		}
		doc := parseJSON(t, string(e.Redacted().JSON()))
		if !doc.Root().Get("signatures").Get("domain").Exists() || doc.Root().Get("other").Exists() {
			t.Errorf("version %s: redacted: %s", v, doc.Bytes())
		}
		again, err := pdu.Parse(doc, version(t, v))
		if err != nil || again.ID() != e.ID() {
			t.Errorf("version %s: the redaction read again: %v", v, err)
		}
	}
}
