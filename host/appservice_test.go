package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/appservice"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
)

const pushedConfig = "[upstream.appservice]\nlisten = \"127.0.0.1:0\"\nurl = \"http://127.0.0.1:8009\"\n"

// push pushes events as the homeserver would, with a transaction ID of its own for
// each call, and returns the status.
func (f *front) push(events ...string) int {
	f.t.Helper()
	token, err := appservice.ReadToken(filepath.Join(f.cfg.StateDir, appservice.HSTokenFile))
	if err != nil {
		f.t.Error(err)
	}
	return f.pushAs(token, events...)
}

// transactions counts what the tests of this package push.
var transactions atomic.Int64

func (f *front) pushAs(token string, events ...string) int {
	f.t.Helper()
	target := fmt.Sprintf("http://%s/_matrix/app/v1/transactions/%d", f.pushes.listener.Addr(), transactions.Add(1))
	r, err := http.NewRequest(http.MethodPut, target, strings.NewReader(`{"events":[`+strings.Join(events, ",")+`]}`))
	if err != nil {
		f.t.Error(err)
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		f.t.Error(err)
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// memberEvent returns a member event in the format that clients get.
func (f *front) memberEvent(room matrix.RoomID, user matrix.UserID, id matrix.EventID, membership string) string {
	return fmt.Sprintf(`{"type":"m.room.member","room_id":%q,"sender":%q,"state_key":%q,"event_id":%q,"origin_server_ts":%d,"content":{"membership":%q}}`,
		room, user, user, id, f.now().UnixMilli(), membership)
}

// command runs a command on the configuration of f and returns what it printed.
func (f *front) command(args ...string) string {
	f.t.Helper()
	var out, errs strings.Builder
	if code := runContext(context.Background(), append(args, "--config", filepath.Join(f.dir, "config.toml")), &out, &errs); code != exitOK {
		f.t.Errorf("%v: exit code %d: %s", args, code, errs.String())
	}
	return out.String()
}

// TestAppserviceUndecided: a knock through this server is none that came round it,
// even if it is pushed before the homeserver answers it, as Synapse may. Others are
// logged and listed, in a way that is safe for a terminal.
func TestAppserviceUndecided(t *testing.T) {
	f := newFrontOfRooms(t, pushedConfig+reasonChain)
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && r.Method == http.MethodPut {
			_, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/_matrix/federation/v1/send_knock/"), "/")
			var event struct {
				Room   matrix.RoomID `json:"room_id"`
				Sender matrix.UserID
			}
			if err := json.Unmarshal(body, &event); err != nil {
				t.Error(err)
			}
			if status := f.push(f.memberEvent(event.Room, event.Sender, matrix.EventID(id), "knock")); status != 200 {
				t.Errorf("pushed before the answer: %d", status)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		f.homeserver.server.Handler.ServeHTTP(w, r)
	})
	p := f.peer()
	room := f.homeserver.room("11", "knock")
	r := f.mustKnock(p, f.knock(p, "ada", room), peer.Allowed)
	f.push(f.memberEvent(room, p.User("ada"), r.EventID, "knock"))
	if got := f.command("decisions", "--undecided", "--json"); got != "" {
		t.Errorf("a knock through this server is undecided:\n%s", got)
	}

	// Denied here, it came in by another server all the same.
	denied := f.knock(p, "bob", room)
	denied.Reason = ""
	f.mustKnock(p, denied, peer.Denied)
	own := matrix.UserID("@carol:" + string(f.name))
	f.push(f.memberEvent(room, p.User("bob"), "$round", "knock"), f.memberEvent(room, own, "$own\u009b\u202e", "knock"))
	table := f.command("decisions", "--undecided")
	for _, want := range []string{"other_server", string(p.User("bob")), "$round", "own_user", string(own), "In all: 1 by the homeserver's own users, 1 by way of another server"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table does not say %q:\n%s", want, table)
		}
	}
	lines := f.command("decisions", "--undecided", "--json", "--room", string(room))
	if strings.ContainsAny(table+lines, "\u009b\u202e") {
		t.Errorf("text reaches the terminal raw:\n%q\n%q", table, lines)
	}
	first, second, _ := strings.Cut(lines, "\n")
	for line, want := range map[string][3]string{first: {"own_user", string(own), "$own\u009b\u202e"}, second: {"other_server", string(p.User("bob")), "$round"}} {
		var got struct {
			Kind, User, Event, Room string
			SeenAt                  time.Time `json:"seen_at"`
			SentMS                  int64     `json:"origin_server_ts"`
			UserID                  string    `json:"user_id"`
			EventID                 string    `json:"event_id"`
			RoomID                  string    `json:"room_id"`
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v:\n%s", err, lines)
		}
		if [3]string{got.Kind, got.UserID, got.EventID} != want || got.RoomID != string(room) || got.SeenAt.IsZero() || got.SentMS == 0 {
			t.Errorf("got %+v, want %v", got, want)
		}
	}
	if got := f.command("decisions", "--undecided", "--json", "--origin", string(p.Name()), "--last", "1"); got != second {
		t.Errorf("of the peer: %s, want %s", got, second)
	}
	if warned := f.log.lines("level=WARN", "a knock came round the policies", "$round", string(p.User("bob"))); len(warned) != 1 {
		t.Errorf("%d lines on the knock by another server, want 1", len(warned))
	}
	if said := f.log.lines("level=INFO", "knocked without the policies", string(own)); len(said) != 1 {
		t.Errorf("%d lines on the knock of an own user, want 1", len(said))
	}
}

// TestAppserviceFacts: what was learnt of a room is kept until its state changes,
// and then asked anew.
func TestAppserviceFacts(t *testing.T) {
	var name atomic.Value
	name.Store("One")
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/state") {
			_, _ = io.WriteString(w, `{"state":[]}`)
			return
		}
		room := strings.TrimPrefix(r.URL.Path, "/_synapse/admin/v1/rooms/")
		fmt.Fprintf(w, `{"room_id":%q,"version":"11","name":%q,"joined_members":1,"join_rules":"knock"}`, room, name.Load())
	}))
	t.Cleanup(admin.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFrontOfRooms(t, fmt.Sprintf("[upstream.admin]\nurl = %q\ntoken_file = %q\n", admin.URL, token)+pushedConfig+allowAll)
	p := f.peer()
	room := f.homeserver.room("11", "knock")
	told := func(what, want string) {
		t.Helper()
		f.mustKnock(p, f.knock(p, fmt.Sprint("u", transactions.Add(1)), room), peer.Allowed)
		if err := f.store.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(f.command("decisions", "--json", "--last", "1"), "\n")
		var d struct {
			Detail struct {
				Facts struct{ Room struct{ Name string } }
			}
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		if got := d.Detail.Facts.Room.Name; got != want {
			t.Errorf("%s: the policies were told the name %q, want %q", what, got, want)
		}
	}
	told("at first", "One")
	name.Store("Two")
	f.clock.Advance(config.DefaultPushedMaxAge / 2)
	told("kept", "One")
	f.push(fmt.Sprintf(`{"type":"m.room.name","room_id":%q,"sender":"@a:b","state_key":"","content":{}}`, room))
	told("pushed", "Two")
	name.Store("Three")
	f.clock.Advance(config.DefaultPushedMaxAge)
	told("too old", "Three")
}

// TestAppserviceCommand: the same registration each time, with the tokens that serve
// goes by; after a rotation a running server takes the new one.
func TestAppserviceCommand(t *testing.T) {
	f := newFront(t, http.NotFoundHandler(), pushedConfig+allowAll)
	first := f.command("appservice")
	hsToken := func(text string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^hs_token: "([A-Z2-7]{26})"$`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no hs_token in\n%s", text)
		}
		return m[1]
	}
	if !strings.Contains(first, `url: "http://127.0.0.1:8009"`) || !strings.Contains(first, `sender_localpart: "knockgate"`) {
		t.Errorf("printed:\n%s", first)
	}
	if again := f.command("appservice"); again != first {
		t.Errorf("the second time:\n%s\nwant\n%s", again, first)
	}
	if status := f.pushAs(hsToken(first)); status != 200 {
		t.Errorf("with the token: %d, want 200", status)
	}
	rotated := f.command("appservice", "--rotate")
	if hsToken(rotated) == hsToken(first) || rotated != f.command("appservice") {
		t.Errorf("rotated:\n%s", rotated)
	}
	for token, want := range map[string]int{hsToken(first): 403, hsToken(rotated): 200} {
		if status := f.pushAs(token); status != want {
			t.Errorf("with %s: %d, want %d", token, status, want)
		}
	}
	if strings.Contains(f.log.String(), hsToken(first)) || strings.Contains(f.log.String(), hsToken(rotated)) {
		t.Error("a token is in the log")
	}
}

// TestAppservicePing: a start has the homeserver try to reach it, and says in the
// log what came of it.
func TestAppservicePing(t *testing.T) {
	for status, want := range map[int]string{
		200: "level=INFO msg=\"the homeserver reaches this server as its application service\"",
		502: "level=WARN msg=\"the homeserver does not reach this server as its application service",
		404: "level=INFO msg=\"the homeserver could not be asked whether",
	} {
		asked := make(chan string, 1)
		f := newFront(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- r.RequestURI + " " + r.Header.Get("Authorization")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "{}")
		}), pushedConfig+allowAll)
		token, err := appservice.ReadToken(filepath.Join(f.cfg.StateDir, appservice.ASTokenFile))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := <-asked, "/_matrix/client/v1/appservice/knockgate/ping Bearer "+token; got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
		f.pingHomeserver(context.Background()) // again, to wait for its end
		if lines := f.log.lines(want); len(lines) == 0 {
			t.Errorf("%d: no line %s in the log:\n%s", status, want, f.log)
		}
	}
}

// TestAppserviceOff: without the key there is no listener, and the command says what
// is missing.
func TestAppserviceOff(t *testing.T) {
	f := newFront(t, http.NotFoundHandler(), allowAll)
	if f.pushes != nil {
		t.Error("there is a listener for pushes")
	}
	var out, errs strings.Builder
	code := runContext(context.Background(), []string{"appservice", "--config", filepath.Join(f.dir, "config.toml")}, &out, &errs)
	if code != exitFailed || out.String() != "" || !strings.Contains(errs.String(), "upstream.appservice") {
		t.Errorf("exit code %d, %q, %q; want 1 and the key that is missing", code, out.String(), errs.String())
	}
}

// TestAppserviceAddressTaken: a start says which key to change, and leaves nothing.
func TestAppserviceAddressTaken(t *testing.T) {
	taken := listen(t)
	defer taken.Close()
	dir := t.TempDir()
	cfg, err := config.Parse(fmt.Sprintf("server_name = \"a.test\"\nstate_dir = %q\n[listen]\nfederation = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://127.0.0.1:1\"\n[upstream.appservice]\nlisten = %q\n%s",
		filepath.Join(dir, "state"), taken.Addr(), allowAll), filepath.Join(dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	log := newLogger(cfg.Log, io.Discard)
	if s, err := openSystem(context.Background(), cfg, nil, time.Now, log); err == nil {
		s.Close()
		t.Error("it started")
	} else if !strings.Contains(err.Error(), "upstream.appservice.listen") {
		t.Errorf("%v; want the key named", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		t.Error("the state folder is there")
	}
}
