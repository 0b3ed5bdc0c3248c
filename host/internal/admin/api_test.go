package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/plugins"
)

const secret = "0123456789abcdef0123456789abcdef"

// fake is what the API stands before. It answers what a server would.
type fake struct {
	mu       sync.Mutex
	revision string        // guarded by mu
	staged   atomic.Int64  // bytes of the last upload
	list     []Decision    // guarded by mu
	blocked  chan struct{} // a replay waits for it
	wrong    error         // what everything fails with
}

func (f *fake) Status(context.Context) (*Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &Status{
		Version: "1", ServerName: "here.example", Mode: "resident", Started: time.Unix(1, 0).UTC(), Revision: f.revision, Default: "deny",
		LastReload: &Reloaded{At: time.Unix(2, 0).UTC(), OK: true, Text: "done"},
		Checks:     []Result{{"store", true, "takes writes"}}, Undecided: map[string]int64{"own": 1},
		Policies: []PolicyState{{
			Name: "a", Module: strings.Repeat("0", 64), Phases: []string{"make_knock"}, Rooms: []string{}, Origins: []string{}, Grants: []string{"kv"},
			Settings: json.RawMessage(`{"a":[1]}`), NextTry: time.Unix(3, 0).UTC(), Verdicts: map[string]int64{"deny": 1}, Faults: map[string]int64{},
			Fuel: Histogram{[]float64{100}, []int64{1, 2}}, Micros: Histogram{[]float64{10}, []int64{1, 2}},
		}},
	}, f.wrong
}

func (f *fake) Reload(context.Context) (string, error) { return "done", f.wrong }

func (f *fake) Stage(_ context.Context, module, _ []byte) (*Module, error) {
	f.staged.Store(int64(len(module)))
	return &Module{Digest: strings.Repeat("a", 64), Size: int64(len(module)), Grants: []string{}, Schema: json.RawMessage(`{"type":"object"}`)}, f.wrong
}

func (f *fake) Staged(context.Context) ([]Module, error) {
	return []Module{{Digest: strings.Repeat("a", 64), Grants: []string{"kv"}}}, f.wrong
}

func (f *fake) Apply(_ context.Context, c Change) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Revision != f.revision {
		return "", fmt.Errorf("%w: %s is in force", ErrConflict, f.revision)
	}
	f.revision += "x"
	return f.revision, f.wrong
}

func (f *fake) Judge(_ context.Context, facts, _ json.RawMessage, _ *Change) (*Judged, error) {
	if string(facts) == "" {
		return nil, fmt.Errorf("%w: no facts", ErrInvalid)
	}
	return &Judged{Verdict: "allow", Steps: []Step{{Policy: "a", Verdict: "pass", Mode: "monitor", Calls: []string{"kv_get"}}}}, f.wrong
}

func (f *fake) Rejudge(ctx context.Context, c Change, _ time.Time, done func(done, all int64)) (*Rejudged, error) {
	if f.wrong != nil {
		return nil, f.wrong
	}
	done(1, 2)
	if f.blocked != nil {
		close(f.blocked)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &Rejudged{Decisions: 2, Same: 1, Verdicts: map[string]int64{"allow -> deny": 1}, Changes: []Changed{{RequestID: "R1"}}}, nil
}

func (f *fake) Decisions(_ context.Context, filter DecisionFilter) ([]Decision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Decision
	for _, d := range f.list {
		if d.ID > filter.After && (filter.Limit == 0 || len(list) < filter.Limit) {
			list = append(list, d)
		}
	}
	return list, f.wrong
}

func (f *fake) Decision(_ context.Context, reference string) (*Decision, error) {
	if reference != "R1" {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, reference)
	}
	return &Decision{
		ID: 1, RequestID: "R1", Event: "$e", Mode: "m", Fault: "trap", Message: "m", Note: "n", Code: "c", Errcode: "M_FORBIDDEN", FaultText: "f", Fuel: 5,
		Steps: []Step{{Policy: "a", Verdict: "deny", Calls: []string{}}}, Detail: json.RawMessage(`{}`), Facts: json.RawMessage(`{}`), Told: json.RawMessage(`{}`),
		Monitored: []Decision{{ID: 2}},
	}, f.wrong
}

