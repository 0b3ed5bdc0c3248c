package notices

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "very-secret-token"

func token() (string, error) { return secret, nil }

// asked is a request to a target.
type asked struct {
	method, path, authorization string
	body                        []byte
}

// receiver is a target's server, which hands each request over before it answers.
type receiver struct {
	*httptest.Server
	got chan asked
}

// receive starts a target's server. answer may be nil.
func receive(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{got: make(chan asked, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Errorf("a request's body: %v", err)
		}
		r.got <- asked{req.Method, req.URL.EscapedPath(), req.Header.Get("Authorization"), body}
		if answer != nil {
			answer(w, req)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) url(t *testing.T, path string) *url.URL {
	t.Helper()
	u, err := url.Parse(r.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// results counts what becomes of digests, and hands each result over.
type results struct{ c chan string }

func (r results) Notice(target, result string) { r.c <- target + " " + result }

// running are notices that run.
type running struct {
	*Notices
	t       *testing.T
	tick    chan time.Time
	clock   time.Time // moved by due only
	log     *bytes.Buffer
	results chan string
	stop    func()
}

var begin = time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC)

func start(t *testing.T, what []Kind, poll func(func(Item, int64)), targets ...Target) *running {
	t.Helper()
	r := &running{t: t, tick: make(chan time.Time), clock: begin, log: &bytes.Buffer{}, results: make(chan string, 1000)}
	r.Notices = New(Options{
		Server: "here.example", What: what, Targets: targets, Now: func() time.Time { return r.clock }, Poll: poll,
		Log: slog.New(slog.NewTextHandler(r.log, nil)), Observer: results{r.results},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx, r.tick) }()
	r.stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(r.stop)
	return r
}

// due makes it five minutes later, when the next digest is due: it does what Run does
// at a tick.
func (r *running) due() {
	r.clock = r.clock.Add(5 * time.Minute)
	r.Flush()
}

// result fails the test unless the next result is want.
func (r *running) result(want string) {
	r.t.Helper()
	if got := <-r.results; got != want {
		r.t.Errorf("result %q, want %q", got, want)
	}
}

var spam = Item{Kind: Denied, Class: "deny", Policy: "servers", Origin: "evil.example", Room: "!r:here.example"}

// TestWebhook: what happened is counted in groups, and posted once.
func TestWebhook(t *testing.T) {
	hook := receive(t, nil)
	polled := int64(0)
	poll := func(note func(Item, int64)) { note(Item{Kind: Dropped}, polled) }
	r := start(t, Kinds, poll, &Webhook{URL: hook.url(t, "/hook?key=x"), Token: token})
	r.due() // nothing to tell, and nothing is sent
	for range 12 {
		r.Note(spam)
	}
	incompatible := spam
	incompatible.Class, incompatible.Policy = "incompatible", ""
	r.Note(incompatible)
	r.Note(Item{Kind: Allowed, Class: "allow", Policy: "permit", Origin: "good.example", Room: "!r:here.example"})
	r.Note(Item{Kind: Faults, Class: "trap", Policy: "servers"})
	r.Note(Item{Kind: Reload, Detail: "config.toml: no"})
	r.Note(Item{Kind: Reload, Detail: "config.toml: no"})
	r.Note(Item{Kind: Lists, Detail: "bans"})
	r.Note(Item{Kind: Monitor, Policy: "trial"})
	r.Note(Item{Kind: Undecided, Class: OtherServer, Origin: "a.example", Room: "!r:here.example"})
	r.Note(Item{Kind: Undecided, Class: OwnUser, Room: "!r:here.example"})
	polled = 7
	r.due()
	r.result("webhook sent")
	got := <-hook.got
	if got.method != http.MethodPost || got.path != "/hook" || got.authorization != "Bearer "+secret {
		t.Errorf("%s %s with %q", got.method, got.path, got.authorization)
	}
	var body map[string]any
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Fatal(err)
	}
	if id, _ := body["id"].(string); len(id) < 20 {
		t.Errorf("id %q", id)
	}
	delete(body, "id")
	want := map[string]any{
		"server": "here.example", "from": "2026-01-02T09:05:00Z", "to": "2026-01-02T09:10:00Z",
		"text": `Knockgate on here.example, 2026-01-02 09:05 to 09:10 UTC (5 min)
- The policies were not loaded again (2 times); those before stay: config.toml: no
- 1 fault of the policy servers: trap
- 7 decisions in the log and not in the store
- The list bans cannot be read or fetched; it stays as it was
- The policy trial is in monitor mode and decides nothing
- 1 knock of the homeserver's own users without a decision into [hidden]
- 1 knock round this server from [hidden] into [hidden]
- 12 knocks denied from [hidden] into [hidden] by servers
- 1 knock answered incompatible from [hidden] into [hidden] by the chain's default
- 1 knock let in from [hidden] into [hidden] by permit`,
		"notices": []any{
			map[string]any{"kind": "reload", "count": 2.0, "detail": "config.toml: no"},
			map[string]any{"kind": "faults", "count": 1.0, "class": "trap", "policy": "servers"},
			map[string]any{"kind": "dropped", "count": 7.0},
			map[string]any{"kind": "lists", "count": 1.0, "detail": "bans"},
			map[string]any{"kind": "monitor", "count": 1.0, "policy": "trial"},
			map[string]any{"kind": "undecided", "count": 1.0, "class": "own_user", "room_id": "!r:here.example"},
			map[string]any{"kind": "undecided", "count": 1.0, "class": "other_server", "origin": "a.example", "room_id": "!r:here.example"},
			map[string]any{"kind": "denied", "count": 12.0, "class": "deny", "policy": "servers", "origin": "evil.example", "room_id": "!r:here.example"},
			map[string]any{"kind": "denied", "count": 1.0, "class": "incompatible", "origin": "evil.example", "room_id": "!r:here.example"},
			map[string]any{"kind": "allowed", "count": 1.0, "class": "allow", "policy": "permit", "origin": "good.example", "room_id": "!r:here.example"},
		},
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	polled = 0
	r.due()
	r.Note(spam)
	r.due()
	r.result("webhook sent")
	if got := <-hook.got; !bytes.Contains(got.body, []byte(`"count":1,`)) {
		t.Errorf("the next digest: %s", got.body)
	}
	r.stop()
	if len(hook.got) != 0 {
		t.Errorf("%d more requests", len(hook.got))
	}
}

// TestWhat: kinds that are not asked for are not told.
func TestWhat(t *testing.T) {
	hook := receive(t, nil)
	r := start(t, []Kind{Faults}, nil, &Webhook{URL: hook.url(t, "")})
	r.Note(spam)
	r.due()
	r.Note(Item{Kind: Faults, Class: "trap", Policy: "servers"})
	r.Note(spam)
	r.due()
	r.result("webhook sent")
	if got := <-hook.got; bytes.Contains(got.body, []byte("denied")) || got.authorization != "" {
		t.Errorf("%q with %q", got.body, got.authorization)
	}
	r.stop()
	if len(hook.got) != 0 {
		t.Errorf("%d more requests", len(hook.got))
	}
	var none *Notices
	none.Note(spam) // nothing happens
}

// TestRoom: the message is a notice that mentions nobody. Whatever a name is, HTML
// has it as text within a spoiler, and plain text does not have it.
func TestRoom(t *testing.T) {
	hostile := "<b>&\"'\x1b[31m\u202e\u2066evil\n@room</span>\xff"
	homeserver := receive(t, nil)
	r := start(t, Kinds, nil, &Room{Homeserver: homeserver.url(t, ""), Room: "!a/b?c#d:here.example", Token: token})
	item := spam
	item.Origin, item.Room = hostile, strings.Repeat("€", 200)
	r.Note(item)
	r.due()
	r.result("room sent")
	got := <-homeserver.got
	before, id, _ := strings.Cut(got.path, "/send/m.room.message/knockgate-")
	if got.method != http.MethodPut || before != "/_matrix/client/v3/rooms/%21a%2Fb%3Fc%23d:here.example" || len(id) < 20 || got.authorization != "Bearer "+secret {
		t.Errorf("%s %s with %q", got.method, got.path, got.authorization)
	}
	var body map[string]any
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"msgtype": "m.notice", "format": "org.matrix.custom.html", "m.mentions": map[string]any{},
		"body": "Knockgate on here.example, 2026-01-02 09:00 to 09:05 UTC (5 min)\n- 1 knock denied from [hidden] into [hidden] by servers",
		"formatted_body": "<p>Knockgate on here.example, 2026-01-02 09:00 to 09:05 UTC (5 min)</p><ul><li>1 knock denied from " +
			"<span data-mx-spoiler>&lt;b&gt;&amp;&#34;&#39;\ufffd[31m\ufffd\ufffdevil\ufffd@room&lt;/span&gt;\ufffd</span> into " +
			"<span data-mx-spoiler>" + strings.Repeat("€", 85) + "</span> by servers</li></ul>",
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestBounds: groups are of bounded number, what is over it is counted, and a message
// is an event that a homeserver takes.
func TestBounds(t *testing.T) {
	homeserver, hook := receive(t, nil), receive(t, nil)
	r := start(t, Kinds, nil, &Room{Homeserver: homeserver.url(t, ""), Room: "!r:here.example", Token: token}, &Webhook{URL: hook.url(t, "")})
	for i := range 500 {
		for _, kind := range Kinds {
			r.Note(Item{Kind: kind, Origin: fmt.Sprint(i) + strings.Repeat("&", 1000), Room: strings.Repeat("\U0001F600", 1000), Detail: fmt.Sprint(i) + strings.Repeat("<", 1000)})
		}
	}
	r.due()
	results := []string{<-r.results, <-r.results}
	slices.Sort(results)
	if diff := cmp.Diff([]string{"room sent", "webhook sent"}, results); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got := <-homeserver.got
	if len(got.body) > 60_000 {
		t.Errorf("a message of %d bytes", len(got.body))
	}
	// Of each kind there are 500, 50 of them groups of their own.
	for _, want := range []string{"and 375 groups more", "and 450 more of the kind denied"} {
		if !bytes.Contains(got.body, []byte(want)) {
			t.Errorf("the message does not say %q: %s", want, got.body)
		}
	}
	var body struct {
		Notices []any          `json:"notices"`
		More    map[Kind]int64 `json:"more"`
	}
	if err := json.Unmarshal((<-hook.got).body, &body); err != nil {
		t.Fatal(err)
	}
	if len(body.Notices) != len(Kinds)*MaxGroups || len(body.More) != len(Kinds) || body.More[Denied] != 450 {
		t.Errorf("%d notices and %v more", len(body.Notices), body.More)
	}
}

// TestRetry: what could not be sent is sent again as it was, and what has happened
// since after it, as one.
func TestRetry(t *testing.T) {
	var status sync.Map
	status.Store("now", http.StatusBadGateway)
	homeserver := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		now, _ := status.Load("now")
		w.WriteHeader(now.(int))
		_, _ = io.WriteString(w, `{"errcode":"M_FORBIDDEN","error":"`+secret+`"}`)
	})
	r := start(t, Kinds, nil, &Room{Homeserver: homeserver.url(t, ""), Room: "!r:here.example", Token: token})
	r.Note(spam)
	r.due()
	r.result("room failed")
	first := <-homeserver.got
	for range 2 {
		r.Note(spam)
		r.due()
		r.result("room failed")
		if again := <-homeserver.got; again.path != first.path || !bytes.Equal(again.body, first.body) {
			t.Errorf("tried again with another:\n%s\n%s", first.body, again.body)
		}
	}
	status.Store("now", http.StatusOK)
	r.due()
	r.result("room sent")
	if again := <-homeserver.got; again.path != first.path || !bytes.Equal(again.body, first.body) {
		t.Errorf("sent another:\n%s\n%s", first.body, again.body)
	}
	r.result("room sent")
	if next := <-homeserver.got; next.path == first.path || !bytes.Contains(next.body, []byte("09:05 to 09:15 UTC (10 min)")) || !bytes.Contains(next.body, []byte("- 2 knocks denied")) {
		t.Errorf("the next: %s %s", next.path, next.body)
	}
	r.stop()
	if log := r.log.String(); strings.Count(log, "it answered 502 M_FORBIDDEN") != 3 || strings.Contains(log, secret) {
		t.Errorf("the log:\n%s", log)
	}
}

// TestGivenUp: a digest is tried so often and no more.
func TestGivenUp(t *testing.T) {
	hook := receive(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	r := start(t, Kinds, nil, &Webhook{URL: hook.url(t, "/services/"+secret)})
	r.Note(spam)
	for range MaxTries {
		r.due()
		r.result("webhook failed")
	}
	r.result("webhook lost")
	r.due()
	r.stop()
	if len(hook.got) != MaxTries {
		t.Errorf("tried %d times, want %d", len(hook.got), MaxTries)
	}
	if log := r.log.String(); strings.Contains(log, secret) || !strings.Contains(log, "is given up") {
		t.Errorf("the log:\n%s", log)
	}
}

// TestAnswers: a redirect is not followed, an endless answer not read, and no
// failure says the URL or the token.
func TestAnswers(t *testing.T) {
	other := receive(t, nil)
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc // nil: nobody listens
		result string
		log    string
	}{
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, "webhook failed", "it answered 307; redirects are not followed"},
		{"without end", func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}, "webhook sent", ""},
		{"a large header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, "webhook failed", "exceeded"},
		{"an errcode that is none", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, `{"errcode":"M_\u001b[31m"}`)
		}, "webhook failed", `err="it answered 418"`},
		{"nobody", nil, "webhook failed", "connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			where, err := url.Parse(gone.URL + "/" + secret)
			if err != nil {
				t.Fatal(err)
			}
			if tt.answer != nil {
				where = receive(t, tt.answer).url(t, "/"+secret)
			}
			r := start(t, Kinds, nil, &Webhook{URL: where, Token: token})
			r.Note(spam)
			r.due()
			r.result(tt.result)
			r.stop()
			if log := r.log.String(); !strings.Contains(log, tt.log) || strings.Contains(log, secret) {
				t.Errorf("the log:\n%s", log)
			}
		})
	}
	if len(other.got) != 0 {
		t.Error("a redirect was followed")
	}
}

