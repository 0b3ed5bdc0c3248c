package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// hostileBodies are bodies that anyone can send, signed or not: they are read
// before it is known who sends them. Each fits the limit of 128 KiB.
var hostileBodies = []struct{ name, body string }{
	{"arrays in arrays, 60,000 levels", `{"a":` + strings.Repeat("[", 60_000) + strings.Repeat("]", 60_000) + `}`},
	{"objects in objects, 20,000 levels", `{"a":` + strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_001)},
	{"100 levels, as often as they fit", `{"a":[` + strings.TrimSuffix(strings.Repeat(strings.Repeat("[", 90)+strings.Repeat("]", 90)+",", 700), ",") + `]}`},
	{"60,000 values", `{"a":[` + strings.TrimSuffix(strings.Repeat("0,", 60_000), ",") + `]}`},
	{"11,000 keys in the wrong order", keysBackwards(11_000)},
	{"11,000 keys, the last one twice", strings.TrimSuffix(keysBackwards(11_000), "}") + `,"k00000":1}`},
	{"a number of 120,000 digits", `{"a":` + strings.Repeat("9", 120_000) + `}`},
	{"20,000 escapes", `{"a":"` + strings.Repeat(`\u0000`, 20_000) + `"}`},
}

func keysBackwards(n int) string {
	b := []byte{'{'}
	for i := n; i > 0; i-- {
		b = fmt.Appendf(b, `"k%05d":1,`, i-1)
	}
	b[len(b)-1] = '}'
	return string(b)
}

// cost is what an attack took: bytes allocated in this process, which plays
// both sides, fetches of keys, and bytes that the attacker got rid of.
type cost struct{ allocated, fetches, sent int64 }

// measure returns what attack took. What it needs is made before.
func measure(t *testing.T, attack func() (fetches, sent int64)) cost {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fetches, sent := attack()
	runtime.ReadMemStats(&after)
	return cost{int64(after.TotalAlloc - before.TotalAlloc), fetches, sent}
}

// TestHostileCosts holds what hostile bodies, keys and key servers can make
// this server allocate, fetch and read. Times are not held: see
// BenchmarkHostileBodies.
//
//	go test -run HostileCosts -v ./host
func TestHostileCosts(t *testing.T) {
	const kib, mib = 1 << 10, 1 << 20
	s := newScene(t)
	valid := func(k *keyServer, w http.ResponseWriter, _ *http.Request) { k.document(w, time.Now().Add(time.Hour)) }
	type attack struct {
		name string
		run  func(t *testing.T) func() (fetches, sent int64)
		most cost
	}
	var attacks []attack
	for _, b := range hostileBodies {
		attacks = append(attacks, attack{b.name, func(t *testing.T) func() (int64, int64) {
			send := s.hostileBody(t, b.body)
			return func() (int64, int64) {
				if x := send(); x.Status/100 != 4 {
					t.Errorf("%d %s, want a refusal", x.Status, x.Body)
				}
				return 0, int64(len(b.body))
			}
		}, cost{6 * mib, 0, 128 * kib}})
	}
	attacks = append(attacks, []attack{
		{"a body of 1 GB", func(t *testing.T) func() (int64, int64) {
			return func() (int64, int64) { return 0, s.flood(t, "Content-Length: 1000000000", "{") }
		}, cost{2 * mib, 0, 8 * mib}},
		{"a body of 1 GB in chunks", func(t *testing.T) func() (int64, int64) {
			return func() (int64, int64) { return 0, s.flood(t, "Transfer-Encoding: chunked", "3b9aca00\r\n{") }
		}, cost{2 * mib, 0, 8 * mib}},
		{"a header of 1 GB", func(t *testing.T) func() (int64, int64) {
			return func() (int64, int64) { return 0, s.flood(t, "X: ", "") }
		}, cost{2 * mib, 0, 8 * mib}},
		{"500 unknown key IDs of one server", func(t *testing.T) func() (int64, int64) {
			k := s.w.keyServer(t, valid)
			target := peer.MakeTarget(s.room, k.User("a"), nil)
			return func() (int64, int64) {
				for i := range 500 {
					g := s.signature(k.Peer, http.MethodGet, target, nil)
					g.key = fmt.Sprintf("ed25519:k%d", i)
					if x := s.w.send(t, s.p, http.MethodGet, target, nil, g.String()); x.Status != 401 {
						t.Fatalf("key %d: %d", i, x.Status)
					}
				}
				return k.asked.Load(), k.sent.Load()
			}
		}, cost{64 * mib, 1, 8 * kib}},
		{"200 requests at once while a key server hangs", func(t *testing.T) func() (int64, int64) {
			var all sync.WaitGroup
			k := s.w.keyServer(t, func(k *keyServer, w http.ResponseWriter, r *http.Request) {
				waitFor(t, "200 requests", func() bool { return k.waiting.Load() == 200 })
				panic(http.ErrAbortHandler)
			})
			target := peer.MakeTarget(s.room, k.User("a"), nil)
			header := xmatrix.Header(k.Key(), k.Name(), s.w.name, http.MethodGet, target, nil)
			return func() (int64, int64) {
				for range 200 {
					all.Go(func() {
						c, err := tls.Dial("tcp", string(s.w.address()), &tls.Config{InsecureSkipVerify: true})
						if err != nil {
							t.Error(err)
							return
						}
						defer c.Close()
						if _, err := c.Write([]byte(rawRequest(http.MethodGet, target, s.w.name, []string{"Authorization: " + header}, ""))); err != nil {
							t.Error(err)
						}
						k.waiting.Add(1)
						if n, err := c.Read(make([]byte, 12)); err != nil || n != 12 {
							t.Errorf("no answer: %d, %v", n, err)
						}
					})
				}
				all.Wait()
				return k.asked.Load(), k.sent.Load()
			}
		}, cost{128 * mib, 1, 8 * kib}},
		{"a key server that sends 1 GB", func(t *testing.T) func() (int64, int64) {
			return s.fetchFrom(t, s.w.keyServer(t, endlessKeys))
		}, cost{2 * mib, 1, 8 * mib}},
		{"a key server that redirects to 169.254.169.254", func(t *testing.T) func() (int64, int64) {
			return s.fetchFrom(t, s.w.keyServer(t, func(_ *keyServer, w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
			}))
		}, cost{2 * mib, 1, 8 * kib}},
		{"a key server with a header of 4 MiB", func(t *testing.T) func() (int64, int64) {
			return s.fetchFrom(t, s.w.keyServer(t, func(_ *keyServer, w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X", strings.Repeat("a", 4*mib))
			}))
		}, cost{32 * mib, 1, 2 * mib}},
		{"1,000 made-up servers in a private network", func(t *testing.T) func() (int64, int64) {
			return func() (int64, int64) {
				for i := range 1000 {
					g := s.signature(s.p, http.MethodGet, "/", nil)
					g.origin = fmt.Sprintf("10.0.%d.%d", i/250, i%250)
					target := peer.MakeTarget(s.room, matrix.UserID("@a:"+g.origin), nil)
					if x := s.w.send(t, s.p, http.MethodGet, target, nil, g.String()); x.Status != 401 {
						t.Fatalf("server %s: %d", g.origin, x.Status)
					}
				}
				return 0, 0
			}
		}, cost{128 * mib, 0, 0}},
	}...)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			attack := a.run(t)
			before := readLedger(t, s.w)
			got := measure(t, attack)
			before.check(t, readLedger(t, s.w), nothing, 0)
			if got.allocated > a.most.allocated || got.fetches > a.most.fetches || got.sent > a.most.sent {
				t.Errorf("%+v, want at most %+v", got, a.most)
			}
			t.Logf("| %s | %d KiB | %d | %d KiB |", a.name, got.allocated/kib, got.fetches, (got.sent+kib-1)/kib)
		})
	}
}