func (f *fake) Overview(_ context.Context, since time.Time, step time.Duration) (*Overview, error) {
	return &Overview{
		Since: since.UTC(), Step: step, Buckets: []Bucket{{since.UTC(), map[string]int64{"deny": 1}, 1}}, Latency: Histogram{[]float64{1}, []int64{1, 1}},
		Refused: []OriginCount{{"a.example", 1}}, Monitored: map[string]map[string]int64{"a": {"deny": 1}},
	}, f.wrong
}

func (f *fake) Rooms(context.Context) ([]Room, error) {
	return []Room{{ID: "!r:here.example", Version: "11"}}, f.wrong
}

func (f *fake) Pending(context.Context, string) ([]Pending, error) {
	return []Pending{{Room: "!r:here.example", User: "@a:b", Displayname: "<b>", Reason: "r"}}, f.wrong
}

func (f *fake) Decline(context.Context, string, string, string) error { return f.wrong }

type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// desk is an API over real HTTP, before a fake server.
type desk struct {
	*fake
	t      *testing.T
	server *httptest.Server
	token  string // its file
	log    *logs
}

func newDesk(t *testing.T, change func(*Options)) *desk {
	t.Helper()
	d := &desk{fake: &fake{revision: "r"}, t: t, token: filepath.Join(t.TempDir(), "token"), log: &logs{}}
	if err := os.WriteFile(d.token, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	token, made, err := OpenToken(d.token)
	if err != nil || made {
		t.Fatalf("OpenToken: made %v, %v", made, err)
	}
	log := slog.New(slog.NewTextHandler(d.log, nil))
	audit := NewAudit(log, time.Now)
	o := Options{
		Token: token, Server: audit.Server(d.fake), Policies: audit.Policies(d.fake), Decisions: d.fake, Knocks: audit.Knocks(d.fake), Audit: audit, Log: log,
		Metrics: http.NotFoundHandler(), Hosts: []string{"admin.example"},
		Pages: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a page") }),
	}
	if change != nil {
		change(&o)
	}
	d.server = httptest.NewServer(New(o))
	t.Cleanup(d.server.Close)
	return d
}

// do sends a request with the right token, unless header has another.
func (d *desk) do(method, path, host string, header http.Header, body io.Reader) (int, http.Header, string) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.server.URL+path, body)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Authorization", "Bearer "+secret)
	for name, values := range header {
		r.Header[name] = values
	}
	answer, err := d.server.Client().Do(r)
	if err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
	checkAnswer(d.t, method, r.URL.Path, answer.StatusCode, answer.Header.Get("Content-Type"), text)
	return answer.StatusCode, answer.Header, strings.TrimSpace(string(text))
}

func (d *desk) json(method, path, body string) (int, string) {
	d.t.Helper()
	status, _, text := d.do(method, path, "", http.Header{"Content-Type": {"application/json"}}, strings.NewReader(body))
	return status, text
}

