package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/certificate"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/peer"
)

const adminAPI = adminAnywhere + "token_file = \"state/admin.token\"\n"

// api asks the admin API of a running server, and returns the status and the body.
func (w *world) api(method, path, contentType string, body []byte) (int, []byte) {
	w.t.Helper()
	token, err := os.ReadFile(filepath.Join(w.cfg.StateDir, "admin.token"))
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.adminListener.Addr().String()+"/admin/v1"+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	r.Header.Set("Content-Disposition", `attachment; filename="../../evil.wasm"`)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer.StatusCode, text
}

// ask asks for JSON with a body of JSON, nil for none, and fails the test unless the
// answer is 200.
func ask[T any](w *world, method, path string, in any) (out T) {
	w.t.Helper()
	var body []byte
	contentType := ""
	if in != nil {
		body, contentType = mustJSON(w.t, in), "application/json"
	}
	status, text := w.api(method, path, contentType, body)
	if status != http.StatusOK {
		w.t.Fatalf("%s %s %s: %d %s, want 200", method, path, body, status, text)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		w.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	if name := reflect.TypeFor[T]().Name(); name != "" {
		w.fits("#/components/schemas/"+name, text)
	}
	return out
}

// fits holds a text against a schema of the API's document.
func (w *world) fits(pointer string, text []byte) {
	w.t.Helper()
	_, document := w.api("GET", "/openapi.json", "", nil)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		w.t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	const at = "https://api.example/openapi.json"
	if err := c.AddResource(at, doc); err != nil {
		w.t.Fatal(err)
	}
	schema, err := c.Compile(at + pointer)
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		w.t.Errorf("%.300s does not fit openapi.json: %v", text, err)
	}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// upload stages a module.
func (w *world) upload(module []byte) (m admin.Module) {
	w.t.Helper()
	status, text := w.api("POST", "/modules", "application/wasm", module)
	if err := json.Unmarshal(text, &m); err != nil || status != http.StatusOK {
		w.t.Fatalf("upload: %d %s", status, text)
	}
	return m
}

// events listens to new decisions. next waits for a line that begins so.
func (w *world) events() (next func(prefix string) string) {
	w.t.Helper()
	token, err := os.ReadFile(w.cfg.Admin.TokenFile)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.adminListener.Addr().String()+"/admin/v1/decisions/events", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		w.t.Fatalf("events: %v, %+v", err, answer)
	}
	w.t.Cleanup(func() { answer.Body.Close() })
	lines := bufio.NewReader(answer.Body)
	return func(prefix string) string {
		w.t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				w.t.Fatalf("waiting for %q: %v", prefix, err)
			}
			if strings.HasPrefix(line, prefix) {
				return line
			}
		}
	}
}

func (w *world) apply(c admin.Change) string {
	w.t.Helper()
	c.Revision = w.gate.Revision()
	got := ask[map[string]string](w, "POST", "/changes", c)["revision"]
	if got != w.gate.Revision() || got == c.Revision {
		w.t.Fatalf("%s: revision %.12s, in force is %.12s, was %.12s", c, got, w.gate.Revision(), c.Revision)
	}
	return got
}

