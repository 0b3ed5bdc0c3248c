package pdu_test

import (
	"crypto/ed25519"
	"testing"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// BenchmarkReceive compares the whole receipt of a knock that Synapse sent with
// the one thing in it that cannot be had cheaper, the check of a signature.
func BenchmarkReceive(b *testing.B) {
	c := readCapture(b)
	var body []byte
	for _, item := range c.Cases {
		for _, x := range item.Exchanges {
			if item.Case == "b_happy_v10" && x.Request != "" {
				body = []byte(x.Request)
			}
		}
	}
	v := version(b, "10")
	e, err := pdu.ParseStored(body, v)
	if err != nil {
		b.Fatal(err)
	}
	key := c.key(b, "b.test:28648")
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, sig := range e.Signatures("b.test:28648") {
				if !ed25519.Verify(key, e.SigningBytes(), sig) {
					b.Fatal("the signature is wrong")
				}
			}
		}
	})
	b.Run("receive", func(b *testing.B) {
		var doc canonicaljson.Doc
		b.ReportAllocs()
		for b.Loop() {
			if err := doc.Parse(body); err != nil {
				b.Fatal(err)
			}
			e, err := pdu.Parse(&doc, v)
			if err != nil {
				b.Fatal(err)
			}
			if !e.ContentHashOK() || !verified(e, "b.test:28648", key) {
				b.Fatal("the hash or the signature is wrong")
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		var doc canonicaljson.Doc
		b.ReportAllocs()
		for b.Loop() {
			_ = doc.Parse(body)
			_, _ = pdu.Parse(&doc, v)
		}
	})
}

func BenchmarkRedacted(b *testing.B) {
	e := event(b, "10", `{"auth_events":[],"content":{"membership":"knock","reason":"x"},"depth":1,"origin_server_ts":1,"prev_events":[],"room_id":"!r:resident","sender":"@a:domain","state_key":"@a:domain","type":"m.room.member"}`)
	b.ReportAllocs()
	for b.Loop() {
		e.Redacted()
	}
}

func BenchmarkGlobMatch(b *testing.B) {
	for b.Loop() {
		pdu.GlobMatch("*.evil.*.example", "matrix.server.evil.subdomain.example")
	}
}