// TestWhoIsLetIn: without the token, from elsewhere, or for another host there is no
// answer, and the token stands in no log.
func TestWhoIsLetIn(t *testing.T) {
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	none := http.Header{"Authorization": nil}
	tests := []struct {
		name, method, path, host string
		header                   http.Header
		status                   int
	}{
		{"the token", "GET", "/status", "", nil, 200},
		{"no token", "GET", "/status", "", none, 401},
		{"no token for a path that is none", "GET", "/none", "", none, 401},
		{"a path that is none", "GET", "/none", "", nil, 404},
		{"another method", "DELETE", "/status", "", nil, 405},
		{"a wrong token", "GET", "/status", "", header("Authorization", "Bearer "+strings.Repeat("x", 32)), 401},
		{"the beginning of the token", "GET", "/status", "", header("Authorization", "Bearer "+secret[:31]), 401},
		{"more than the token", "GET", "/status", "", header("Authorization", "Bearer "+secret+"0"), 401},
		{"an empty token", "GET", "/status", "", header("Authorization", "Bearer "), 401},
		{"another scheme", "GET", "/status", "", header("Authorization", "Basic "+secret), 401},
		{"the token in the query", "GET", "/status?token=" + secret + "&access_token=" + secret, "", none, 401},
		{"a form of another site", "POST", "/reload", "", header("Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), 403},
		{"a form of another port", "POST", "/reload", "", header("Sec-Fetch-Site", "same-site"), 403},
		{"a form of an old browser", "POST", "/reload", "", header("Origin", "http://evil.example"), 403},
		{"an origin that is none", "POST", "/reload", "", header("Origin", "null"), 403},
		{"a look from another site", "GET", "/status", "", header("Sec-Fetch-Site", "cross-site"), 403},
		{"its own page", "POST", "/reload", "", header("Sec-Fetch-Site", "same-origin"), 200},
		{"typed in", "GET", "/status", "", header("Sec-Fetch-Site", "none"), 200},
		{"a name that was made to point here", "GET", "/status", "evil.example:9448", nil, 421},
		{"such a name that looks like an address", "GET", "/status", "127.0.0.1.evil.example", nil, 421},
		{"another machine's address", "GET", "/status", "192.0.2.1", nil, 421},
		{"localhost", "GET", "/status", "localhost:9448", nil, 200},
		{"loopback of IPv6", "GET", "/status", "[::1]:9448", nil, 200},
		{"a configured name", "GET", "/status", "ADMIN.example", nil, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, nil)
			status, h, text := d.do(tt.method, prefix+tt.path, tt.host, tt.header, nil)
			if status != tt.status {
				t.Errorf("%d %s, want %d", status, text, tt.status)
			}
			if status == 401 && !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("401 without WWW-Authenticate: %v", h)
			}
			var fault struct{ Error string }
			if err := json.Unmarshal([]byte(text), &fault); status >= 400 && status != 404 && status != 405 && (err != nil || fault.Error == "") {
				t.Errorf("%d %s, want a reason", status, text)
			}
			if strings.Contains(d.log.String(), secret) {
				t.Errorf("the token stands in the log:\n%s", d.log)
			}
		})
	}
}

// TestPagesAreGuarded: the pages have the same hosts, and no form of another site
// reaches them. A link does.
func TestPagesAreGuarded(t *testing.T) {
	d := newDesk(t, nil)
	for _, tt := range []struct {
		method, host, site string
		status             int
	}{
		{"GET", "", "cross-site", 200}, {"POST", "", "cross-site", 403}, {"POST", "", "same-origin", 200}, {"GET", "evil.example", "", 421},
	} {
		header := http.Header{}
		if tt.site != "" {
			header.Set("Sec-Fetch-Site", tt.site)
		}
		if status, _, text := d.do(tt.method, "/policies", tt.host, header, nil); status != tt.status {
			t.Errorf("%s for %q from %q: %d %s, want %d", tt.method, tt.host, tt.site, status, text, tt.status)
		}
	}
}

// TestWrongTokensAreBounded: many wrong tokens are not all logged, and lock nobody out.
func TestWrongTokensAreBounded(t *testing.T) {
	d := newDesk(t, nil)
	seen := map[int]int{}
	for range 4 * wrongBurst {
		status, _, _ := d.do("GET", prefix+"/status", "", http.Header{"Authorization": {"Bearer wrong"}}, nil)
		seen[status]++
	}
	if seen[401] < wrongBurst || seen[429] == 0 || seen[401]+seen[429] != 4*wrongBurst {
		t.Errorf("answers to wrong tokens: %v, want at least %d of 401 and then 429", seen, wrongBurst)
	}
	if n := strings.Count(d.log.String(), "wrong one"); n != seen[401] {
		t.Errorf("%d lines for %d wrong tokens that were told so", n, seen[401])
	}
	if status, _, text := d.do("GET", prefix+"/status", "", nil, nil); status != 200 {
		t.Errorf("the right token meanwhile: %d %s", status, text)
	}
}

