package upstream

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// synapse answers as Synapse's admin API does.
type synapse struct {
	status         int
	summary, state string

	mu    sync.Mutex
	asked []string      // guarded by mu
	wait  chan struct{} // if not nil, answers come after it is closed
}

func (s *synapse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Header.Get("Authorization")+" "+r.RequestURI)
	wait := s.wait
	s.mu.Unlock()
	if wait != nil {
		<-wait
	}
	answer := s.summary
	if strings.HasSuffix(r.URL.Path, "/state") {
		answer = s.state
	}
	w.WriteHeader(s.status)
	_, _ = io.WriteString(w, answer)
}

func (s *synapse) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
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

func newAdmin(t *testing.T, s http.Handler) (*Admin, *clock) {
	t.Helper()
	server := httptest.NewServer(s)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	up := New(Options{URL: u, ConnectTimeout: time.Minute, AnswerTimeout: time.Minute})
	t.Cleanup(func() { up.Close(); server.Close() })
	c := &clock{at: time.UnixMilli(1_795_480_141_057)}
	return NewAdmin(AdminOptions{
		URL: u, Upstream: up, MaxAge: 5 * time.Second, Now: c.now, Log: slog.New(slog.DiscardHandler),
		Token: func() (string, error) { return "syt_x", nil },
	}), c
}

const (
	room  = matrix.RoomID("!a/b:a.test:18648")
	path  = "/_synapse/admin/v1/rooms/%21a%2Fb:a.test:18648"
	whole = `{"room_id":"!a/b:a.test:18648","name":"Lobby","canonical_alias":"#l:a.test","joined_members":2,"join_rules":"knock","guest_access":"can_join",` +
		`"history_visibility":"shared","state_events":9,"avatar":null,"topic":"A place","room_type":null,"joined_local_members":1,"version":"10","creator":"@c:a.test",` +
		`"encryption":"m.megolm.v1.aes-sha2","federatable":true,"public":false,"tombstoned":false,"replacement_room":null}`
	bare  = `{"room_id":"!a/b:a.test:18648","name":null,"canonical_alias":null,"joined_members":0,"join_rules":null,"topic":null,"version":"6","encryption":null}`
	state = `{"state":[{"type":"m.room.member","state_key":"@u:b","content":{"membership":"ban","reason":"x"}},{"type":"m.room.member","state_key":"@v:b","content":{"membership":7}}]}`
)

