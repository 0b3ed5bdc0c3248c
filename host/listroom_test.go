package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/peer"
)

// TestAsksListSource: the module is what its source makes.
func TestAsksListSource(t *testing.T) {
	wat2wasm, err := exec.LookPath("wat2wasm")
	if err != nil {
		t.Skip("wat2wasm is not installed (Debian: apt-get install wabt)")
	}
	built := filepath.Join(t.TempDir(), "asks_list.wasm")
	if out, err := exec.Command(wat2wasm, "testdata/asks_list.wat", "-o", built).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, err := os.ReadFile("testdata/asks_list.wasm")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(built); err != nil || !bytes.Equal(got, want) {
		t.Errorf("asks_list.wasm is not what asks_list.wat makes (%v)", err)
	}
}

// TestListRoom: a policy that asks the list of a policy room denies whom a new rule
// there bans, once the homeserver has pushed it, and lets them knock again when it is
// withdrawn.
func TestListRoom(t *testing.T) {
	const rules = "!rules:lists.example"
	ln := listen(t)
	homeserver := newHomeserver(t, ln.Addr().String())
	var content atomic.Pointer[string]
	content.Store(new("{}"))
	mux := http.NewServeMux()
	mux.Handle("/", homeserver.server.Handler)
	mux.HandleFunc("GET /_matrix/client/v1/room_summary/{room}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("room") != rules { // nothing is told of the others
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"errcode":"M_NOT_FOUND"}`)
			return
		}
		fmt.Fprintf(w, `{"room_id":%q,"num_joined_members":2,"membership":"join"}`, r.PathValue("room"))
	})
	mux.HandleFunc("GET /_matrix/client/v3/rooms/{room}/state", func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer syt_bot" || r.PathValue("room") != rules {
			t.Errorf("the state of %q is asked for with %q", r.PathValue("room"), got)
		}
		fmt.Fprintf(w, `[{"type":"m.room.create","state_key":"","content":{}},{"type":"m.policy.rule.user","state_key":"1","content":%s}]`, *content.Load())
	})
	f := &front{homeserver: homeserver, wiretap: newWiretap(t, mux)}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("syt_bot\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	module, err := filepath.Abs("testdata/asks_list.wasm")
	if err != nil {
		t.Fatal(err)
	}
	f.world = startFront(t, ln, f.url, fmt.Sprintf("[upstream.bot]\ntoken_file = %q\n", token)+pushedConfig+fmt.Sprintf(`
[[list]]
name = "bad"
room = %q
[policies]
default = "allow"
[[policy]]
name = "lists"
module = %q
grants = ["lists"]
`, rules, module))
	p := f.peer()
	room := homeserver.room("11", "knock")
	f.mustKnock(p, f.knock(p, "ada", room), peer.Allowed)

	// change sets the rule's content, has it pushed, and waits until the list has so
	// many entries.
	change := func(to string, entries int) {
		t.Helper()
		content.Store(&to)
		if status := f.push(fmt.Sprintf(`{"type":"m.policy.rule.user","room_id":%q,"sender":"@mod:lists.example","state_key":"1","event_id":"$r","origin_server_ts":1,"content":%s}`, rules, to)); status != http.StatusOK {
			t.Fatalf("pushed: %d", status)
		}
		for f.lists.Status()[0].Entries != entries {
			select {
			case <-t.Context().Done():
				t.Fatal("the list is not fetched")
			case <-time.After(time.Millisecond):
			}
		}
	}
	change(fmt.Sprintf(`{"entity":%q,"recommendation":"m.ban","reason":"spam"}`, p.User("bob")), 1)
	f.mustKnock(p, f.knock(p, "bob", room), peer.Denied)
	f.mustKnock(p, f.knock(p, "carol", room), peer.Allowed)
	change("{}", 0)
	f.mustKnock(p, f.knock(p, "bob", room), peer.Allowed)

	text, err := os.ReadFile(filepath.Join(listDir(f.cfg), "bad.txt"))
	if err != nil || !strings.HasPrefix(string(text), "# from "+rules+" \n") {
		t.Errorf("the copy: %q, %v", text, err)
	}
}