// TestTokenFile: the token is made where it is missing, may be replaced, and where it is
// none the API says so and opens for nobody.
func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path+".new", []byte("half"), 0o644); err != nil { // what a kill has left
		t.Fatal(err)
	}
	token, made, err := OpenToken(path)
	if err != nil || !made {
		t.Fatalf("OpenToken: made %v, %v", made, err)
	}
	first, err := token.Read()
	if info, statErr := os.Stat(path); err != nil || len(first) != 64 || statErr != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("made %q, %v, %v", first, err, info.Mode())
	}
	if _, made, err := OpenToken(path); err != nil || made {
		t.Errorf("a second time: made %v, %v", made, err)
	}
	for text, want := range map[string]string{
		"": "0 bytes", "short": "5 bytes", secret + " " + secret: "white space", secret + "\u00e9": "beyond ASCII", strings.Repeat("x", maxToken+1): "more than",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := OpenToken(path); err == nil || !strings.Contains(err.Error(), want) || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%.40q: %v, want %q and nothing of it", text, err, want)
		}
	}
	d := newDesk(t, nil)
	if err := os.WriteFile(d.token, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, given := range []string{secret, "another", ""} {
		status, _, text := d.do("GET", prefix+"/status", "", http.Header{"Authorization": {"Bearer " + given}}, nil)
		if status != 503 || !strings.Contains(text, "7 bytes") {
			t.Errorf("a file that is no token: %d %s, want 503", status, text)
		}
	}
	if err := os.WriteFile(d.token, []byte(strings.ToUpper(secret)), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, text := d.do("GET", prefix+"/status", "", http.Header{"Authorization": {"Bearer " + strings.ToUpper(secret)}}, nil); status != 200 {
		t.Errorf("a token that was replaced: %d %s", status, text)
	}
	if status, _, _ := d.do("GET", prefix+"/status", "", nil, nil); status != 401 {
		t.Errorf("the token before: %d, want 401", status)
	}
}

// TestGuardedMetrics: where others reach the listener, /metrics needs the token;
// /health and /readyz never do.
func TestGuardedMetrics(t *testing.T) {
	d := newDesk(t, func(o *Options) {
		o.MetricsGuarded = true
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "measured") })
	})
	for _, tt := range []struct {
		path   string
		token  bool
		status int
	}{{"/metrics", false, 401}, {"/metrics", true, 200}, {"/health", false, 200}, {"/readyz", false, 200}} {
		header := http.Header{}
		if !tt.token {
			header["Authorization"] = nil
		}
		if status, _, text := d.do("GET", tt.path, "", header, nil); status != tt.status {
			t.Errorf("%s with token %v: %d %s, want %d", tt.path, tt.token, status, text, tt.status)
		}
	}
	d = newDesk(t, func(o *Options) { o.Token = nil })
	for _, path := range []string{prefix + "/status", "/", "/policies"} {
		if status, _, text := d.do("GET", path, "", nil, nil); status != 404 {
			t.Errorf("%s without a token_file: %d %s, want 404", path, status, text)
		}
	}
}

// counting is a body of zeros that counts how much of it is read.
type counting struct{ left, read int64 }

func (c *counting) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), c.left)
	clear(p[:n])
	c.left, c.read = c.left-n, c.read+n
	return int(n), nil
}

// TestUpload: a module of any name is taken up to the limit; a larger one is refused,
// and where it says how large it is, before it is read.
func TestUpload(t *testing.T) {
	const mib = 1 << 20
	wasm := http.Header{"Content-Type": {"application/wasm"}}
	tests := []struct {
		name   string
		size   int64
		told   bool // the size, in Content-Length
		header http.Header
		status int
	}{
		{"a small one", 1000, true, wasm, 200},
		{"the largest", plugins.MaxModule, true, wasm, 200},
		{"a byte more", plugins.MaxModule + 1, true, wasm, 413},
		{"100 MiB", 100 * mib, true, wasm, 413},
		{"100 MiB in chunks", 100 * mib, false, wasm, 413},
		{"a form", 1000, true, http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, 415},
		{"text, as a form of another site sends it", 1000, true, http.Header{"Content-Type": {"text/plain"}}, 415},
		{"no type", 1000, true, nil, 415},
		{"a signature that is none", 1000, true, http.Header{"Content-Type": {"application/wasm"}, "X-Signature": {"!"}}, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, nil)
			body := &counting{left: tt.size}
			r, err := http.NewRequestWithContext(t.Context(), "POST", d.server.URL+prefix+"/modules", body)
			if err != nil {
				t.Fatal(err)
			}
			if r.ContentLength = -1; tt.told {
				r.ContentLength = tt.size
			}
			for name, values := range tt.header {
				r.Header[name] = values
			}
			r.Header.Set("Authorization", "Bearer "+secret)
			r.Header.Set("Expect", "100-continue")
			transport := &http.Transport{ExpectContinueTimeout: time.Minute}
			defer transport.CloseIdleConnections()
			answer, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			text, _ := io.ReadAll(answer.Body)
			if answer.StatusCode != tt.status {
				t.Errorf("%d %s, want %d", answer.StatusCode, text, tt.status)
			}
			if got := d.staged.Load(); tt.status == 200 && got != tt.size || tt.status != 200 && got != 0 {
				t.Errorf("%d bytes were staged of %d", got, tt.size)
			}
			if tt.status == 413 && tt.told && body.read > 0 {
				t.Errorf("%d bytes of what is too large were asked for", body.read)
			}
			if body.read > plugins.MaxModule+32*mib { // beyond what is read, what sockets hold
				t.Errorf("%d bytes were sent of what is too large", body.read)
			}
		})
	}
}

