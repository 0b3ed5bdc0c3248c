package appservice

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	server  = matrix.ServerName("a.test:8448")
	hsToken = "the-hs-token"
)

// since is when the receivers of these tests were first up.
var since = time.UnixMilli(1_795_480_000_000)

// scene is a receiver with what it writes to.
type scene struct {
	t        testing.TB
	receiver *Receiver
	http     *httptest.Server
	store    *store.Store
	facts    *forgotten
	log      *bytes.Buffer // read after the requests
}

// forgotten remembers the rooms that were to be forgotten.
type forgotten struct {
	mu    sync.Mutex
	rooms []string // guarded by mu
}

func (f *forgotten) Forget(room matrix.RoomID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rooms = append(f.rooms, string(room))
}

// take returns the rooms since it was last called, each once.
func (f *forgotten) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	rooms := f.rooms
	f.rooms = nil
	slices.Sort(rooms)
	return slices.Compact(rooms)
}

func newScene(t testing.TB) *scene { return openScene(t, filepath.Join(t.TempDir(), "store.db")) }

// openScene starts a receiver on the store in a file.
func openScene(t testing.TB, file string) *scene {
	t.Helper()
	st, err := store.Open(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, store: st, facts: &forgotten{}, log: &bytes.Buffer{}}
	s.receiver = New(Options{
		Server: server, Token: func() (string, error) { return hsToken, nil }, Facts: s.facts, Store: st, Since: since,
		Now: func() time.Time { return since.Add(time.Hour) }, Log: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	s.http = httptest.NewServer(s.receiver)
	t.Cleanup(s.close)
	return s
}

// close is safe twice.
func (s *scene) close() {
	s.http.Close()
	if err := s.store.Close(); err != nil {
		s.t.Error(err)
	}
}

// ask makes a request with the homeserver's token and returns status and errcode.
func (s *scene) ask(method, path string, body io.Reader) (int, string) {
	s.t.Helper()
	return s.askAs("Bearer "+hsToken, method, path, body)
}

func (s *scene) askAs(authorization, method, path string, body io.Reader) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.http.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response, err := s.http.Client().Do(r)
	if err != nil {
		s.t.Errorf("%s %s: %v", method, path, err)
		return 0, ""
	}
	defer response.Body.Close()
	var answer struct{ Errcode string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		s.t.Errorf("%s %s: %d without JSON: %v", method, path, response.StatusCode, err)
	}
	return response.StatusCode, answer.Errcode
}

// push pushes events as a transaction, and fails the test unless they are taken.
func (s *scene) push(id string, events ...string) {
	s.t.Helper()
	status, code := s.ask(http.MethodPut, "/_matrix/app/v1/transactions/"+id, strings.NewReader(`{"events":[`+strings.Join(events, ",")+`]}`))
	if status != http.StatusOK {
		s.t.Errorf("transaction %s: %d %s, want 200", id, status, code)
	}
}

// undecided returns the stored knocks, oldest first, as "kind event".
func (s *scene) undecided() []string {
	s.t.Helper()
	list, err := s.store.UndecidedKnocks(context.Background(), store.UndecidedFilter{Limit: 10_000})
	if err != nil {
		s.t.Fatal(err)
	}
	found := []string{}
	for _, k := range slices.Backward(list) {
		found = append(found, k.Kind+" "+k.Event)
	}
	return found
}

// member returns a member event of a user, sent some time after the receivers were
// first up.
func member(id, user, membership string, after time.Duration) string {
	return fmt.Sprintf(`{"type":"m.room.member","room_id":"!r:a.test","sender":%q,"state_key":%q,"event_id":%q,"origin_server_ts":%d,"content":{"membership":%q,"reason":"hello"},"unsigned":{"age":7}}`,
		user, user, id, since.Add(after).UnixMilli(), membership)
}

// message returns a message of a user.
func message(user string, after time.Duration) string {
	return fmt.Sprintf(`{"type":"m.room.message","room_id":"!m:a.test","sender":%q,"event_id":"$m","origin_server_ts":%d,"content":{"body":"x"}}`,
		user, since.Add(after).UnixMilli())
}