// TestHang: a target that hangs holds up nothing: neither what notes, nor another
// target, nor a stop for long.
func TestHang(t *testing.T) {
	hangs := receive(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	hook := receive(t, nil)
	r := start(t, Kinds, nil, &Webhook{URL: hangs.url(t, "")}, &Room{Homeserver: hook.url(t, ""), Room: "!r:here.example", Token: token})
	r.Note(spam)
	r.due()
	<-hangs.got
	for range 3 {
		r.result("room sent")
		r.Note(spam)
		r.due()
	}
	r.stop()
	close(r.results)
	counts := map[string]int{}
	for result := range r.results {
		counts[result]++
	}
	if counts["room sent"] != 1 || counts["webhook sent"] != 0 || counts["webhook lost"] != 1 {
		t.Errorf("in the end %v", counts)
	}
}

// TestStop: what waits is sent at a stop.
func TestStop(t *testing.T) {
	hook := receive(t, nil)
	r := start(t, Kinds, nil, &Webhook{URL: hook.url(t, "")})
	r.Note(spam)
	r.stop()
	r.result("webhook sent")
	if len(hook.got) != 1 {
		t.Errorf("%d requests, want 1", len(hook.got))
	}
}

// TestHammer: everything that is noted is told, whoever notes at the same time.
func TestHammer(t *testing.T) {
	hook := receive(t, nil)
	r := start(t, Kinds, nil, &Webhook{URL: hook.url(t, "")})
	const each = 500
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			item := spam
			item.Origin = fmt.Sprint(i)
			for range each {
				r.Note(item)
			}
		})
	}
	for range 5 {
		r.tick <- time.Time{}
	}
	all.Wait()
	r.stop()
	counts, ids := map[string]int64{}, map[string]bool{}
	close(hook.got)
	for got := range hook.got {
		var body struct {
			ID      string
			Notices []struct {
				Origin string
				Count  int64
			}
		}
		if err := json.Unmarshal(got.body, &body); err != nil {
			t.Fatal(err)
		}
		if ids[body.ID] {
			continue // the stop came before its answer, and it was sent again
		}
		ids[body.ID] = true
		for _, n := range body.Notices {
			counts[n.Origin] += n.Count
		}
	}
	if len(counts) != 8 || slices.Min(slices.Collect(maps.Values(counts))) != each || slices.Max(slices.Collect(maps.Values(counts))) != each {
		t.Errorf("told %v, want %d of each", counts, each)
	}
}

