package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// TestFrontFaults: where the homeserver is down, hangs, breaks off or answers what
// is no answer, the peer hears 502 or 504 with M_UNKNOWN and the decision says so.
// What it refuses is its own word, in whatever form.
func TestFrontFaults(t *testing.T) {
	text := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	gone := listen(t)
	gone.Close()
	tests := []struct {
		name    string
		handler http.HandlerFunc // nil: nobody listens
		status  int
		body    string // "": our own, with M_UNKNOWN
	}{
		{"down", nil, 502, ""},
		{"hangs", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504, ""},
		{"hangs in its answer", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 504, ""},
		{"breaks off", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, 502, ""},
		{"breaks off in its answer", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
			panic(http.ErrAbortHandler)
		}, 502, ""},
		{"speaks no HTTP", func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH\r\n")
				conn.Close()
			}
		}, 502, ""},
		{"500", text(500, `{"errcode":"M_UNKNOWN","error":"a secret"}`), 502, ""},
		{"503 of a proxy", text(503, "<html>"), 502, ""},
		{"redirects", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
		}, 502, ""},
		{"204", text(204, ""), 502, ""},
		{"200 with nothing", text(200, ""), 502, ""},
		{"200 with a page", text(200, "<html>"), 502, ""},
		{"200 with a list", text(200, "[]"), 502, ""},
		{"200 with half an object", text(200, `{"room_version":"11"`), 502, ""},
		{"200 without a version", text(200, `{"event":{}}`), 502, ""},
		{"too much", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"a":"`+strings.Repeat("a", 5<<20)+`"}`)
		}, 502, ""},
		{"no such endpoint", text(404, `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`), 404, `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`},
		{"a refusal that is no JSON", text(403, "no"), 403, "no"},
		{"429", text(429, `{"errcode":"M_LIMIT_EXCEEDED","error":"x","retry_after_ms":5}`), 429, `{"errcode":"M_LIMIT_EXCEEDED","error":"x","retry_after_ms":5}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := "http://" + gone.Addr().String()
			if tt.handler != nil {
				server := httptest.NewServer(tt.handler)
				defer server.Close()
				url = server.URL
			}
			timeout := "1m" // none but the hanging ones may meet it
			if tt.status == 504 {
				timeout = "300ms"
			}
			w := startFront(t, listen(t), url, "connect_timeout = \"5s\"\nanswer_timeout = \""+timeout+"\"\n"+allowAll)
			p := w.peer()
			x := w.do(t, p, http.MethodGet, peer.MakeTarget("!r:a.example", p.User("ada"), nil), nil)
			code, message := x.Errcode()
			want := tt.body
			if want == "" {
				want = fmt.Sprintf(`{"errcode":"M_UNKNOWN","error":%q}`, message)
				if code != "M_UNKNOWN" || strings.Contains(message, "secret") {
					t.Errorf("errcode %q, %q, want M_UNKNOWN and none of the homeserver's words", code, message)
				}
			}
			if x.Status != tt.status || string(x.Body) != want {
				t.Errorf("%d %s, want %d %s", x.Status, x.Body, tt.status, want)
			}
			if lines := w.log.lines("msg=decision", "verdict=allow", fmt.Sprintf("status=%d", tt.status)); len(lines) != 1 {
				t.Errorf("%d decisions with the answer in the log, want 1", len(lines))
			}
		})
	}
}

// TestFrontDecidesAlone: what a policy denies does not need the homeserver.
func TestFrontDecidesAlone(t *testing.T) {
	gone := listen(t)
	gone.Close()
	w := startFront(t, listen(t), "http://"+gone.Addr().String(), incompatibleChain)
	p := w.peer()
	x := w.do(t, p, http.MethodGet, peer.MakeTarget("!r:a.example", p.User("ada"), nil), nil)
	if code, message := x.Errcode(); x.Status != 403 || code != "M_FORBIDDEN" || message != "Please upgrade" {
		t.Errorf("incompatible, and nobody says the version: %d %s, want 403 M_FORBIDDEN", x.Status, x.Body)
	}
	x = w.do(t, p, http.MethodGet, "/_matrix/federation/v1/event/x", nil)
	if code, _ := x.Errcode(); x.Status != 502 || code != "M_UNKNOWN" {
		t.Errorf("what is passed through: %d %s, want 502 M_UNKNOWN", x.Status, x.Body)
	}
}

