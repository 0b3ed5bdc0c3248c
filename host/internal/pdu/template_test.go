package pdu_test

import (
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

func TestTemplate(t *testing.T) {
	template := pdu.Template{
		RoomID: "!r\"\\:resident", Sender: "@\u00e4\n:domain", Membership: pdu.Knock, Origin: "resident", TS: 1549041175876, Depth: 7,
		PrevEvents: []matrix.EventID{idA}, AuthEvents: []matrix.EventID{idA, idB},
	}
	got := string(template.AppendJSON([]byte("x")))
	want := `x{"auth_events":["` + idA + `","` + idB + `"],"content":{"membership":"knock"},"depth":7,"origin":"resident","origin_server_ts":1549041175876,` +
		`"prev_events":["` + idA + `"],"room_id":"!r\"\\:resident","sender":"@ä\n:domain","state_key":"@ä\n:domain","type":"m.room.member"}`
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if doc := parseJSON(t, got[1:]); string(doc.Bytes()) != got[1:] {
		t.Errorf("%s is not canonical", got[1:])
	}
	if got := string(pdu.Template{}.AppendJSON(nil)); !strings.HasPrefix(got, `{"auth_events":[],`) || !strings.Contains(got, `"prev_events":[]`) {
		t.Errorf("nothing to list: %s", got)
	}
}

// A template that a knocker fills in and signs is a knock.
func TestTemplateSigned(t *testing.T) {
	for _, v := range allVersions {
		r := newRoom(t, v, `{}`)
		s := pdu.AuthState{Create: r.create, JoinRules: r.rules(`{"join_rule":"knock"}`)}
		template := pdu.Template{
			RoomID: r.id, Sender: "@a:domain", Membership: pdu.Knock, Origin: "resident", TS: 1, Depth: 3,
			PrevEvents: []matrix.EventID{s.JoinRules.ID()}, AuthEvents: pdu.AuthEventIDs(version(t, v), pdu.Knock, s),
		}
		e := event(t, v, strings.Replace(string(template.AppendJSON(nil)), `"knock"}`, `"knock","reason":"please"}`, 1))
		if err := pdu.CheckMembership(e, s); err != nil {
			t.Errorf("version %s: %v", v, err)
		}
		if !verified(e, "domain", specSigner(t).public()) || !e.ContentHashOK() {
			t.Errorf("version %s: %s: hash or signature is wrong", v, e.JSON())
		}
	}
}

func TestAppendStripped(t *testing.T) {
	r := newRoom(t, "10", `{}`)
	got := string(r.event("m.room.name", "@a:domain", "", `{"name":"a \"b\"","x":{"z":1,"y":2}}`).AppendStripped([]byte("x")))
	want := `x{"content":{"name":"a \"b\"","x":{"y":2,"z":1}},"sender":"@a:domain","state_key":"","type":"m.room.name"}`
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	message := event(t, "10", `{"auth_events":[],"content":{},"depth":1,"origin_server_ts":1,"prev_events":[],"room_id":"!r:resident","sender":"@a:domain","type":"x"}`)
	if got, want := string(message.AppendStripped(nil)), `{"content":{},"sender":"@a:domain","type":"x"}`; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestSign(t *testing.T) {
	// What was there of hashes, signatures and unsigned is gone, and keys on
	// either side of those that are set stay in order.
	got := string(sign(t, "10", `{"zz":1,"hasher":1,"hashes":{"sha256":"x"},"hashet":1,"signaturer":1,"signatures":{"x":{}},"signaturet":1,"unsigned":{},"content":{},"aa":1}`))
	root := parseJSON(t, got).Root()
	if string(root.Canonical()) != got {
		t.Errorf("%s is not canonical", got)
	}
	var keys []string
	for key := range root.Members() {
		keys = append(keys, string(key))
	}
	if want := "aa content hasher hashes hashet signaturer signatures signaturet zz"; strings.Join(keys, " ") != want {
		t.Errorf("keys %q, want %s", keys, want)
	}
	if sig, _ := root.Get("signatures").Get("domain").Get("ed25519:1").Text(); len(sig) != 86 {
		t.Errorf("signature %q", sig)
	}
	for _, src := range []string{`[]`, `"x"`, `null`} {
		if _, err := pdu.Sign(parseJSON(t, src), version(t, "10"), "domain", specSigner(t)); code(err) != badJSON {
			t.Errorf("Sign(%s): %v, want %s", src, err, badJSON)
		}
		if _, err := pdu.ID(parseJSON(t, src), version(t, "10")); code(err) != badJSON {
			t.Errorf("ID(%s): %v, want %s", src, err, badJSON)
		}
	}
}