// TestBodiesAndQueries: what is not known or not whole is refused with what is wrong.
func TestBodiesAndQueries(t *testing.T) {
	d := newDesk(t, nil)
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/changes", `{"do":"remove","revision":"r","policy":"a"}`, 200, `"rx"`},
		{"POST", "/changes", `{"do":"remove","revision":"r","policy":"a"}`, 409, "in force"},
		{"POST", "/changes", `{"do":"remove","revison":"r"}`, 400, "revison"},
		{"POST", "/changes", `{"do":"remove"}{}`, 400, "text after"},
		{"POST", "/changes", `{"do":`, 400, "body"},
		{"POST", "/changes", `{"do":"` + strings.Repeat("x", maxBody) + `"}`, 413, "too large"},
		{"POST", "/judge", `{}`, 400, "no facts"},
		{"POST", "/knocks/decline", `{"room_id":"!r","user_id":"@u:x","reasn":""}`, 400, "reasn"},
		{"GET", "/decisions?rom=x", "", 400, `rom\" is no parameter`},
		{"GET", "/decisions?room=x&room=y", "", 400, "stands 2 times"},
		{"GET", "/decisions?limit=501", "", 400, "from 0 to 500"},
		{"GET", "/decisions?monitor=1", "", 400, "true or false"},
		{"GET", "/decisions?since=yesterday", "", 400, "how long ago"},
		{"GET", "/decisions?since=24h&faults=true&before=9&after=1", "", 200, "[]"},
		{"GET", "/decisions?%zz", "", 400, "query"},
		{"GET", "/decisions/events?limit=3", "", 400, "limit"},
		{"GET", "/decisions/R2", "", 404, "R2"},
		{"GET", "/overview?step=90s", "", 400, "whole minutes"},
		{"GET", "/overview?since=9000h&step=1m", "", 400, "at most"},
		{"GET", "/knocks?rom=x", "", 400, "rom"},
	} {
		if status, text := d.json(tt.method, prefix+tt.path, tt.body); status != tt.status || !strings.Contains(text, tt.want) {
			t.Errorf("%s %s %.60s: %d %s, want %d with %q", tt.method, tt.path, tt.body, status, text, tt.status, tt.want)
		}
	}
	d.wrong = errors.New("the disk is full")
	for _, path := range []string{"/status", "/policies", "/modules", "/decisions", "/decisions/R1", "/overview", "/rooms", "/knocks"} {
		if status, text := d.json("GET", prefix+path, ""); status != 500 || !strings.Contains(text, "the disk is full") {
			t.Errorf("%s of a server at fault: %d %s, want 500", path, status, text)
		}
	}
	if status, text := d.json("POST", prefix+"/replay", `{"change":{"do":"rollback","revision":"r"},"since":"2026-01-01T00:00:00Z"}`); status != 500 {
		t.Errorf("replay of a server at fault: %d %s, want 500", status, text)
	}
	d = newDesk(t, func(o *Options) { o.Knocks = nil })
	if status, text := d.json("GET", prefix+"/knocks", ""); status != 404 || !strings.Contains(text, "gateway") {
		t.Errorf("knocks in gateway mode: %d %s, want 404", status, text)
	}
}

