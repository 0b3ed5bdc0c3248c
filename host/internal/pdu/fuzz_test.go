package pdu_test

import (
	"bytes"
	"testing"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// FuzzParse: in every room version, an event that Parse takes has the ID that
// ID gives its document; its JSON parses to the same JSON and ID; so does its
// redaction, which is not longer, signs the same bytes and redacts to itself;
// and its identifiers follow their grammars. An error comes without an event.
func FuzzParse(f *testing.F) {
	f.Add([]byte(knock))
	f.Add([]byte(`{"unsigned":{"age":3},` + knock[1:]))
	for _, item := range readCapture(f).Cases {
		for _, x := range item.Exchanges {
			if x.Request != "" {
				f.Add([]byte(x.Request))
			}
		}
	}
	for _, v := range allVersions {
		r := newRoom(f, v, `{"creator":"@a:b","m.federate":false}`)
		f.Add(r.create.JSON())
		f.Add(r.event("m.room.power_levels", "@a:domain", "", `{"invite":1,"users":{"@a:b":1}}`).JSON())
		f.Add(r.event("m.room.member", "@a:domain", "@b:domain", `{"third_party_invite":{"signed":{"\n":1}},"join_authorised_via_users_server":"@a:b"}`).JSON())
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		doc, err := canonicaljson.Parse(src)
		if err != nil {
			return
		}
		for _, id := range allVersions {
			v := version(t, id)
			e, err := pdu.Parse(doc, v)
			if err != nil {
				if e != nil {
					t.Fatalf("version %s, %q: an event came with %v", id, src, err)
				}
				continue
			}
			checkParsed(t, doc, e)
		}
	})
}

func checkParsed(t *testing.T, doc *canonicaljson.Doc, e *pdu.Event) {
	t.Helper()
	v := e.Version()
	if id, err := pdu.ID(doc, v); err != nil || id != e.ID() {
		t.Fatalf("version %s, %q: Parse says %s, ID %s, %v", v.ID, doc.Bytes(), e.ID(), id, err)
	}
	again, err := pdu.ParseStored(e.JSON(), v)
	if err != nil || again.ID() != e.ID() || !bytes.Equal(again.JSON(), e.JSON()) || again.ContentHashOK() != e.ContentHashOK() {
		t.Fatalf("version %s: %q parsed again: %v", v.ID, e.JSON(), err)
	}
	r := e.Redacted()
	again, err = pdu.ParseStored(r.JSON(), v)
	if err != nil {
		t.Fatalf("version %s: the redaction %q does not parse: %v", v.ID, r.JSON(), err)
	}
	if r.ID() != e.ID() || again.ID() != e.ID() || again.ContentHashOK() != r.ContentHashOK() || len(r.JSON()) > len(e.JSON()) {
		t.Fatalf("version %s: %q is redacted to %q, another event", v.ID, e.JSON(), r.JSON())
	}
	if !bytes.Equal(r.SigningBytes(), e.SigningBytes()) || !bytes.Equal(again.SigningBytes(), e.SigningBytes()) {
		t.Fatalf("version %s: redaction of %q changes what is signed", v.ID, e.JSON())
	}
	if !bytes.Equal(again.Redacted().JSON(), r.JSON()) || !canonicaljson.Equal(again.Content(), r.Content()) {
		t.Fatalf("version %s: %q redacted twice is %q", v.ID, r.JSON(), again.Redacted().JSON())
	}
	_, errSender := matrix.ParseUserID(string(e.Sender()))
	_, errRoom := matrix.ParseRoomID(string(e.RoomID()))
	_, errID := matrix.ParseEventID(string(e.ID()))
	if errSender != nil || errRoom != nil || errID != nil {
		t.Fatalf("version %s, %q: %v, %v, %v", v.ID, e.JSON(), errSender, errRoom, errID)
	}
	e.AppendStripped(nil)
	for id := range e.Signatures(e.Sender().Server()) {
		if _, err := matrix.ParseKeyID(string(id)); err != nil {
			t.Fatalf("a signature by %q: %v", id, err)
		}
	}
}
