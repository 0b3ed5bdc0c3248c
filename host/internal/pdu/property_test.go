package pdu_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// quoted draws a JSON string, some of it escaped where it need not be.
func quoted(t *rapid.T) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range rapid.StringN(0, 12, 40).Draw(t, "text") {
		switch {
		case r < 0x10000 && rapid.IntRange(0, 7).Draw(t, "escape") == 0:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			q := canonicaljson.AppendString(nil, string(r))
			b.Write(q[1 : len(q)-1])
		}
	}
	return b.String() + `"`
}

// draw draws a JSON value.
func draw(t *rapid.T, depth int) string {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 {
		kind %= 5
	}
	switch kind {
	case 0:
		return "null"
	case 1:
		return "true"
	case 2:
		return fmt.Sprint(rapid.Int64Range(-(1<<53-1), 1<<53-1).Draw(t, "integer"))
	case 3, 4:
		return quoted(t)
	case 5:
		return "[" + strings.Join(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return draw(t, depth-1) }), 0, 4).Draw(t, "elements"), ", ") + "]"
	}
	return object(t, members(t, depth-1, ""))
}

// members draws members whose keys end in a number, so that none is there twice.
func members(t *rapid.T, depth int, prefix string) []string {
	out := make([]string, rapid.IntRange(0, 4).Draw(t, "members"))
	for i := range out {
		key := quoted(t)
		out[i] = `"` + prefix + key[1:len(key)-1] + fmt.Sprint(i) + `" : ` + draw(t, depth)
	}
	return out
}

// object writes members in an order of its own.
func object(t *rapid.T, members []string) string {
	return "{ " + strings.Join(rapid.Permutation(members).Draw(t, "order"), " ,\n\t") + " }"
}

// A signed event passes its own checks, and neither the order of its keys, nor
// white space and escapes, nor unsigned change its ID, hash and signature; a
// change of the content breaks the hash and nothing else.
func TestSignedStaysSigned(t *testing.T) {
	key := specSigner(t)
	rapid.Check(t, func(t *rapid.T) {
		v, _ := matrix.LookupRoomVersion(rapid.SampledFrom(allVersions).Draw(t, "version"))
		room := `"!r:resident"`
		if v.HashRoomID {
			room = `"!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"`
		}
		content := append(members(t, 2, "x."), `"membership":"knock"`, `"reason":`+quoted(t))
		top := append(members(t, 2, "x."),
			`"auth_events":["`+idA+`"]`, `"depth":7`, `"origin_server_ts":1000`, `"prev_events":["`+idB+`"]`,
			`"room_id":`+room, `"sender":"@a:domain"`, `"state_key":"@a:domain"`, `"type":"m.room.member"`)

		doc, err := canonicaljson.Parse([]byte(object(t, append(top, `"content":`+object(t, content)))))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := pdu.Sign(doc, v, "domain", key)
		if err != nil {
			t.Fatal(err)
		}
		e, err := pdu.ParseStored(signed, v)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(e.JSON(), signed) || !e.ContentHashOK() || !verified(e, "domain", key.public()) {
			t.Fatalf("%s: bytes, hash or signature are not what was signed", signed)
		}

		sent := parse(t, signed).Root()
		shuffled := append(top, `"content":`+object(t, content), `"unsigned":`+draw(t, 2))
		shuffled = append(shuffled, string(sent.Get("hashes").CanonicalMember()), string(sent.Get("signatures").CanonicalMember()))
		again, err := pdu.ParseStored([]byte(object(t, shuffled)), v)
		if err != nil {
			t.Fatal(err)
		}
		if again.ID() != e.ID() || !bytes.Equal(again.JSON(), e.JSON()) || !again.ContentHashOK() {
			t.Fatalf("in another order:\n got %s\nwant %s", again.JSON(), e.JSON())
		}

		tampered, err := pdu.ParseStored(bytes.Replace(signed, []byte(`"membership":"knock"`), []byte(`"membership":"knock","mood":1`), 1), v)
		if err != nil {
			t.Fatal(err)
		}
		if tampered.ID() != e.ID() || tampered.ContentHashOK() || !verified(tampered, "domain", key.public()) {
			t.Fatalf("a tampered event: ID %s, hash right %v", tampered.ID(), tampered.ContentHashOK())
		}
		if !bytes.Equal(tampered.Redacted().JSON(), e.Redacted().JSON()) {
			t.Fatalf("redacted:\n got %s\nwant %s", tampered.Redacted().JSON(), e.Redacted().JSON())
		}
	})
}

func parse(t *rapid.T, src []byte) *canonicaljson.Doc {
	doc, err := canonicaljson.Parse(src)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