// hostileBody prepares a send_knock with a body that is not signed.
func (s *scene) hostileBody(t testing.TB, body string) func() *peer.Exchange {
	t.Helper()
	target := peer.SendTarget(s.room, "$"+matrix.EventID(strings.Repeat("A", 43)))
	header := xmatrix.Header(s.p.Key(), s.p.Name(), s.w.name, http.MethodPut, target, []byte("{}"))
	raw := []byte(body)
	return func() *peer.Exchange {
		x, err := s.p.Send(background, s.w.name, http.MethodPut, target, raw, header)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

// fetchFrom asks once as a server, and returns how often it was asked for its
// keys and what it could send.
func (s *scene) fetchFrom(t *testing.T, k *keyServer) func() (fetches, sent int64) {
	t.Helper()
	e := s.makes(k.Peer, s.room, k.User("a"))
	return func() (int64, int64) {
		if x := e.do(t); x.Status != 401 {
			t.Errorf("%d, want 401", x.Status)
		}
		return k.asked.Load(), k.sent.Load()
	}
}

// flood sends a request whose last line and body begin so and go on for 1 GB,
// and returns how many bytes the server took.
func (s *scene) flood(t *testing.T, line, body string) int64 {
	t.Helper()
	raw, err := net.Dial("tcp", string(s.w.address()))
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	defer c.Close()
	event := peer.SendTarget(s.room, "$"+matrix.EventID(strings.Repeat("A", 43)))
	header := xmatrix.Header(s.p.Key(), s.p.Name(), s.w.name, http.MethodPut, event, []byte("{}"))
	request := strings.TrimSuffix(rawRequest(http.MethodPut, event, s.w.name, []string{"Authorization: " + header, line}, ""), "\r\n\r\n")
	if body != "" {
		request += "\r\n\r\n" + body
	}
	sent := int64(0)
	block := []byte(strings.Repeat(" ", 16<<10))
	for _, err := c.Write([]byte(request)); err == nil && sent < 1<<30; sent += int64(len(block)) {
		_, err = c.Write(block)
	}
	return sent
}

// BenchmarkHostileBodies measures refusals of hostile bodies over loopback TLS,
// beside an honest knock that was accepted before, which is verified twice.
//
//	go test -run '^$' -bench HostileBodies ./host
func BenchmarkHostileBodies(b *testing.B) {
	w := newWorld(b, allowAll, nil)
	s := &scene{w: w, p: w.peer(), room: w.room("11", "knock")}
	b.Run("honest knock", func(b *testing.B) {
		r := w.mustKnock(s.p, w.knock(s.p, "honest", s.room), peer.Allowed)
		for b.Loop() {
			x, err := s.p.Send(background, w.name, http.MethodPut, r.Send.Target, r.Event, r.Send.Authorization)
			if err != nil || x.Status != 200 {
				b.Fatalf("%v, %v", x, err)
			}
		}
	})
	for _, h := range hostileBodies {
		b.Run(h.name, func(b *testing.B) {
			send := s.hostileBody(b, h.body)
			for b.Loop() {
				if x := send(); x.Status/100 != 4 {
					b.Fatalf("%d %s", x.Status, x.Body)
				}
			}
		})
	}
}
