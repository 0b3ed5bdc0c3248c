package appservice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/store"
)

// TestAnswers: who may ask, and what is answered, on each path.
func TestAnswers(t *testing.T) {
	const (
		push = "/_matrix/app/v1/transactions/1"
		none = `{"events":[]}`
	)
	tests := []struct {
		name, authorization, method, path, body string
		status                                  int
		code                                    string
	}{
		{"transaction", "Bearer " + hsToken, "PUT", push, none, 200, ""},
		{"scheme in any case", "bearer " + hsToken, "PUT", push, none, 200, ""},
		{"without a version", "Bearer " + hsToken, "PUT", "/transactions/1", none, 200, ""},
		{"escaped ID", "Bearer " + hsToken, "PUT", "/_matrix/app/v1/transactions/a%2Fb", none, 200, ""},
		{"the token twice", "Bearer " + hsToken, "PUT", push + "?access_token=" + hsToken, none, 200, ""},
		{"no token", "", "PUT", push, none, 401, "M_UNAUTHORIZED"},
		{"empty token", "Bearer ", "PUT", push, none, 401, "M_UNAUTHORIZED"},
		{"token in the query only", "", "PUT", push + "?access_token=" + hsToken, none, 401, "M_UNAUTHORIZED"},
		{"other scheme", "Basic " + hsToken, "PUT", push, none, 401, "M_UNAUTHORIZED"},
		{"wrong token", "Bearer x", "PUT", push, none, 403, "M_FORBIDDEN"},
		{"half the token", "Bearer " + hsToken[:4], "PUT", push, none, 403, "M_FORBIDDEN"},
		{"another token in the query", "Bearer " + hsToken, "PUT", push + "?access_token=x", none, 403, "M_FORBIDDEN"},
		{"wrong token, no JSON", "Bearer x", "PUT", push, "no", 403, "M_FORBIDDEN"},
		{"user", "Bearer " + hsToken, "GET", "/_matrix/app/v1/users/%40u%3Aa.test", "", 404, "M_NOT_FOUND"},
		{"alias", "Bearer " + hsToken, "GET", "/rooms/%23r%3Aa.test", "", 404, "M_NOT_FOUND"},
		{"user, no token", "", "GET", "/users/%40u%3Aa.test", "", 401, "M_UNAUTHORIZED"},
		{"ping", "Bearer " + hsToken, "POST", "/_matrix/app/v1/ping", `{"transaction_id":"x"}`, 200, ""},
		{"ping, wrong token", "Bearer x", "POST", "/_matrix/app/v1/ping", "", 403, "M_FORBIDDEN"},
		{"unknown path", "Bearer " + hsToken, "GET", "/_matrix/app/v1/thirdparty/user", "", 404, "M_UNRECOGNIZED"},
		{"no ID", "Bearer " + hsToken, "PUT", "/_matrix/app/v1/transactions/", none, 404, "M_UNRECOGNIZED"},
		{"method", "Bearer " + hsToken, "POST", push, none, 405, "M_UNRECOGNIZED"},
		{"long ID", "Bearer " + hsToken, "PUT", "/transactions/" + strings.Repeat("x", 256), none, 400, "M_INVALID_PARAM"},
	}
	s := newScene(t)
	for _, tt := range tests {
		status, code := s.askAs(tt.authorization, tt.method, tt.path, strings.NewReader(tt.body))
		if status != tt.status || code != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, status, code, tt.status, tt.code)
		}
	}
	if strings.Contains(s.log.String(), hsToken) {
		t.Errorf("the token is in the log:\n%s", s.log)
	}
}

// TestTokenUnreadable: nobody is let in where the token is not there.
func TestTokenUnreadable(t *testing.T) {
	s := newScene(t)
	s.receiver.Token = func() (string, error) { return "", errors.New("no file") }
	if status, code := s.ask("PUT", "/transactions/1", strings.NewReader(`{"events":[]}`)); status != 500 || code != "M_UNKNOWN" {
		t.Errorf("%d %s, want 500 M_UNKNOWN", status, code)
	}
}

// TestOnce: a transaction counts once, in whatever order they come, over a restart
// too; the facts are forgotten each time.
func TestOnce(t *testing.T) {
	s := newScene(t)
	s.push("7", member("$1", "@u:b.test", "knock", time.Second))
	s.push("7", member("$2", "@u:b.test", "knock", time.Second))
	s.push("3", member("$3", "@v:b.test", "knock", 0), member("$1", "@u:b.test", "knock", time.Second))
	want := []string{"other_server $1", "other_server $3"}
	if got := s.undecided(); !cmp.Equal(got, want) {
		t.Errorf("undecided are %v, want %v", got, want)
	}
	s.close()
	if got := strings.Count(s.log.String(), "came round the policies"); got != 2 {
		t.Errorf("%d knocks in the log, want 2:\n%s", got, s.log)
	}
	s = openScene(t, s.store.Path())
	s.push("7", member("$2", "@u:b.test", "knock", time.Second))
	if got := s.undecided(); !cmp.Equal(got, want) {
		t.Errorf("after a restart undecided are %v, want %v", got, want)
	}
	if got := s.facts.take(); !cmp.Equal(got, []string{"!r:a.test"}) {
		t.Errorf("forgotten are %v, want the room", got)
	}
}