// sink counts the records that it is given.
type sink struct{ records int }

func (s *sink) Record(*decisionlog.Record) { s.records++ }

// TestRecorder: what of a decision is noted.
func TestRecorder(t *testing.T) {
	trap := plugins.Step{Policy: "servers", Fault: plugins.Fault{Class: plugins.FaultTrap}}
	for _, tt := range []struct {
		name   string
		record decisionlog.Record
		want   []Item
	}{
		{"denied", decisionlog.Record{Verdict: abi.Deny, Policy: "servers", Origin: "o", Room: "r"},
			[]Item{{Kind: Denied, Class: "deny", Policy: "servers", Origin: "o", Room: "r"}}},
		{"incompatible", decisionlog.Record{Verdict: abi.Incompatible, Origin: "o", Room: "r"},
			[]Item{{Kind: Denied, Class: "incompatible", Origin: "o", Room: "r"}}},
		{"a fault that passes", decisionlog.Record{Verdict: abi.Allow, Steps: []plugins.Step{trap}},
			[]Item{{Kind: Allowed, Class: "allow"}, {Kind: Faults, Class: "trap", Policy: "servers"}}},
		{"a fault that denies", decisionlog.Record{Verdict: abi.Deny, Policy: "servers", Fault: "trap", Steps: []plugins.Step{trap}},
			[]Item{{Kind: Denied, Class: "deny", Policy: "servers"}, {Kind: Faults, Class: "trap", Policy: "servers"}}},
		{"no chain", decisionlog.Record{Verdict: abi.Deny, Fault: "closed"},
			[]Item{{Kind: Denied, Class: "deny"}, {Kind: Faults, Class: "closed"}}},
	} {
		var next sink
		n := New(Options{What: Kinds, Now: time.Now})
		n.Recorder(&next).Record(&tt.record)
		want := map[Item]int64{}
		for _, item := range tt.want {
			want[item] = 1
		}
		if diff := cmp.Diff(want, n.now.groups); diff != "" || next.records != 1 {
			t.Errorf("%s: %d records handed on; (-want +got):\n%s", tt.name, next.records, diff)
		}
	}
	var none *Notices
	var next sink
	none.Recorder(&next).Record(&decisionlog.Record{})
	if next.records != 1 {
		t.Error("without notices, a record is lost")
	}
}