// TestAudit: each change is logged and remembered with who made it; the oldest go.
func TestAudit(t *testing.T) {
	d := newDesk(t, nil)
	for range maxEntries {
		d.json("POST", prefix+"/reload", "")
	}
	d.json("POST", prefix+"/changes", `{"do":"mode","mode":"enforce","revision":"r","policy":"a\u001b[2J"}`)
	d.json("POST", prefix+"/changes", `{"do":"remove","revision":"r","policy":"a"}`)
	_, text := d.json("GET", prefix+"/audit", "")
	var list []Entry
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != maxEntries {
		t.Fatalf("%d entries, %v; want %d", len(list), err, maxEntries)
	}
	if e := list[0]; e.From != "r" || e.To != "" || !strings.Contains(e.Outcome, "conflict") || !strings.HasPrefix(e.Who, "127.0.0.1:") {
		t.Errorf("a change that was refused: %+v", e)
	}
	if e := list[1]; e.To != "rx" || e.Outcome != "done" || !strings.Contains(e.What, `mode policy "a\x1b[2J" mode "enforce"`) {
		t.Errorf("a change: %+v", e)
	}
	if n := strings.Count(d.log.String(), `msg="admin change"`); n != maxEntries+2 {
		t.Errorf("%d lines of %d changes", n, maxEntries+2)
	}
}

// TestReplayStops: a replay tells how far it is and ends with its client.
func TestReplayStops(t *testing.T) {
	d := newDesk(t, nil)
	const body = `{"change":{"do":"rollback","revision":"r"},"since":"2026-01-01T00:00:00Z"}`
	if status, text := d.json("POST", prefix+"/replay", body); status != 200 || !strings.HasPrefix(text, "{\"progress\":{\"done\":1,\"all\":2}}\n{\"result\":{") {
		t.Errorf("replay: %d %s", status, text)
	}
	d.blocked = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", d.server.URL+prefix+"/replay", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Content-Type", "application/json")
	answer, err := d.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	<-d.blocked
	cancel()
	d.server.Close() // waits for the handler, which the fake ends with its context alone
}

// TestEvents: who listens is told what is new, and no more listen than there is room for.
func TestEvents(t *testing.T) {
	d := newDesk(t, nil)
	d.list = []Decision{{ID: 7, RequestID: "OLD"}}
	listen := func(after string) (*http.Response, *bufio.Reader) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", d.server.URL+prefix+"/decisions/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+secret)
		if after != "" {
			r.Header.Set("Last-Event-ID", after)
		}
		answer, err := d.server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		return answer, bufio.NewReader(answer.Body)
	}
	var readers []*bufio.Reader
	for i := range maxListeners {
		after := ""
		if i == 0 {
			after = "3"
		}
		answer, reader := listen(after)
		if line, err := reader.ReadString('\n'); answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" || err != nil || line != ": listening\n" {
			t.Fatalf("listener %d: %d %q %v", i, answer.StatusCode, line, err)
		}
		readers = append(readers, reader)
	}
	if answer, _ := listen(""); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("one listener too many: %d, want 503", answer.StatusCode)
	}
	next := func(r *bufio.Reader) (event string) {
		t.Helper()
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.TrimSpace(line) == "" && event != "" {
				return event
			}
			event += strings.TrimLeft(line, "\n")
		}
	}
	if got := next(readers[0]); !strings.HasPrefix(got, "event: decision\nid: 7\ndata: {\"id\":7,\"request_id\":\"OLD\"") {
		t.Errorf("who comes back with Last-Event-ID is told %q", got)
	}
	d.mu.Lock()
	d.list = []Decision{{ID: 9, RequestID: "NEW", User: "@a:b\r\n\ndata: x"}, {ID: 7, RequestID: "OLD"}}
	d.mu.Unlock()
	for i, r := range readers {
		if got := next(r); !strings.HasPrefix(got, "event: decision\nid: 9\n") || strings.Count(got, "\n") != 3 {
			t.Errorf("listener %d is told %q", i, got)
		}
	}
}
