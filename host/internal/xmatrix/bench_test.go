package xmatrix

import (
	"net/http"
	"strings"
	"testing"
)

// The floor of Check is one bare verification of a message of the same size.
func BenchmarkCheck(b *testing.B) {
	s := newSigner(b, "ed25519:1", specSeed)
	a := &Authenticator{Server: "here.test", Keys: keyring{"peer.test": {"ed25519:1": s.public()}}, Verify: verify}
	const target = "/_matrix/federation/v1/send_knock/%21r%3Ahere.test/%24EuYy0g3NdsOwP4XgsFNdswNtu4omTWs0_cuFHFi33ds"
	content := []byte(`{"content":"` + strings.Repeat("x", 800) + `"}`)
	value := Header(s, "peer.test", "here.test", "PUT", target, content)
	header := http.Header{"Authorization": {value}}

	b.Run("verify alone", func(b *testing.B) {
		message := AppendSigned(nil, "PUT", target, "peer.test", "here.test", content)
		sig, key := s.Sign(message), s.public()
		b.ReportAllocs()
		for b.Loop() {
			if !verify(key, message, sig) {
				b.Fatal("not verified")
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := a.Parse(header); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse and check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c, err := a.Parse(header)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := a.Check(b.Context(), c, "PUT", target, content); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append signed", func(b *testing.B) {
		b.ReportAllocs()
		dst := make([]byte, 0, 4096)
		for b.Loop() {
			dst = AppendSigned(dst[:0], "PUT", target, "peer.test", "here.test", content)
		}
	})
	b.Run("header", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Header(s, "peer.test", "here.test", "PUT", target, content)
		}
	})
}
