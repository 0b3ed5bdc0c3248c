package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
	"github.com/knockgate/knockgate/policies"
)

// BenchmarkFederation measures whole requests over loopback TLS, peer and
// server in one process, so that the machine does both sides' work, beside a
// floor that does, on the same kind of listener, what no server can leave out:
// an Ed25519 verification for make_knock; for send_knock two, the event's hash,
// and an fsync that all who wait at the time share.
//
// Both are measured in turns of some requests each, so that other work on the
// machine hits both. "ratio" is our throughput as a part of the floor's, and
// "cpu-ratio" the same of processor time, which other work hardly moves.
//
//	go test -run '^$' -bench Federation -benchtime 3s ./host
func BenchmarkFederation(b *testing.B) {
	chain := stockChain(b)
	for _, c := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("make_knock/c=%d", c), func(b *testing.B) {
			w := newWorld(b, chain.config, chain.modules)
			p := w.peer()
			room := w.room("11", "knock")
			target := peer.MakeTarget(room, p.User("ada"), nil)
			authorization := xmatrix.Header(p.Key(), p.Name(), w.name, http.MethodGet, target, nil)
			floor := startFloor(b, 1, nil)
			send := sender(b, p)
			send(floor, http.MethodGet, target, nil, authorization) // connections are made
			send(w.name, http.MethodGet, target, nil, authorization)
			benchBeside(b, c,
				func(int) { send(w.name, http.MethodGet, target, nil, authorization) },
				func(int) { send(floor, http.MethodGet, target, nil, authorization) })
		})
		b.Run(fmt.Sprintf("send_knock/c=%d", c), func(b *testing.B) {
			w := newWorld(b, chain.config, chain.modules)
			p := w.peer()
			room := w.room("11", "knock")
			knocks := prepareKnocks(b, w, p, room, b.N)
			disk := newSharedSync(b, filepath.Join(w.dir, "floor"))
			floor := startFloor(b, 2, disk)
			send := sender(b, p)
			benchBeside(b, c,
				func(i int) {
					k := knocks[i]
					send(w.name, http.MethodPut, k.target, k.event, k.authorization)
				},
				func(i int) {
					k := knocks[i]
					send(floor, http.MethodPut, k.target, k.event, k.authorization)
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

// sender returns a function that sends a request that must be answered 200.
func sender(b *testing.B, p *peer.Peer) func(to matrix.ServerName, method, target string, body []byte, authorization string) {
	return func(to matrix.ServerName, method, target string, body []byte, authorization string) {
		x, err := p.Send(context.Background(), to, method, target, body, authorization)
		if err != nil || x.Status != 200 {
			b.Errorf("%+v, %v", x, err)
		}
	}
}

// benchBeside runs b.N requests of ours and as many of the floor, in turns,
// from c goroutines. It reports the rates, their ratio, and the median and 99th
// percentile of ours.
func benchBeside(b *testing.B, c int, ours, floor func(i int)) {
	const turn = 512
	took, floorEach := make([]time.Duration, b.N), make([]time.Duration, b.N)
	timed := func(do func(i int), took []time.Duration) func(i int) {
		return func(i int) {
			begin := time.Now()
			do(i)
			took[i] = time.Since(begin)
		}
	}
	var oursTook, floorTook, oursCPU, floorCPU time.Duration
	b.ResetTimer()
	for from := 0; from < b.N; from += turn {
		to := min(from+turn, b.N)
		start := cpuTime(b)
		oursTook += inParallel(c, from, to, timed(ours, took))
		b.StopTimer()
		between := cpuTime(b)
		floorTook += inParallel(c, from, to, timed(floor, floorEach))
		oursCPU += between - start
		floorCPU += cpuTime(b) - between
		b.StartTimer()
	}
	b.StopTimer()
	n := float64(b.N)
	b.ReportMetric(n/oursTook.Seconds(), "req/s")
	b.ReportMetric(n/floorTook.Seconds(), "floor-req/s")
	b.ReportMetric(floorTook.Seconds()/oursTook.Seconds(), "ratio")
	b.ReportMetric(floorCPU.Seconds()/oursCPU.Seconds(), "cpu-ratio")
	slices.Sort(took)
	slices.Sort(floorEach)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(floorEach[len(floorEach)/2].Microseconds()), "floor-p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

// cpuTime returns the processor time that the process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// inParallel calls do for each number from from to to, from c goroutines, and
// returns how long it took.
func inParallel(c, from, to int, do func(i int)) time.Duration {
	var next atomic.Int64
	next.Store(int64(from))
	var wg sync.WaitGroup
	start := time.Now()
	for range c {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < to; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// startFloor serves a bare TLS handler that verifies a message so many times
// and, with a disk, hashes the body and has it there before it answers. It
// returns its name.
func startFloor(b *testing.B, verifies int, disk *sharedSync) matrix.ServerName {
	b.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 800)
	sig := ed25519.Sign(private, message)
	answer := make([]byte, 600)
	return serveFloor(b, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.Error(err)
		}
		for range verifies {
			if !serverkey.Verify(matrix.PublicKey(public), message, sig) {
				b.Error("the floor's signature is wrong")
			}
		}
		if disk != nil {
			sum := sha256.Sum256(body)
			disk.write(append(sum[:], body...))
		}
		_, _ = w.Write(answer)
	})
}

// serveFloor serves handler with TLS on loopback, and HTTP/2 as serve has it, which
// tlsServer leaves out.
func serveFloor(b testing.TB, handler http.HandlerFunc) matrix.ServerName {
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

// sharedSync is a file whose writers share an fsync: the smallest group commit.
type sharedSync struct {
	queue chan syncWrite
}

type syncWrite struct {
	bytes []byte
	done  chan struct{}
}

func newSharedSync(b *testing.B, path string) *sharedSync {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	s := &sharedSync{queue: make(chan syncWrite, 256)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.run(b, f)
	}()
	b.Cleanup(func() {
		close(s.queue)
		<-ended
		f.Close()
	})
	return s
}

func (s *sharedSync) run(b *testing.B, f *os.File) {
	var batch []syncWrite
	for w := range s.queue {
		for batch = append(batch[:0], w); len(s.queue) > 0; {
			batch = append(batch, <-s.queue)
		}
		for _, w := range batch {
			if _, err := f.Write(w.bytes); err != nil {
				b.Error(err)
			}
		}
		if err := f.Sync(); err != nil {
			b.Error(err)
		}
		for _, w := range batch {
			close(w.done)
		}
	}
}

// write returns once the bytes are on disk.
func (s *sharedSync) write(bytes []byte) {
	w := syncWrite{bytes, make(chan struct{})}
	s.queue <- w
	<-w.done
}