// TestFrontFinishesKnocks: a knock that was handed on is finished although its
// sender left, and recorded with the homeserver's answer; a template is not.
func TestFrontFinishesKnocks(t *testing.T) {
	f := newFrontOfRooms(t, allowAll)
	p := f.peer()
	room := f.homeserver.room("11", "knock")
	event, id := f.sign(p, room, "ada", "hello")
	arrived, release := make(chan struct{}), make(chan struct{})
	var canceled atomic.Bool
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		canceled.Store(r.Context().Err() != nil)
		f.homeserver.server.Handler.ServeHTTP(w, r)
	})
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() {
		_, err := p.Do(ctx, f.name, http.MethodPut, peer.SendTarget(room, id), event)
		left <- err
	}()
	<-arrived
	leave()
	if err := <-left; err == nil {
		t.Fatal("the sender got an answer before it left")
	}
	close(release)
	f.waitForLine("msg=decision", "phase=send_knock", "status=200")
	if got := f.homeserver.membership(room, p.User("ada")); got != "knock" || canceled.Load() {
		t.Errorf("membership = %q, canceled %v, want a knock", got, canceled.Load())
	}
}

// waitForLine waits until the log has a line with all of the words.
func (w *world) waitForLine(words ...string) {
	w.t.Helper()
	w.waitFor(fmt.Sprintf("a line with %q in the log", words), func() bool { return len(w.log.lines(words...)) > 0 })
}

// waitFor waits until a condition holds.
func (w *world) waitFor(what string, holds func() bool) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); !holds(); {
		select {
		case <-tick.C:
		case <-end:
			w.t.Fatalf("there is never: %s", what)
		}
	}
}

// TestFrontLeaver: when the sender of what is passed through leaves, the
// homeserver is left too.
func TestFrontLeaver(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan struct{})
	f := newFront(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(left)
	}), allowAll)
	ctx, leave := context.WithCancel(context.Background())
	done := make(chan struct{})
	p := f.peer()
	go func() {
		defer close(done)
		_, _ = p.Do(ctx, f.name, http.MethodGet, "/_matrix/federation/v1/state/!r:a", nil) // it leaves
	}()
	<-arrived
	leave()
	<-done
	<-left
}

// TestFrontRestarts kills the homeserver and starts it again while knocks keep
// coming: each is answered 200 or 502, whoever heard 200 has knocked, and nothing
// is left of it in the end.
func TestFrontRestarts(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	files := openFiles()
	defer func() {
		(&world{t: t}).waitFor("no more open files than before", func() bool { return openFiles() <= files })
	}()
	t.Run("", func(t *testing.T) { // whose clean-up comes before the look at what is left
		ln, behind := listen(t), listen(t)
		address := behind.Addr().String()
		homeserver := newHomeserver(t, ln.Addr().String())
		f := &front{homeserver: homeserver, world: startFront(t, ln, "http://"+address, allowAll)}
		var served sync.WaitGroup
		serve := func(ln net.Listener) *http.Server {
			server := &http.Server{Handler: homeserver.server.Handler}
			served.Go(func() { _ = server.Serve(ln) }) // until it is killed
			return server
		}
		server := serve(behind)
		p := f.peer()
		room := homeserver.room("11", "knock")

		var allowed, failed atomic.Int64
		stop := make(chan struct{})
		var knockers sync.WaitGroup
		for i := range 8 {
			knockers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					name := fmt.Sprintf("u%d-%d", i, n)
					event, id := f.sign(p, room, name, "hello")
					x, err := p.Do(context.Background(), f.name, http.MethodPut, peer.SendTarget(room, id), event)
					switch {
					case err != nil:
						t.Errorf("%s: %v", name, err)
						return
					case x.Status == http.StatusBadGateway:
						failed.Add(1)
					case x.Status != http.StatusOK:
						t.Errorf("%s: %d %s", name, x.Status, x.Body)
						return
					case membershipOf(homeserver, room, p.User(name)) != "knock":
						t.Errorf("%s heard 200 and has not knocked", name)
						return
					default:
						allowed.Add(1)
					}
				}
			})
		}
		for range 3 {
			f.waitFor("knocks that are allowed", more(&allowed, 10))
			server.Close()
			f.waitFor("knocks that fail", more(&failed, 10))
			again, err := net.Listen("tcp", address)
			if err != nil {
				t.Error(err)
				break
			}
			server = serve(again)
		}
		f.waitFor("knocks that are allowed at last", more(&allowed, 10))
		close(stop)
		knockers.Wait()
		server.Close()
		served.Wait()
	})
}

// membershipOf is world.membership for any goroutine.
func membershipOf(w *world, room matrix.RoomID, user matrix.UserID) string {
	r, err := w.rooms.Room(context.Background(), room)
	if err != nil {
		return err.Error()
	}
	if ev := r.Member(user); ev != nil {
		return ev.Membership()
	}
	return ""
}

// more returns a condition: the number has grown by n from now on.
func more(number *atomic.Int64, n int64) func() bool {
	from := number.Load()
	return func() bool { return number.Load() >= from+n }
}
