package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// tlsServer starts a server on a loopback address and returns its name.
func tlsServer(t *testing.T, h http.HandlerFunc) matrix.ServerName {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = ln
	s.TLS = selfSignedTLS(t, "127.0.0.1")
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return matrix.ServerName(ln.Addr().String())
}

// askAs sends a make_knock in the name of origin, signed under any key.
func (w *world) askAs(ctx context.Context, p *peer.Peer, origin matrix.ServerName, room matrix.RoomID, k *serverkey.SigningKey) (*peer.Exchange, error) {
	target := peer.MakeTarget(room, matrix.UserID("@ada:"+string(origin)), nil)
	return p.Send(ctx, w.name, http.MethodGet, target, nil, xmatrix.Header(k, origin, w.name, http.MethodGet, target, nil))
}

const gib = 1 << 30

// TestHostileKeyServers: whatever a server does when its keys are fetched, many
// requests in its name under made-up key IDs are refused and cost one fetch of
// bounded size. Counted are requests and bytes.
func TestHostileKeyServers(t *testing.T) {
	const flood = 100
	tests := []struct {
		name  string
		serve func(w http.ResponseWriter, r *http.Request, sent *atomic.Int64)
		cause string // of the refusals, in the log
	}{
		{"sends 1 GiB", func(w http.ResponseWriter, _ *http.Request, sent *atomic.Int64) {
			chunk := make([]byte, 64<<10)
			for sent.Load() < gib {
				n, err := w.Write(chunk)
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		}, "too large"},
		{"says that it sends 1 GiB", func(w http.ResponseWriter, r *http.Request, sent *atomic.Int64) {
			w.Header().Set("Content-Length", fmt.Sprint(gib))
			n, _ := w.Write(make([]byte, 1<<20))
			sent.Add(int64(n))
		}, "too large"},
		{"sends 1 MiB of header", func(w http.ResponseWriter, _ *http.Request, _ *atomic.Int64) {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		}, "header"},
		{"redirects to cloud metadata", func(w http.ResponseWriter, r *http.Request, _ *atomic.Int64) {
			http.Redirect(w, r, "https://169.254.169.254/latest/meta-data/", http.StatusFound)
		}, "status 302"},
		{"redirects to itself", func(w http.ResponseWriter, r *http.Request, _ *atomic.Int64) {
			http.Redirect(w, r, r.RequestURI, http.StatusFound)
		}, "status 302"},
		{"publishes the keys of another", func(w http.ResponseWriter, r *http.Request, _ *atomic.Int64) {
			k := serverkey.NewSigningKey("ed25519:x1", [32]byte{1})
			_, _ = w.Write(serverkey.AppendDocument(nil, "other.example", k, nil, time.Now().Add(time.Hour)))
		}, "server_name"},
		{"publishes its keys", func(w http.ResponseWriter, r *http.Request, _ *atomic.Int64) {
			k := serverkey.NewSigningKey("ed25519:good", [32]byte{2})
			_, _ = w.Write(serverkey.AppendDocument(nil, matrix.ServerName(r.Host), k, nil, time.Now().Add(time.Hour)))
		}, "no such usable key"},
	}
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	room := w.room("11", "knock")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var requests, sent atomic.Int64
			origin := tlsServer(t, func(rw http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				tt.serve(rw, r, &sent)
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for i := range flood {
				k := serverkey.NewSigningKey(matrix.KeyID(fmt.Sprintf("ed25519:x%d", i)), [32]byte{1})
				x, err := w.askAs(context.Background(), p, origin, room, k)
				if err != nil {
					t.Fatal(err)
				}
				if code, _ := x.Errcode(); x.Status != 401 || code != "M_UNAUTHORIZED" {
					t.Fatalf("request %d: %d %s, want 401 M_UNAUTHORIZED", i, x.Status, code)
				}
			}
			runtime.ReadMemStats(&after)
			if got := requests.Load(); got != 1 {
				t.Errorf("%d requests for %d made-up keys, want 1", got, flood)
			}
			// What the server could send is what we read and what lay in the
			// sockets' buffers.
			if got := sent.Load(); got > 32<<20 {
				t.Errorf("%d bytes taken of the server, want at most 32 MiB", got)
			}
			allocated := after.TotalAlloc - before.TotalAlloc
			if allocated > 64<<20 {
				t.Errorf("%d bytes allocated, want at most 64 MiB", allocated)
			}
			if len(w.log.lines(tt.cause, string(origin))) == 0 {
				t.Errorf("the log does not give %q as the cause for %s", tt.cause, origin)
			}
			t.Logf("%d requests, %d fetches, %d bytes sent, %d bytes allocated by both sides", flood, requests.Load(), sent.Load(), allocated)
		})
	}
}

