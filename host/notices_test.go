package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/appservice"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/store"
)

// told is a digest as a webhook and a homeserver get it.
type told struct {
	path          string
	Text          string           `json:"text"`
	Formatted     string           `json:"formatted_body"`
	Notices       []map[string]any `json:"notices"`
	Authorization string
}

// TestNotices: a server tells its administrator, by a webhook and in a room, what it
// refused, which policies failed, what was not loaded and what is only watched.
// Nothing of what the knocker wrote is in it.
func TestNotices(t *testing.T) {
	got := make(chan told, 10)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := told{path: r.Method + " " + r.URL.Path, Authorization: r.Header.Get("Authorization")}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &d)
		}
		if err != nil || strings.Contains(string(body), "hello there") {
			t.Errorf("%s: %v: %s", d.path, err, body)
		}
		got <- d
	}))
	defer target.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("the-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	trap, err := os.ReadFile(filepath.Join("..", "plugins", "testdata", "trap.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, fmt.Sprintf(`
[policies]
watch = false
default = "allow"
[[list]]
name = "bad"
file = "policies/bad.txt"
[[policy]]
name = "broken"
module = "broken.wasm"
phases = ["send_knock"]
on_error = "pass"
[[policy]]
name = "trial"
module = "door.wasm"
mode = "monitor"
[[policy]]
name = "door"
module = "door.wasm"
phases = ["send_knock"]
[[notices.webhook]]
url = %[1]q
[[notices.room]]
homeserver = %[1]q
room = "!admins:here.example"
token_file = %[2]q
`, target.URL, token), map[string][]byte{"door.wasm": doorShut, "broken.wasm": trap, "bad.txt": []byte("a.example\n")})
	p := w.peer()
	room := w.room("11", "knock")
	for range 3 {
		w.mustKnock(p, w.knock(p, "ada", room), peer.Denied)
	}
	if err := os.Remove(filepath.Join(w.dir, "policies", "bad.txt")); err != nil {
		t.Fatal(err)
	}
	w.lists.Reload()
	if err := os.WriteFile(w.cfg.Path, []byte("server_name = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.reload(t.Context(), "the test")
	w.notices.Flush()
	for range 2 {
		d := <-got
		switch {
		case strings.HasPrefix(d.path, "POST "):
			for _, want := range []string{
				"The policies were not loaded again", "3 faults of the policy broken: trap", "The list bad cannot be read",
				"The policy trial is in monitor mode", "- 3 knocks denied from [hidden] into [hidden] by door",
			} {
				if !strings.Contains(d.Text, want) {
					t.Errorf("the webhook is not told %q:\n%s", want, d.Text)
				}
			}
			last := d.Notices[len(d.Notices)-1]
			if last["origin"] != string(p.Name()) || last["room_id"] != string(room) || last["count"] != 3.0 {
				t.Errorf("the last notice is %v", last)
			}
		case strings.HasPrefix(d.path, "PUT /_matrix/client/v3/rooms/!admins:here.example/send/m.room.message/"):
			if d.Authorization != "Bearer the-token" || !strings.Contains(d.Formatted, "<span data-mx-spoiler>"+string(room)+"</span>") {
				t.Errorf("the room is told, with %q: %s", d.Authorization, d.Formatted)
			}
		default:
			t.Errorf("%s", d.path)
		}
	}
	if strings.Contains(w.log.String(), "the-token") {
		t.Error("the token is in the log")
	}
}

// TestNoticesWithoutToken: a start fails that could not tell anybody.
func TestNoticesWithoutToken(t *testing.T) {
	s := newStarter(t, "[[notices.room]]\nhomeserver = \"https://m.example\"\nroom = \"!r:m.example\"\ntoken_file = \"empty\"\n"+allowAll)
	if err := os.WriteFile(filepath.Join(s.dir, "empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.write("config.toml", []byte(s.text))
	if said, code := s.command("serve"); code != exitFailed || !strings.Contains(said, "notices.room[0].token_file") || !strings.Contains(said, "is not one token on one line") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// TestNoticedUndecided: a knock that came round this server is told once, by the
// server of who knocked; one of the homeserver's own users without.
func TestNoticedUndecided(t *testing.T) {
	got := make(chan told, 10)
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var d told
		if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
			t.Error(err)
		}
		got <- d
	}))
	defer target.Close()
	w := newWorld(t, allowAll+fmt.Sprintf("[[notices.webhook]]\nurl = %q\n", target.URL), nil)
	knock := store.Undecided{Event: "$1", Room: "!r:here.example", User: "@u:there.example:8448", Kind: appservice.OtherServer, At: time.Now(), SeenAt: time.Now()}
	own := knock
	own.Event, own.User, own.Kind = "$2", "@u:here.example", appservice.OwnUser
	noticed := noticedStore{w.store, w.notices}
	for range 2 { // a retry
		if _, err := noticed.TakeTransaction(t.Context(), "1", []store.Undecided{knock, own}); err != nil {
			t.Fatal(err)
		}
	}
	w.notices.Flush()
	d := <-got
	if len(d.Notices) != 2 || d.Notices[0]["class"] != "own_user" || d.Notices[0]["origin"] != nil ||
		d.Notices[1]["class"] != "other_server" || d.Notices[1]["origin"] != "there.example:8448" || d.Notices[1]["count"] != 1.0 {
		t.Errorf("told %v", d.Notices)
	}
}
