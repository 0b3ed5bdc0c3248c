package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
	"github.com/knockgate/knockgate/policies"
)

// BenchmarkFederation measures whole requests over loopback TLS, peer and
// server in one process, so that the machine does both sides' work. "floor"
// does, on the same kind of listener, what no server can leave out: TLS, and
// the Ed25519 verifications of the request (one) and of the event (a second).
// Each reports its 99th percentile beside the mean.
//
//	go test -run '^$' -bench Federation -benchtime 3s ./host
func BenchmarkFederation(b *testing.B) {
	chain := stockChain(b)
	for _, c := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("floor-1-verify/c=%d", c), func(b *testing.B) { benchFloor(b, c, 1) })
		b.Run(fmt.Sprintf("make_knock/c=%d", c), func(b *testing.B) {
			w := newWorld(b, chain.config, chain.modules)
			p := w.peer()
			room := w.room("11", "knock")
			target := peer.MakeTarget(room, p.User("ada"), nil)
			authorization := xmatrix.Header(p.Key(), p.Name(), w.name, http.MethodGet, target, nil)
			benchRequests(b, c, func(int) {
				x, err := p.Send(context.Background(), w.name, http.MethodGet, target, nil, authorization)
				if err != nil || x.Status != 200 {
					b.Errorf("%+v, %v", x, err)
				}
			})
		})
		b.Run(fmt.Sprintf("floor-2-verifies/c=%d", c), func(b *testing.B) { benchFloor(b, c, 2) })
		b.Run(fmt.Sprintf("send_knock/c=%d", c), func(b *testing.B) {
			w := newWorld(b, chain.config, chain.modules)
			p := w.peer()
			room := w.room("11", "knock")
			knocks := prepareKnocks(b, w, p, room, b.N)
			b.ResetTimer()
			benchRequests(b, c, func(i int) {
				k := knocks[i]
				x, err := p.Send(context.Background(), w.name, http.MethodPut, k.target, k.event, k.authorization)
				if err != nil || x.Status != 200 {
					b.Errorf("%+v, %v", x, err)
				}
			})
		})
	}
}

type chainFiles struct {
	config  string
	modules map[string][]byte
}

// stockChain is the sample's chain: both policies, written in Go.
func stockChain(b *testing.B) chainFiles {
	b.Helper()
	f := chainFiles{modules: map[string][]byte{}, config: `
[policies]
default = "allow"
[[policy]]
name = "servers"
module = "server_rules.wasm"
[policy.settings]
rules = [ { deny = ["*.spam.example"] } ]
[[policy]]
name = "reasons"
module = "reason_rules.wasm"
phases = ["send_knock"]
[policy.settings]
required = true
min = 2
`}
	for _, name := range []string{"server_rules", "reason_rules"} {
		module, err := policies.FS.ReadFile(name + "/" + name + ".wasm")
		if err != nil {
			b.Fatal(err)
		}
		f.modules[name+".wasm"] = module
	}
	return f
}

type prepared struct {
	target, authorization string
	event                 []byte
}

// prepareKnocks signs n knocks of n users, so that the measurement has the
// server's work in it and the peer's signing out of it.
func prepareKnocks(b *testing.B, w *world, p *peer.Peer, room matrix.RoomID, n int) []prepared {
	b.Helper()
	version, _ := matrix.LookupRoomVersion("11")
	r, err := w.rooms.Room(context.Background(), room)
	if err != nil {
		b.Fatal(err)
	}
	knocks := make([]prepared, n)
	for i := range knocks {
		k := w.knock(p, fmt.Sprintf("user%d", i), room)
		body, err := w.rooms.Template(context.Background(), r, k.User)
		if err != nil {
			b.Fatal(err)
		}
		template := parseTemplate(b, body)
		event, id, err := p.SignKnock(template, version, k)
		if err != nil {
			b.Fatal(err)
		}
		target := peer.SendTarget(room, id)
		knocks[i] = prepared{target, xmatrix.Header(p.Key(), p.Name(), w.name, http.MethodPut, target, event), event}
	}
	return knocks
}

// benchRequests runs b.N requests from c goroutines and reports the rate and
// the 99th percentile.
func benchRequests(b *testing.B, c int, do func(i int)) {
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	start := time.Now()
	for range c {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				begin := time.Now()
				do(i)
				took[i] = time.Since(begin)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "req/s")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

// benchFloor measures a bare TLS handler that verifies one message or two.
func benchFloor(b *testing.B, c, verifies int) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 800)
	sig := ed25519.Sign(private, message)
	answer := make([]byte, 600)
	p := startFloor(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for range verifies {
			if !serverkey.Verify(matrix.PublicKey(public), message, sig) {
				b.Error("the floor's signature is wrong")
			}
		}
		_, _ = w.Write(answer)
	})
	client := loopbackClient()
	defer client.Close()
	q, err := peer.Start(peer.Options{Listen: "127.0.0.1:0", Client: client})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	method, body := http.MethodGet, []byte(nil)
	if verifies == 2 {
		method, body = http.MethodPut, message
	}
	benchRequests(b, c, func(int) {
		x, err := q.Send(context.Background(), p, method, "/floor", body, "X-Matrix origin=a")
		if err != nil || x.Status != 200 {
			b.Errorf("%+v, %v", x, err)
		}
	})
}

// startFloor serves handler with TLS on loopback.
func startFloor(b *testing.B, handler http.HandlerFunc) matrix.ServerName {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: handler, TLSConfig: selfSignedTLS(b, "127.0.0.1")}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(ln, "", "") }()
	b.Cleanup(func() {
		server.Close()
		<-done
	})
	return matrix.ServerName(ln.Addr().String())
}
