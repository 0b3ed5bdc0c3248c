package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// BenchmarkFront measures what the gateway adds to a make_knock: a stub of a
// homeserver, which does no work, with the gateway before it and the sample's two
// policies, and the same stub by itself (the floor), in turns within one run; both
// over loopback TLS with peer, gateway and stub in one process. Beside them is one
// Ed25519 verification, which the gateway cannot leave out.
//
//	go test -run '^$' -bench Front -benchtime 5000x ./host
func BenchmarkFront(b *testing.B) {
	stub := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(stubTemplate)
	}
	b.Run("verify", func(b *testing.B) {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		message := make([]byte, 400)
		sig := ed25519.Sign(private, message)
		for b.Loop() {
			if !serverkey.Verify(matrix.PublicKey(public), message, sig) {
				b.Fatal("the signature is wrong")
			}
		}
	})
	for _, c := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("gateway/c=%d", c), func(b *testing.B) {
			f := newFront(b, nil, stockChain(b).config)
			f.wiretap.stream = stub
			p := f.peer()
			benchBeside(b, c, asksStub(b, p, f.name), asksStub(b, p, serveFloor(b, stub)))
		})
	}
}

// stubTemplate is an answer of Synapse's to a make_knock.
var stubTemplate = []byte(`{"event":{"room_id":"!PYNpbMzcVUpcQfgyKm:a.test:18648","auth_events":["$qUYFxmkkbX1nBmKNF6zzJD9gOD0XpdU-6QnEUHHrOFc","$w8vlQcHvwD0Fr9Z_HjzqfQp7LRqi7sAr4oGWdFqXbZo","$nfRLQvKLKBQ-Y2nVWJjx8YgqX4SUF7vEJ0T3b8nU0f8"],` +
	`"prev_events":["$IRFIsqKDyc7B8xFWNuaRhVmSHqRYHiUYV0d3uNBrbJw"],"content":{"membership":"knock"},"depth":9,"origin_server_ts":1795480141057,` +
	`"sender":"@bob1005011:b.test:28648","state_key":"@bob1005011:b.test:28648","type":"m.room.member"},"room_version":"10"}`)

// asksStub sends the server a make_knock.
func asksStub(b *testing.B, p *peer.Peer, server matrix.ServerName) func(int) {
	target := peer.MakeTarget("!PYNpbMzcVUpcQfgyKm:a.test:18648", p.User("ada"), nil)
	authorization := xmatrix.Header(p.Key(), p.Name(), server, http.MethodGet, target, nil)
	return func(int) {
		x, err := p.Send(context.Background(), server, http.MethodGet, target, nil, authorization)
		if err != nil || x.Status != 200 {
			b.Errorf("%+v, %v", x, err)
		}
	}
}
