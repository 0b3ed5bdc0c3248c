package upstream

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// The room that tests ask about, and what it is in a path.
const (
	room    = matrix.RoomID("!a/b:a.test:18648")
	escaped = "%21a%2Fb:a.test:18648"
)

// answer is what a stub answers; a status of 0 is 200.
type answer struct {
	status int
	body   string
}

var notFound = answer{404, `{"errcode":"M_NOT_FOUND","error":"Room not found"}`}

// stub answers as a homeserver's APIs do. What it has no answer for is 404
// M_UNRECOGNIZED.
type stub struct {
	// answers are by the request-target, without what all of one API begin with.
	answers map[string]answer

	mu    sync.Mutex
	asked []string      // guarded by mu
	wait  chan struct{} // if not nil, answers come after it is closed
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Header.Get("Authorization")+" "+r.RequestURI)
	wait := s.wait
	s.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-r.Context().Done():
			return
		}
	}
	_, end, _ := strings.Cut(r.RequestURI, escaped)
	if strings.HasPrefix(r.RequestURI, "/_matrix/client/v1/room_summary/") {
		end = "summary"
	}
	a, ok := s.answers[end]
	if !ok {
		a = answer{404, `{"errcode":"M_UNRECOGNIZED"}`}
	}
	if a.status == 0 {
		a.status = 200
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// requests returns what was asked so far, without the token, which must be right.
func (s *stub) requests(t *testing.T) []string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, a := range s.asked {
		target, ok := strings.CutPrefix(a, "Bearer syt_x ")
		if !ok {
			t.Errorf("asked with another token: %q", a)
		}
		list = append(list, target)
	}
	return list
}

// clock is a clock that stands until it is set.
type clock struct {
	mu sync.Mutex
	at time.Time // guarded by mu
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// newAPI returns the API that a handler answers.
func newAPI(t *testing.T, h http.Handler) API {
	t.Helper()
	server := httptest.NewServer(h)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	up := New(Options{URL: u, ConnectTimeout: time.Minute, AnswerTimeout: time.Minute})
	t.Cleanup(func() { up.Close(); server.Close() })
	return API{URL: u, Upstream: up, Token: func() (string, error) { return "syt_x", nil }}
}

func newRooms(sources ...Source) (*Rooms, *clock) {
	c := &clock{at: time.UnixMilli(1_795_480_141_057)}
	return NewRooms(RoomsOptions{Sources: sources, MaxAge: 5 * time.Second, Now: c.now, Log: slog.New(slog.DiscardHandler)}), c
}

// ask asks the sources about the room for a user, and takes out what is always
// the same.
func ask(t *testing.T, r *Rooms, user matrix.UserID) knock.Outline {
	t.Helper()
	o := r.Outline(context.Background(), room, user)
	if o.ID != room || !o.At.Equal(r.Now()) {
		t.Errorf("an outline of %s at %v, want %s at %v", o.ID, o.At, room, r.Now())
	}
	o.ID, o.At = "", time.Time{}
	return *o
}