// TestHandedOn: a knock of ours is none that came round us.
func TestHandedOn(t *testing.T) {
	s := newScene(t)
	if err := s.store.HandedOn(context.Background(), "!r:a.test", "@u:b.test", "$1"); err != nil {
		t.Fatal(err)
	}
	s.push("1", member("$1", "@u:b.test", "knock", time.Second), member("$2", "@u:b.test", "knock", time.Second))
	if got, want := s.undecided(), []string{"other_server $2"}; !cmp.Equal(got, want) {
		t.Errorf("undecided are %v, want %v", got, want)
	}
}

// TestHistory: what the homeserver had before is not counted, until an event of its
// own users shows that its past is over; from then on no time that another server
// writes hides a knock.
func TestHistory(t *testing.T) {
	s := newScene(t)
	old := -time.Hour
	s.push("1", member("$1", "@u:b.test", "knock", old), member("$2", "@alice:a.test:8448", "knock", old))
	s.push("2", message("@u:b.test", time.Hour), member("$3", "@u:b.test", "knock", old))
	s.push("3", member("$4", "@u:b.test", "knock", time.Second), member("$5", "@v:b.test", "knock", old))
	s.push("4", member("$6", "@u:b.test", "knock", old), message("@alice:a.test:8448", time.Second), member("$7", "@u:b.test", "knock", old))
	s.push("5", member("$8", "@bob:a.test:8448", "knock", old))
	want := []string{"other_server $4", "other_server $7", "own_user $8"}
	if got := s.undecided(); !cmp.Equal(got, want) {
		t.Errorf("undecided are %v, want %v", got, want)
	}
	s.close()
	for level, n := range map[string]int{"level=WARN msg=\"a knock came round the policies\"": 2, "level=INFO msg=\"a user of the homeserver knocked": 1} {
		if got := strings.Count(s.log.String(), level); got != n {
			t.Errorf("%d times %s in the log, want %d:\n%s", got, level, n, s.log)
		}
	}
}

// broken is a store that fails.
type broken struct{}

func (broken) TakeTransaction(context.Context, string, []store.Undecided) ([]store.Undecided, error) {
	return nil, errors.New("the disk is full")
}

// TestStoreFails: a transaction that could not be kept is refused, so that it is
// pushed again, and then judged as if it had never come.
func TestStoreFails(t *testing.T) {
	s := newScene(t)
	events := []string{member("$1", "@u:b.test", "knock", -time.Hour), message("@alice:a.test:8448", time.Second), member("$2", "@u:b.test", "knock", time.Second)}
	s.receiver.Store = broken{}
	if status, code := s.ask("PUT", "/transactions/1", strings.NewReader(`{"events":[`+strings.Join(events, ",")+`]}`)); status != 500 || code != "M_UNKNOWN" {
		t.Errorf("%d %s, want 500 M_UNKNOWN", status, code)
	}
	s.receiver.Store = s.store
	s.push("1", events...)
	if got, want := s.undecided(), []string{"other_server $2"}; !cmp.Equal(got, want) {
		t.Errorf("undecided are %v, want %v", got, want)
	}
}

// TestAtOnce: many transactions at one time, each of them twice, are all taken
// once.
func TestAtOnce(t *testing.T) {
	s := newScene(t)
	const n = 20
	var wg sync.WaitGroup
	for i := range 2 * n {
		wg.Go(func() {
			s.push(fmt.Sprint(i/2), member(fmt.Sprint("$", i/2), "@u:b.test", "knock", time.Second))
		})
	}
	wg.Wait()
	if got := s.undecided(); len(got) != n {
		t.Errorf("%d undecided, want %d: %v", len(got), n, got)
	}
}

// TestLeft: a homeserver that leaves in the middle of a transaction holds nothing up.
func TestLeft(t *testing.T) {
	s := newScene(t)
	address := s.http.Listener.Addr()
	conn, err := net.Dial(address.Network(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	half := `{"events":[` + message("@u:b.test", 0)
	_, err = fmt.Fprintf(conn, "PUT /transactions/1 HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", address, hsToken, 2*len(half), half)
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	s.push("2", member("$1", "@u:b.test", "knock", time.Second))
	if got := s.undecided(); len(got) != 1 {
		t.Errorf("undecided are %v, want one", got)
	}
}
