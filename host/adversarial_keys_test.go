package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
)

// named starts a homeserver of any name, whose keys the server has in its
// cache, so that the name need not be one that DNS knows.
func (w *world) named(t *testing.T, name matrix.ServerName) *peer.Peer {
	t.Helper()
	p, err := peer.Start(peer.Options{Listen: "127.0.0.1:0", Name: name, Client: w.client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	body := serverkey.AppendDocument(nil, name, p.Key(), nil, w.clock.Now().Add(24*time.Hour))
	if err := w.store.SaveKeys(t.Context(), name, body, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	return p
}

// keyServer is a homeserver whose key listener does what a test says.
type keyServer struct {
	*peer.Peer
	// asked counts the requests for its keys, sent the bytes that its side of
	// the connections could get rid of.
	asked, sent atomic.Int64
	// waiting counts those who wait for an answer that needs its keys.
	waiting atomic.Int64
}

// countingListener counts what is written to its connections, which keep
// little that was not read yet.
type countingListener struct {
	net.Listener
	sent *atomic.Int64
}

type countingConn struct {
	net.Conn
	sent *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if err := c.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
		return nil, err
	}
	return countingConn{c, l.sent}, nil
}

func (c countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

// keyServer starts one. serve answers each request for its keys.
func (w *world) keyServer(t testing.TB, serve func(k *keyServer, w http.ResponseWriter, r *http.Request)) *keyServer {
	t.Helper()
	k := new(keyServer)
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		k.asked.Add(1)
		serve(k, rw, r)
	}))
	ts.Listener = countingListener{ts.Listener, &k.sent}
	var err error
	k.Peer, err = peer.Start(peer.Options{Listen: "127.0.0.1:0", Name: matrix.ServerName(ts.Listener.Addr().String()), Client: w.client})
	if err != nil {
		t.Fatal(err)
	}
	ts.StartTLS()
	t.Cleanup(func() {
		ts.CloseClientConnections()
		ts.Close()
		k.Close()
	})
	return k
}

// document serves the keys of k as valid until then, beside old ones.
func (k *keyServer) document(w http.ResponseWriter, until time.Time, old ...serverkey.OldKey) {
	_, _ = w.Write(serverkey.AppendDocument(nil, k.Name(), k.Key(), old, until))
}

// notaryOfDead is a server that is gone, whose keys a notary server hands out,
// signed by itself as it should be; swapped: with another key under the same ID,
// which the request is signed with.
func notaryOfDead(swapped bool) asked {
	return func(t *testing.T) exchange {
		notaryKey := serverkey.NewSigningKey("ed25519:auto", [32]byte{9})
		var origin *peer.Peer
		var document []byte
		notary := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/_matrix/key/v2/query" {
				http.NotFound(w, r)
				return
			}
			fmt.Fprintf(w, `{"server_keys":[%s]}`, document)
		})
		w := newWorld(t, fmt.Sprintf("[[federation.notary]]\nserver = %q\nkeys = { \"ed25519:auto\" = %q }\n", notary, notaryKey.Public())+allowAll, nil)
		room := w.room("11", "knock")
		origin = w.deadPeer()
		key := origin.Key()
		document = serverkey.AppendDocument(nil, origin.Name(), key, nil, time.Now().Add(time.Hour))
		if swapped {
			key = serverkey.NewSigningKey(key.KeyID(), [32]byte{66})
			document = edited(t, document, func(m map[string]any) {
				m["verify_keys"].(map[string]any)[string(key.KeyID())] = map[string]any{"key": key.Public().String()}
			})
		}
		document = cosign(t, document, notary, notaryKey)
		return exchange{w: w, do: func(t *testing.T) *peer.Exchange {
			x, err := w.askAs(t.Context(), origin, origin.Name(), room, key)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}}
	}
}