func TestOutline(t *testing.T) {
	huge := `{"state":[{"type":"` + strings.Repeat("x", maxState) + `"}]}`
	tests := []struct {
		name   string
		answer *synapse
		want   knock.Outline
		asked  int
	}{
		{"all", &synapse{status: 200, summary: whole, state: state}, knock.Outline{
			ID: room, VersionID: "10", Known: true, JoinRule: "knock", Name: "Lobby", Alias: "#l:a.test", Topic: "A place", Encrypted: true, Joined: 2, Membership: "ban",
		}, 2},
		{"nothing", &synapse{status: 200, summary: bare, state: `{"state":[]}`}, knock.Outline{ID: room, VersionID: "6", Known: true}, 2},
		{"many members", &synapse{status: 200, summary: strings.Replace(bare, `"joined_members":0`, `"joined_members":1001`, 1), state: state},
			knock.Outline{ID: room, VersionID: "6", Known: true, Joined: 1001}, 1},
		{"many who left", &synapse{status: 200, summary: bare, state: huge}, knock.Outline{ID: room, VersionID: "6", Known: true}, 2},
		{"no such room", &synapse{status: 404, summary: `{"errcode":"M_NOT_FOUND","error":"Room not found"}`}, knock.Outline{ID: room}, 1},
		{"no admin API there", &synapse{status: 404, summary: `{"errcode":"M_UNRECOGNIZED"}`}, knock.Outline{ID: room}, 1},
		{"no administrator", &synapse{status: 403, summary: `{"errcode":"M_FORBIDDEN"}`}, knock.Outline{ID: room}, 1},
		{"garbage", &synapse{status: 200, summary: `<html>`}, knock.Outline{ID: room}, 1},
		{"another room", &synapse{status: 200, summary: strings.Replace(bare, "!a", "!b", 1)}, knock.Outline{ID: room}, 1},
		{"no member count", &synapse{status: 200, summary: strings.Replace(bare, "joined_m", "m", 1)}, knock.Outline{ID: room}, 1},
		{"state is garbage", &synapse{status: 200, summary: bare, state: "no"}, knock.Outline{ID: room, VersionID: "6"}, 2},
		{"too much", &synapse{status: 200, summary: `{"topic":"` + strings.Repeat("x", maxSummary) + `"}`}, knock.Outline{ID: room}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, c := newAdmin(t, tt.answer)
			tt.want.At = c.now()
			for range 3 { // the second and third are remembered
				got := a.Outline(context.Background(), room, "@u:b")
				if diff := cmp.Diff(&tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
			asked := tt.answer.requests()
			if len(asked) != tt.asked || asked[0] != "Bearer syt_x "+path {
				t.Fatalf("asked %q, want %d requests", asked, tt.asked)
			}
			if tt.asked == 2 && asked[1] != "Bearer syt_x "+path+"/state?type=m.room.member" {
				t.Errorf("asked %q", asked[1])
			}
			c.advance(5 * time.Second)
			a.Outline(context.Background(), room, "@u:b")
			if got := len(tt.answer.requests()); got != 2*tt.asked {
				t.Errorf("%d requests once it is too old, want %d", got, 2*tt.asked)
			}
		})
	}
}

// TestOutlineShared: many who ask at one time share a request, one who does not
// wait gets nothing, and does not end it for the others.
func TestOutlineShared(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := &synapse{status: 200, summary: whole, state: state, wait: make(chan struct{})}
	t.Run("", func(t *testing.T) {
		a, _ := newAdmin(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if got := a.Outline(ctx, room, "@u:b"); got.Known {
			t.Errorf("%+v for one who left", got)
		}
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				want := ""
				if i%2 == 0 {
					want = "ban"
				}
				got := a.Outline(context.Background(), room, []matrix.UserID{"@u:b", "@w:b"}[i%2])
				if !got.Known || got.Membership != want {
					t.Errorf("%+v, want membership %q", got, want)
				}
			})
		}
		close(s.wait)
		wg.Wait()
		if asked := s.requests(); len(asked) != 2 {
			t.Errorf("%d requests, want 2: %q", len(asked), asked)
		}
	})
}

// TestOutlineBounded: a flood of rooms takes no more than its share of memory.
func TestOutlineBounded(t *testing.T) {
	a, c := newAdmin(t, &synapse{status: 404, summary: `{"errcode":"M_NOT_FOUND"}`})
	for i := range maxRooms + 50 {
		a.Outline(context.Background(), matrix.RoomID(fmt.Sprintf("!%d:a", i)), "@u:b")
		if i == maxRooms/2 {
			c.advance(4 * time.Second)
		}
	}
	if n := len(a.rooms); n != maxRooms {
		t.Errorf("%d rooms are remembered, want %d", n, maxRooms)
	}
	c.advance(2 * time.Second)
	a.Outline(context.Background(), "!last:a", "@u:b")
	if n := len(a.rooms); n > maxRooms/2+50 {
		t.Errorf("%d rooms are remembered, of which half are too old", n)
	}
}

func TestTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	token := TokenFile(file)
	if _, err := token(); err == nil {
		t.Error("no file: no error")
	}
	for text, want := range map[string]string{"syt_a\n": "syt_a", " syt_b ": "syt_b", "": "", "a b": "", "a\nb": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := token()
		if (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestVersionsBounded(t *testing.T) {
	var v Versions
	v.Put("!r:a", "11")
	v.Put("!none:a", "")
	v.Put("!long:a", strings.Repeat("1", 33))
	if got := v.Get("!r:a") + v.Get("!none:a") + v.Get("!long:a"); got != "11" {
		t.Errorf("%q, want what was put in and nothing else", got)
	}
	for i := range 2 * maxVersions {
		v.Put(matrix.RoomID(fmt.Sprint("!", i, ":a")), "11")
	}
	if len(v.m) != maxVersions {
		t.Errorf("%d rooms, want %d", len(v.m), maxVersions)
	}
}