// TestControl walks as an admin does: upload, watch, replay, enforce, look, roll back.
func TestControl(t *testing.T) {
	w := newWorld(t, adminAPI+doorPolicy, map[string][]byte{"door.wasm": doorOpen})
	p := w.peer()
	room := w.room("11", "knock")
	knock := func(user string, want peer.Outcome) {
		t.Helper()
		w.mustKnock(p, w.knock(p, user, room), want)
		if err := w.store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	knock("ada", peer.Allowed)
	first := w.gate.Revision()

	m := w.upload(doorShut)
	if list := ask[[]admin.Module](w, "GET", "/modules", nil); len(list) != 1 || list[0].Digest != m.Digest || m.Size != int64(len(doorShut)) {
		t.Errorf("staged are %+v, want %.12s", list, m.Digest)
	}
	names, err := os.ReadDir(filepath.Join(w.cfg.StateDir, "staged"))
	if err != nil || len(names) != 1 || names[0].Name() != m.Digest+".wasm" {
		t.Errorf("the folder of staged modules has %v, %v; want one file named by its digest", names, err)
	}
	w.apply(admin.Change{Do: "add", Policy: "shut", Module: m.Digest, Before: "door"})
	knock("bob", peer.Allowed)
	waitFor(t, "what the policy in monitor mode would have said", func() bool {
		list := ask[[]admin.Decision](w, "GET", "/decisions?monitor=true&policy=shut", nil)
		return len(list) > 0 && list[0].Verdict == "deny" && list[0].Mode == "monitor"
	})
	s := ask[admin.Status](w, "GET", "/status", nil)
	if s.Held != "change" || s.Configured != first || s.Previous != first || len(s.Policies) != 2 || s.Policies[0].Mode != "monitor" || s.Policies[0].Verdicts["deny"] == 0 {
		t.Errorf("status after a policy was added: %+v", s)
	}

	enforce := admin.Change{Do: "mode", Policy: "shut", Mode: "enforce", Revision: w.gate.Revision()}
	status, text := w.api("POST", "/replay", "application/json", mustJSON(t, map[string]any{"change": enforce, "since": time.Time{}}))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var last struct{ Result *admin.Rejudged }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || status != 200 || last.Result == nil {
		t.Fatalf("replay: %d %s", status, text)
	}
	if r := last.Result; r.Decisions < 3 || r.Verdicts["allow -> deny"] != r.Decisions || int64(len(r.Changes)) != r.Decisions {
		t.Errorf("replay: %+v, want all to come out as a denial", r)
	}
	shut := w.apply(enforce)
	live := w.events()
	knock("eve", peer.Denied)
	if line := live("data: "); !strings.Contains(line, `"verdict":"deny"`) || !strings.Contains(line, string(p.User("eve"))) {
		t.Errorf("who listens is told %s", line)
	}
	list := ask[[]admin.Decision](w, "GET", "/decisions?verdict=deny&limit=1&phase=make_knock", nil)
	if len(list) != 1 || list[0].Policy != "shut" || list[0].Revision != shut {
		t.Fatalf("the denial is not listed: %+v", list)
	}
	d := ask[admin.Decision](w, "GET", "/decisions/"+list[0].RequestID, nil)
	if len(d.Steps) != 1 || d.Steps[0].Verdict != "deny" || !strings.Contains(string(d.Facts), string(p.User("eve"))) {
		t.Errorf("the denial as a whole: %+v", d)
	}
	if o := ask[admin.Overview](w, "GET", "/overview?since=1h&step=1m", nil); len(o.Refused) != 1 || o.Refused[0].Origin != string(p.Name()) {
		t.Errorf("the overview has %+v as refused, want %s", o.Refused, p.Name())
	}
	judged := ask[admin.Judged](w, "POST", "/judge", map[string]any{"facts": d.Facts, "change": admin.Change{Do: "remove", Policy: "shut", Revision: shut}})
	if judged.Verdict != "allow" || judged.Policy != "" || len(judged.Steps) != 1 || judged.Steps[0].Policy != "door" {
		t.Errorf("judged without the policy: %+v, want allow by the default, after door", judged)
	}
	if status, text := w.api("POST", "/judge", "application/json", []byte(`{"facts":{"phase":"make_knock","user":"@a:b"}}`)); status != 400 || !strings.Contains(string(text), "user") {
		t.Errorf("facts with a key that is none: %d %s, want 400", status, text)
	}

	t.Run("refused", func(t *testing.T) { w.refusedChanges(t, m.Digest) })
	t.Run("one of two", func(t *testing.T) { w.oneOfTwo(t) })
	w.apply(admin.Change{Do: "rollback"})
	if w.gate.Revision() != shut {
		t.Errorf("rolled back to %.12s, want %.12s", w.gate.Revision(), shut)
	}
	w.apply(admin.Change{Do: "configured"})
	if s := ask[admin.Status](w, "GET", "/status", nil); s.Held != "" || s.Revision != first {
		t.Errorf("back to the configuration: held %q, %.12s; want %.12s", s.Held, s.Revision, first)
	}
	knock("bea", peer.Allowed)
	t.Run("knocks", func(t *testing.T) { w.declined(t, string(p.User("bea"))) })
	t.Run("reload", func(t *testing.T) { w.reloadedByAPI(t) })
	entries := ask[[]admin.Entry](w, "GET", "/audit", nil)
	if !slices.ContainsFunc(entries, func(e admin.Entry) bool { return e.To == shut && e.Outcome == "done" && e.Who != "" }) || len(w.log.lines("admin change", shut)) == 0 {
		t.Errorf("the audit does not have %.12s: %+v", shut, entries)
	}
	token, _ := os.ReadFile(w.cfg.Admin.TokenFile)
	if strings.Contains(w.log.String(), strings.TrimSpace(string(token))) {
		t.Error("the token stands in the log")
	}
}

// refusedChanges: what is refused changes nothing.
func (w *world) refusedChanges(t *testing.T, digest string) {
	is := w.gate.Revision()
	for _, tt := range []struct {
		name   string
		change admin.Change
		status int
		want   string
	}{
		{"a revision before", admin.Change{Do: "remove", Policy: "shut", Revision: strings.Repeat("0", 64)}, 409, "is in force"},
		{"no revision", admin.Change{Do: "remove", Policy: "shut"}, 400, "revision"},
		{"nothing to do", admin.Change{Revision: is}, 400, "do is"},
		{"a policy that is not there", admin.Change{Do: "remove", Policy: "none", Revision: is}, 404, "none"},
		{"a name twice", admin.Change{Do: "add", Policy: "shut", Module: digest, Revision: is}, 409, "shut"},
		{"a path as the module", admin.Change{Do: "add", Policy: "x", Module: "../../policies/door", Revision: is}, 400, "64 hex digits"},
		{"a module that is not there", admin.Change{Do: "add", Policy: "x", Module: strings.Repeat("0", 64), Revision: is}, 404, "upload"},
		{"a mode that is none", admin.Change{Do: "mode", Policy: "shut", Mode: "off", Revision: is}, 400, "monitor or enforce"},
		{"the mode that it has", admin.Change{Do: "mode", Policy: "shut", Mode: "enforce", Revision: is}, 400, "so already"},
		{"settings that it does not take", admin.Change{Do: "replace", Policy: "shut", Settings: []byte(`{"a":1}`), Revision: is}, 400, "settings"},
		{"a grant that is none", admin.Change{Do: "replace", Policy: "shut", Grants: []string{"root"}, Revision: is}, 400, "root"},
		{"a phase that is none", admin.Change{Do: "replace", Policy: "shut", Phases: []string{"x"}, Revision: is}, 400, "phase"},
	} {
		status, text := w.api("POST", "/changes", "application/json", mustJSON(t, tt.change))
		if status != tt.status || !strings.Contains(string(text), tt.want) || w.gate.Revision() != is {
			t.Errorf("%s: %d %s, want %d with %q", tt.name, status, text, tt.status, tt.want)
		}
	}
	if status, text := w.api("POST", "/modules", "application/wasm", []byte("no module")); status != 400 || !strings.Contains(string(text), "scan") {
		t.Errorf("an upload that is no module: %d %s, want 400", status, text)
	}
}

// oneOfTwo: of changes thought out for the same revision one is made.
func (w *world) oneOfTwo(t *testing.T) {
	was := w.gate.Revision()
	changes := []admin.Change{
		{Do: "mode", Policy: "shut", Mode: "monitor", Revision: was}, {Do: "remove", Policy: "shut", Revision: was},
		{Do: "mode", Policy: "door", Mode: "monitor", Revision: was}, {Do: "remove", Policy: "door", Revision: was},
	}
	status := make([]int, len(changes))
	var wg sync.WaitGroup
	for i, c := range changes {
		wg.Go(func() { status[i], _ = w.api("POST", "/changes", "application/json", mustJSON(t, c)) })
	}
	wg.Wait()
	slices.Sort(status)
	if !slices.Equal(status, []int{200, 409, 409, 409}) {
		t.Errorf("changes of one revision at the same time: %v, want one 200 and 409 for the others", status)
	}
}

// declined: who waits is listed, and can be declined once.
func (w *world) declined(t *testing.T, user string) {
	waits := func(p admin.Pending) bool { return p.User == user && p.Reason == "hello there" }
	list := ask[[]admin.Pending](w, "GET", "/knocks", nil)
	at := slices.IndexFunc(list, waits)
	if at < 0 {
		t.Fatalf("%s does not wait: %+v", user, list)
	}
	if rooms := ask[[]admin.Room](w, "GET", "/rooms", nil); !slices.ContainsFunc(rooms, func(r admin.Room) bool { return r.ID == list[at].Room }) {
		t.Errorf("the rooms %+v do not have %s", rooms, list[at].Room)
	}
	decline := mustJSON(t, map[string]string{"room_id": list[at].Room, "user_id": user, "reason": "not today"})
	for _, want := range []int{200, 409} {
		if status, text := w.api("POST", "/knocks/decline", "application/json", decline); status != want {
			t.Errorf("decline: %d %s, want %d", status, text, want)
		}
	}
	list = ask[[]admin.Pending](w, "GET", "/knocks?room="+url.QueryEscape(list[at].Room), nil)
	if slices.ContainsFunc(list, waits) {
		t.Errorf("%s waits still", user)
	}
}

// reloadedByAPI: a reload says how it ended, also to the command.
func (w *world) reloadedByAPI(t *testing.T) {
	if got := ask[map[string]string](w, "POST", "/reload", nil)["text"]; !strings.Contains(got, "1 policies") {
		t.Errorf("reload: %q", got)
	}
	text, err := os.ReadFile(w.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(w.cfg.Path, []byte(string(text)+"[polices]\n")); err != nil {
		t.Fatal(err)
	}
	if status, text := w.api("POST", "/reload", "", nil); status != 400 || !strings.Contains(string(text), "polices") {
		t.Errorf("reload of a faulty configuration: %d %s, want 400", status, text)
	}
	if s := ask[admin.Status](w, "GET", "/status", nil); s.LastReload == nil || s.LastReload.OK || !strings.Contains(s.LastReload.Text, "polices") {
		t.Errorf("the last reload is %+v", s.LastReload)
	}
	if err := replaceFile(w.cfg.Path, text); err != nil {
		t.Fatal(err)
	}
}

// TestReloadCommand: the command prints how the reload ended, also of a configuration
// with a fault, and where nobody answers it says what else there is.
func TestReloadCommand(t *testing.T) {
	w := newWorld(t, adminAPI+doorPolicy, map[string][]byte{"door.wasm": doorOpen})
	reload := func() (string, int) {
		var out strings.Builder
		code := runContext(t.Context(), []string{"reload", "--config", w.cfg.Path}, &out, &out)
		return out.String(), code
	}
	text, err := os.ReadFile(w.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	const anywhere = `"127.0.0.1:0"`
	text = []byte(strings.Replace(string(text), anywhere, fmt.Sprintf("%q", w.adminListener.Addr()), 1))
	if err := replaceFile(w.cfg.Path, text); err != nil {
		t.Fatal(err)
	}
	if out, code := reload(); code != exitOK || !strings.Contains(out, "1 policies, revision "+w.gate.Revision()[:12]) {
		t.Errorf("reload: %d %s", code, out)
	}
	if err := replaceFile(w.cfg.Path, []byte(string(text)+"[polices]\n")); err != nil {
		t.Fatal(err)
	}
	if out, code := reload(); code != exitFailed || !strings.Contains(out, "polices: unknown key") {
		t.Errorf("reload of a faulty configuration: %d %s", code, out)
	}
	other := strings.Replace(string(text), w.adminListener.Addr().String(), "127.0.0.1:1", 1)
	if err := replaceFile(w.cfg.Path, []byte(other)); err != nil {
		t.Fatal(err)
	}
	if out, code := reload(); code != exitFailed || !strings.Contains(out, "no server answers") || !strings.Contains(out, "SIGHUP") {
		t.Errorf("reload where nobody answers: %d %s", code, out)
	}
	if err := replaceFile(w.cfg.Path, []byte(strings.Replace(string(text), "token_file = \"state/admin.token\"\n", "", 1))); err != nil {
		t.Fatal(err)
	}
	if out, code := reload(); code != exitFailed || !strings.Contains(out, "token_file of [admin] is missing") {
		t.Errorf("reload without an API: %d %s", code, out)
	}
}

// TestHeldChange: a change holds over a start, until a configured policy changes, and
// "policy status" says so.
func TestHeldChange(t *testing.T) {
	s := newStarter(t, doorPolicy)
	s.write("policies/door.wasm", doorOpen)
	first := s.mustStart("")
	held := s.change(func(c *control) string {
		m, err := c.Stage(t.Context(), doorShut, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Apply(t.Context(), admin.Change{Do: "add", Revision: first, Policy: "shut", Module: m.Digest, Mode: "enforce"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	})
	s.mustStart(held)
	if out, code := s.command("policy", "status"); code != exitOK || !strings.Contains(out, "held by a change through the admin API") {
		t.Errorf("policy status: %d\n%s", code, out)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "state", "staged")); err != nil {
		t.Fatal(err)
	}
	s.mustStart(held) // it is kept with its modules
	s.write("policies/door.wasm", door(t, 7))
	if r := s.mustStart(""); r == held || r == first {
		t.Errorf("after a change of the module: %.12s, want a new one", r)
	}
}

// change opens the server for a change.
func (s *starter) change(do func(*control) string) string {
	s.t.Helper()
	cfg, err := config.Load(filepath.Join(s.dir, "config.toml"))
	if err != nil {
		s.t.Fatal(err)
	}
	sys, err := openSystem(context.Background(), cfg, nil, time.Now, slog.New(slog.NewTextHandler(s.log, nil)))
	if err != nil {
		s.t.Fatal(err)
	}
	revision := do(newControl(sys, admin.NewReadiness(nil, time.Now)))
	var said strings.Builder
	sys.describe(&said, "knockgate")
	if !strings.Contains(said.String(), revision+", held by a change") {
		s.t.Errorf("serve does not say that a change holds %s:\n%s", revision, &said)
	}
	if err := sys.Close(); err != nil {
		s.t.Error(err)
	}
	return revision
}

// TestStaged: what is staged is bounded, the oldest go, and signers are held to.
func TestStaged(t *testing.T) {
	dir := t.TempDir()
	s := newStaged(dir)
	var digests []string
	for i := range maxStaged + 3 {
		m, err := s.add(door(t, i), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(1_700_000_000+int64(i), 0) // a file system may have no finer times
		if err := os.Chtimes(s.file(m.Digest), at, at); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, m.Digest)
	}
	m, err := s.add(door(t, 99), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := newStaged(dir).list()
	if err != nil || len(list) != maxStaged || list[0].Digest != m.Digest || list[len(list)-1].Digest != digests[len(digests)-maxStaged+1] {
		t.Errorf("%d staged, %v; want the newest %d", len(list), err, maxStaged)
	}
	if err := os.WriteFile(s.file(m.Digest), doorOpen, 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := newStaged(dir).list(); err != nil || len(list) != maxStaged-1 {
		t.Errorf("%d staged, %v; want %d without the one that was replaced", len(list), err, maxStaged-1)
	}
	if _, err := s.add(doorOpen, []byte("no signature"), nil); err == nil {
		t.Error("what is no signature was taken for one")
	}
}

// TestSignedUploads: where the configuration names signers, an upload needs a signature
// of one of them, and what is staged is looked at again when it is put in force.
func TestSignedUploads(t *testing.T) {
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newStarter(t, signedDoor(public))
	s.write("policies/door.wasm", doorOpen)
	s.write("policies/door.wasm.minisig", minisign.Sign(private, doorOpen))
	first := s.mustStart("")
	s.change(func(c *control) string {
		for name, signature := range map[string][]byte{
			"is missing": nil, "not among the signers": minisign.Sign(stranger, doorShut), "has changed since": minisign.Sign(private, doorOpen), "no minisign": []byte("x"),
		} {
			if _, err := c.Stage(t.Context(), doorShut, signature); !errors.Is(err, admin.ErrInvalid) || !strings.Contains(err.Error(), name) {
				t.Errorf("an upload whose signature %s: %v", name, err)
			}
		}
		m, err := c.Stage(t.Context(), doorShut, minisign.Sign(private, doorShut))
		if err != nil {
			t.Fatal(err)
		}
		add := admin.Change{Do: "add", Revision: first, Policy: "shut", Module: m.Digest}
		signature := c.staged.file(m.Digest) + signatureSuffix
		if err := os.WriteFile(signature, minisign.Sign(stranger, doorShut), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Apply(t.Context(), add); !errors.Is(err, admin.ErrInvalid) || c.gate.Revision() != first {
			t.Errorf("a signature that was replaced: %v", err)
		}
		if err := os.WriteFile(signature, minisign.Sign(private, doorShut), 0o600); err != nil {
			t.Fatal(err)
		}

		// What cannot be kept is not put in force.
		active, err := os.ReadFile(c.revisions.ActiveFile())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.revisions.ActiveFile(), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Apply(t.Context(), add); err == nil || !strings.Contains(err.Error(), "active.json") || c.gate.Revision() != first {
			t.Errorf("a change that cannot be kept: %v, revision %.12s, want %.12s", err, c.gate.Revision(), first)
		}
		if err := os.WriteFile(c.revisions.ActiveFile(), active, 0o600); err != nil {
			t.Fatal(err)
		}
		revision, err := c.Apply(t.Context(), add)
		if err != nil {
			t.Fatal(err)
		}
		return revision
	})
}

// TestAdminForOthers: on an address that others may reach there is TLS, and /metrics
// needs the token.
func TestAdminForOthers(t *testing.T) {
	dir := t.TempDir()
	certPEM, keyPEM, err := certificate.SelfSigned("127.0.0.1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"c.pem": certPEM, "k.pem": keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, fmt.Sprintf("[admin]\nlisten = \"0.0.0.0:0\"\ntoken_file = \"state/admin.token\"\ntls_certificate = %q\ntls_key = %q\n",
		filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"))+allowAll, nil)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	_, port, _ := net.SplitHostPort(w.adminListener.Addr().String())
	for path, want := range map[string]int{"/health": 200, "/readyz": 200, "/metrics": 401, "/admin/v1/status": 401} {
		answer, err := (&http.Client{Transport: transport}).Get("https://127.0.0.1:" + port + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, answer.StatusCode, want)
		}
	}
}

// TestBadToken: a start whose token_file is no token says so, and leaves the file.
func TestBadToken(t *testing.T) {
	s := newStarter(t, adminAnywhere+"token_file = \"token\"\n"+allowAll)
	s.write("token", []byte("too short"))
	if _, _, err := s.start(); err == nil || !strings.Contains(err.Error(), "admin.token_file") || !strings.Contains(err.Error(), "9 bytes") {
		t.Errorf("start: %v, want admin.token_file and why", err)
	}
	if text, err := os.ReadFile(filepath.Join(s.dir, "token")); err != nil || string(text) != "too short" {
		t.Errorf("the file is %q, %v", text, err)
	}
}