// TestHangingKeyServer: requests in the name of a server that does not answer
// wait together for one fetch, and nobody else waits.
func TestHangingKeyServer(t *testing.T) {
	const clients, each = 4, 12 // a client keeps 16 connections at most
	w := newWorld(t, allowAll, nil)
	room := w.room("11", "knock")
	var requests atomic.Int64
	arrived := make(chan struct{}, clients*each)
	origin := tlsServer(t, func(_ http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	var wg sync.WaitGroup
	peers := make([]*peer.Peer, clients)
	for i := range peers {
		client := loopbackClient()
		defer client.Close()
		p, err := peer.Start(peer.Options{Listen: "127.0.0.1:0", Client: client})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		peers[i] = p
	}
	for i := range clients * each {
		wg.Go(func() {
			p := peers[i%clients]
			k := serverkey.NewSigningKey(matrix.KeyID(fmt.Sprintf("ed25519:x%d", i)), [32]byte{1})
			if x, err := w.askAs(ctx, p, origin, room, k); err == nil && x.Status != 401 {
				t.Errorf("request %d: %d, want 401 or none", i, x.Status)
			}
		})
	}
	<-arrived
	other := w.peer()
	w.mustKnock(other, w.knock(other, "ada", room), peer.Allowed)
	leave()
	wg.Wait()
	if got := requests.Load(); got != 1 {
		t.Errorf("%d requests of the server that hangs, want 1", got)
	}
}

// deadPeer returns a peer whose keys cannot be fetched.
func (w *world) deadPeer() *peer.Peer {
	w.t.Helper()
	p := w.peer()
	if err := p.Close(); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// TestPinnedKeys: a pinned key needs no fetch, and no fetch adds to it.
func TestPinnedKeys(t *testing.T) {
	k, other := serverkey.NewSigningKey("ed25519:pinned", [32]byte{1}), serverkey.NewSigningKey("ed25519:other", [32]byte{2})
	var fetches atomic.Int64
	origin := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		_, _ = w.Write(serverkey.AppendDocument(nil, matrix.ServerName(r.Host), other, nil, time.Now().Add(time.Hour)))
	})
	pinned := fmt.Sprintf("[[federation.pinned]]\nserver = %q\nkeys = { \"ed25519:pinned\" = %q }\n", origin, k.Public())
	w := newWorld(t, pinned+allowAll, nil)
	p := w.peer()
	room := w.room("11", "knock")
	for key, want := range map[*serverkey.SigningKey]int{k: 200, other: 401} {
		x, err := w.askAs(context.Background(), p, origin, room, key)
		if err != nil || x.Status != want {
			t.Errorf("signed under %v: %d, %v, want %d", key, x.Status, err, want)
		}
	}
	if got := fetches.Load(); got != 0 {
		t.Errorf("%d fetches of the keys of a pinned server, want none", got)
	}
}

// TestNotaryServer: a server whose keys cannot be fetched is authenticated by
// what a notary server has of it, if that is signed by both.
func TestNotaryServer(t *testing.T) {
	notaryKey := serverkey.NewSigningKey("ed25519:auto", [32]byte{9})
	var origin *peer.Peer
	var asked atomic.Int64
	// document is what the notary hands out of origin.
	var document func() []byte
	notary := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.RequestURI != "/_matrix/key/v2/query" || !strings.Contains(string(body), string(origin.Name())) {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"server_keys":[%s]}`, document())
	})
	config := fmt.Sprintf("[[federation.notary]]\nserver = %q\nkeys = { \"ed25519:auto\" = %q }\n", notary, notaryKey.Public())
	w := newWorld(t, config+allowAll, nil)
	room := w.room("11", "knock")
	own := func(k *serverkey.SigningKey) []byte {
		return serverkey.AppendDocument(nil, origin.Name(), k, nil, time.Now().Add(time.Hour))
	}
	forged := func() *serverkey.SigningKey { return serverkey.NewSigningKey(origin.Key().KeyID(), [32]byte{66}) }
	tests := []struct {
		name     string
		document func() []byte
		key      func() *serverkey.SigningKey
		status   int
	}{
		{"both signed", func() []byte { return cosign(t, own(origin.Key()), notary, notaryKey) }, nil, 200},
		{"the notary did not", func() []byte { return own(origin.Key()) }, nil, 401},
		{"another key of the notary did", func() []byte {
			return cosign(t, own(origin.Key()), notary, serverkey.NewSigningKey("ed25519:auto", [32]byte{8}))
		}, nil, 401},
		{"keys swapped", func() []byte {
			stolen := edited(t, own(origin.Key()), func(m map[string]any) {
				m["verify_keys"].(map[string]any)[string(forged().KeyID())] = map[string]any{"key": forged().Public().String()}
			})
			return cosign(t, stolen, notary, notaryKey)
		}, forged, 401},
		{"of another server", func() []byte {
			return cosign(t, serverkey.AppendDocument(nil, "other.example", origin.Key(), nil, time.Now().Add(time.Hour)), notary, notaryKey)
		}, nil, 401},
		{"nothing", func() []byte { return nil }, nil, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			origin, document = w.deadPeer(), tt.document
			asked.Store(0)
			key := origin.Key()
			if tt.key != nil {
				key = tt.key()
			}
			for range 3 {
				x, err := w.askAs(context.Background(), origin, origin.Name(), room, key)
				if err != nil || x.Status != tt.status {
					t.Errorf("%d %s, %v, want %d", x.Status, x.Body, err, tt.status)
				}
			}
			if got := asked.Load(); got != 1 {
				t.Errorf("the notary server was asked %d times, want once", got)
			}
		})
	}
}

// cosign adds the signature of another server to a document.
func cosign(t *testing.T, document []byte, server matrix.ServerName, k *serverkey.SigningKey) []byte {
	t.Helper()
	bare := edited(t, document, func(m map[string]any) { delete(m, "signatures") })
	doc, err := canonicaljson.Parse(bare)
	if err != nil {
		t.Fatal(err)
	}
	sig := base64.RawStdEncoding.EncodeToString(k.Sign(doc.Bytes()))
	return edited(t, document, func(m map[string]any) {
		m["signatures"].(map[string]any)[string(server)] = map[string]any{string(k.KeyID()): sig}
	})
}
