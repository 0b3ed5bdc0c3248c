package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
)

// runKey runs "key" with the world's configuration and --json.
func (w *world) runKey(t *testing.T, command string) shownKeys {
	t.Helper()
	var out, errs strings.Builder
	if code := runContext(context.Background(), []string{"key", command, "--json", "--config", w.cfg.Path}, &out, &errs); code != exitOK {
		t.Fatalf("key %s: exit code %d\n%s", command, code, &errs)
	}
	var shown shownKeys
	if err := json.Unmarshal([]byte(out.String()), &shown); err != nil {
		t.Fatalf("key %s: %v\n%s", command, err, &out)
	}
	return shown
}

// TestKeyRotateUnderARunningServer: the server publishes and signs with the new
// key at once, events from before are still checked, and the key before is no
// current one any more.
func TestKeyRotateUnderARunningServer(t *testing.T) {
	w := newWorld(t, strings.Replace(allowAll, "[policies]", "[policies]\nwatch = false", 1), nil)
	p := w.peer()
	room := w.room("11", "knock")
	first := w.runKey(t, "show")
	w.state(room, "m.room.server_acl", "", `{"allow":["*"]}`)
	before := w.acl(t, room)

	second := w.runKey(t, "rotate")
	if first.KeyID == second.KeyID || first.Key == second.Key || second.Old[first.KeyID].Key != first.Key {
		t.Errorf("rotate: %+v after %+v, want another key and the first one as an old one", second, first)
	}
	published, err := serverkey.ParseDocument(w.name, w.getKeys(t, "/_matrix/key/v2/server"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, current := published.Keys[matrix.KeyID(second.KeyID)]; !current || len(published.Keys) != 1 || len(published.Old) != 1 {
		t.Errorf("published %+v, want %s as the one current key and one old one", published, second.KeyID)
	}
	if again := w.runKey(t, "show"); again.KeyID != second.KeyID {
		t.Errorf("show says %s after a rotation to %s", again.KeyID, second.KeyID)
	}

	w.state(room, "m.room.server_acl", "", `{"allow":["*"],"deny":["evil.example"]}`)
	after := w.acl(t, room)
	for _, e := range []struct {
		event *pdu.Event
		want  string
	}{{before, first.KeyID}, {after, second.KeyID}} {
		if got := w.verified(t, e.event); got != matrix.KeyID(e.want) {
			t.Errorf("event signed under %s, want %s", got, e.want)
		}
	}
	w.mustKnock(p, w.knock(p, "ada", room), peer.Allowed)
}

// TestKeyRotateWhileSigning: no event is signed under a key that had expired at
// the event's own time, however the two fall together.
func TestKeyRotateWhileSigning(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	room := w.room("11", "knock")
	const rotations = 20
	over := make(chan struct{})
	go func() {
		defer close(over)
		for range rotations {
			if _, err := serverkey.Rotate(w.cfg.StateDir, time.Now); err != nil {
				t.Error(err)
			}
		}
	}()
	var events []*pdu.Event
	for i, rotating := 0, true; rotating; i++ {
		select {
		case <-over:
			rotating = false
		default:
		}
		w.state(room, "m.room.server_acl", "", `{"allow":["*"],"deny":["`+strings.Repeat("x", i%200)+`.example"]}`)
		events = append(events, w.acl(t, room))
	}
	used := map[matrix.KeyID]bool{}
	for _, e := range events {
		used[w.verified(t, e)] = true
	}
	if len(events) < rotations || len(used) < 3 {
		t.Errorf("%d events under %d keys; this test says nothing", len(events), len(used))
	}
	t.Logf("%d events under %d of %d keys", len(events), len(used), rotations+1)
}

func (w *world) acl(t *testing.T, room matrix.RoomID) *pdu.Event {
	t.Helper()
	r, err := w.rooms.Room(context.Background(), room)
	if err != nil || r.ACL == nil {
		t.Fatalf("room %s: %v", room, err)
	}
	return r.ACL
}

// verified checks our own signature on an event as another server would: under
// a key that was good at the event's time. It returns the key's ID.
func (w *world) verified(t *testing.T, e *pdu.Event) matrix.KeyID {
	t.Helper()
	for id, sig := range e.Signatures(w.name) {
		key, err := w.ring.EventKey(context.Background(), w.name, id, e.OriginServerTS())
		if err != nil || !serverkey.Verify(key, e.SigningBytes(), sig) {
			t.Errorf("event of %d under %s: %v, want that it verifies", e.OriginServerTS(), id, err)
		}
		return id
	}
	t.Errorf("event %s is not signed by us", e.ID())
	return ""
}

// getKeys returns the body of a 200.
func (w *world) getKeys(t *testing.T, target string) []byte {
	t.Helper()
	status, body, err := w.client.Get(context.Background(), w.name, target, 64<<10)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s, %v", target, status, body, err)
	}
	return body
}

// TestKeyShow: as text; nothing secret; and it makes no state folder.
func TestKeyShow(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	rotated := w.runKey(t, "rotate")
	private, err := os.ReadFile(filepath.Join(w.cfg.StateDir, serverkey.SigningKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if code := runContext(context.Background(), []string{"key", "show", "--config", w.cfg.Path}, &out, &out); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{string(w.name), rotated.KeyID, rotated.Key, "signs now", "until 20", `"old_verify_keys":{"ed25519:`, filepath.Join(w.cfg.StateDir, "signing.key")} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("key show does not say %q:\n%s", want, &out)
		}
	}
	if seed := strings.Fields(string(private))[2]; strings.Contains(out.String(), seed) {
		t.Error("key show prints the private key")
	}

	dir := t.TempDir()
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte("server_name = \"a.example\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"show", "rotate"} {
		out.Reset()
		if code := runContext(context.Background(), []string{"key", command, "--config", path}, &out, &out); code != exitFailed || !strings.Contains(out.String(), "serve") {
			t.Errorf("key %s without a key: exit code %d, want %d and what to do:\n%s", command, code, exitFailed, &out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		t.Error("a state folder was made")
	}
}

// TestKeyEndpoints: what anyone may ask of our keys, and of the program.
func TestKeyEndpoints(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	own := string(w.name)
	const query = "/_matrix/key/v2/query"
	ask := func(servers string) string { return `{"server_keys":{` + servers + `}}` }
	tests := []struct {
		name, method, target, body string
		status                     int
		want                       string // errcode; "key", "one", "none" or "version" of a 200
	}{
		{"keys", "GET", "/_matrix/key/v2/server", "", 200, "key"},
		{"keys, deprecated", "GET", "/_matrix/key/v2/server/ed25519:none", "", 200, "key"},
		{"keys, deprecated, any", "GET", "/_matrix/key/v2/server/", "", 200, "key"},
		{"ours", "GET", query + "/" + own, "", 200, "one"},
		{"ours, escaped", "GET", query + "/" + strings.ReplaceAll(own, ":", "%3A"), "", 200, "one"},
		{"ours, with a time", "GET", query + "/" + own + "?minimum_valid_until_ts=4102444800000", "", 200, "one"},
		{"ours, deprecated", "GET", query + "/" + own + "/ed25519:none", "", 200, "one"},
		{"another's", "GET", query + "/other.example", "", 200, "none"},
		{"no server", "GET", query + "/a%20b", "", 400, "M_INVALID_PARAM"},
		{"not UTF-8", "GET", query + "/%ff", "", 400, "M_INVALID_PARAM"},
		{"no time", "GET", query + "/" + own + "?minimum_valid_until_ts=soon", "", 400, "M_INVALID_PARAM"},
		{"query: all of ours", "POST", query, ask(`"` + own + `":{}`), 200, "one"},
		{"query: one of ours", "POST", query, ask(`"` + own + `":{"ed25519:x":{"minimum_valid_until_ts":1}}`), 200, "one"},
		{"query: ours among others", "POST", query, ask(`"a.example":{},"` + own + `":{"ed25519:x":{}}`), 200, "one"},
		{"query: others", "POST", query, ask(`"a.example":{}`), 200, "none"},
		{"query: nobody", "POST", query, ask(``), 200, "none"},
		{"query: no servers", "POST", query, `{}`, 400, "M_MISSING_PARAM"},
		{"query: servers as a list", "POST", query, `{"server_keys":["` + own + `"]}`, 400, "M_BAD_JSON"},
		{"query: keys as a list", "POST", query, ask(`"` + own + `":["ed25519:x"]`), 400, "M_BAD_JSON"},
		{"query: criteria no object", "POST", query, ask(`"` + own + `":{"ed25519:x":1}`), 400, "M_BAD_JSON"},
		{"query: time a string", "POST", query, ask(`"` + own + `":{"ed25519:x":{"minimum_valid_until_ts":"1"}}`), 400, "M_BAD_JSON"},
		{"query: array", "POST", query, `[]`, 400, "M_BAD_JSON"},
		{"query: not JSON", "POST", query, `server_keys`, 400, "M_NOT_JSON"},
		{"query: nothing", "POST", query, ``, 400, "M_NOT_JSON"},
		{"query: large", "POST", query, ask(`"`+own+`":{}`) + strings.Repeat(" ", 128<<10), 413, "M_TOO_LARGE"},
		{"version", "GET", "/_matrix/federation/v1/version", "", 200, "version"},

		{"keys: wrong method", "POST", "/_matrix/key/v2/server", `{}`, 405, "M_UNRECOGNIZED"},
		{"query: wrong method", "GET", query, "", 405, "M_UNRECOGNIZED"},
		{"query of one: wrong method", "PUT", query + "/" + own, `{}`, 405, "M_UNRECOGNIZED"},
		{"version: wrong method", "DELETE", "/_matrix/federation/v1/version", "", 405, "M_UNRECOGNIZED"},
		{"keys of version 1", "GET", "/_matrix/key/v1", "", 404, "M_UNRECOGNIZED"},
		{"the root", "GET", "/", "", 404, "M_UNRECOGNIZED"},
		{"a client endpoint", "GET", "/_matrix/client/versions", "", 404, "M_UNRECOGNIZED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var body []byte
			if tt.method == "POST" || tt.method == "PUT" {
				body = []byte(tt.body)
			}
			x := w.send(t, p, tt.method, tt.target, body, "")
			if x.Status != tt.status || x.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("%d %q %s, want %d of JSON", x.Status, x.Header.Get("Content-Type"), x.Body, tt.status)
			}
			if tt.status != 200 {
				if code, message := x.Errcode(); code != tt.want || message == "" {
					t.Errorf("%s %q, want %s and a sentence", code, message, tt.want)
				}
				return
			}
			var answer struct {
				ServerKeys []json.RawMessage `json:"server_keys"`
				Server     struct{ Name string }
			}
			if err := json.Unmarshal(x.Body, &answer); err != nil {
				t.Fatal(err)
			}
			switch documents := answer.ServerKeys; tt.want {
			case "version":
				if answer.Server.Name != "Knockgate" {
					t.Errorf("%s, want the name of the program", x.Body)
				}
			case "none":
				if documents == nil || len(documents) != 0 {
					t.Errorf("%s, want an empty list", x.Body)
				}
			case "key":
				documents = []json.RawMessage{x.Body}
				fallthrough
			case "one":
				if len(documents) != 1 {
					t.Fatalf("%d documents, want 1: %s", len(documents), x.Body)
				}
				if _, err := serverkey.ParseDocument(w.name, documents[0], time.Now()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
