package web

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/admin/web/webtest"
)

// readPages are all pages that are read.
var readPages = []string{
	"/", "/?span=1h", "/?span=7d", "/?span=none", "/decisions", "/decisions?before=60", "/decisions?verdict=deny&faults=1&since=24h",
	"/decisions?monitor=1&user=" + url.QueryEscape(webtest.Hostile) + "&room=" + url.QueryEscape(webtest.Hostile) + "&policy=" + url.QueryEscape(webtest.Hostile),
	"/decisions/REQ0000005", "/policies", "/policies?new=" + url.QueryEscape(webtest.Hostile), "/knocks", "/knocks?room=" + url.QueryEscape(webtest.Hostile), "/playground",
}

func TestPages(t *testing.T) {
	v := newVisitor(t, nil)
	v.login()
	for _, path := range readPages {
		w := v.get(path)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("GET %s: %d %s, want 200 text/html; charset=utf-8", path, w.Code, w.Header().Get("Content-Type"))
		}
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("GET %s: Cache-Control %q, want no-store", path, got)
		}
		checkPage(t, path, w.Body.String())
	}
	revision := v.revision()
	for _, test := range []struct {
		path string
		form url.Values
	}{
		{"/policies/replay", url.Values{"do": {"add"}, "revision": {revision}, "policy": {"new"}, "module": {"m"}, "settings": {`{"a":"` + "\u202e</textarea>" + `"}`}}},
		{"/policies/replay", url.Values{"do": {"mode"}, "revision": {revision}, "policy": {webtest.Hostile}, "mode": {webtest.Hostile}}},
		{"/policies/change", url.Values{"change": {fmt.Sprintf(`{"do":"mode","revision":%q,"policy":"servers","mode":"monitor"}`, revision)}}},
		{"/policies/reload", url.Values{}},
		{"/playground", url.Values{"facts": {"{}"}, "event": {"{}"}}},
		{"/playground", url.Values{"facts": {`{"a":"</textarea><script>"}`}, "module": {"m"}, "settings": {"{}"}}},
	} {
		w := v.post(test.path, test.form)
		if w.Code != http.StatusOK {
			t.Errorf("POST %s %v: %d, want 200\n%s", test.path, test.form, w.Code, w.Body)
		}
		checkPage(t, test.path, w.Body.String())
	}
}

// revision returns the one in force.
func (v *visitor) revision() string {
	status, err := v.fake.Status(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	return status.Revision
}

func TestFaults(t *testing.T) {
	v := newVisitor(t, nil)
	v.login()
	for _, test := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("none such %s: %w", webtest.Hostile, admin.ErrNotFound), 404},
		{fmt.Errorf("another revision %s: %w", webtest.Hostile, admin.ErrConflict), 409},
		{fmt.Errorf("no %s: %w", webtest.Hostile, admin.ErrInvalid), 400},
		{errors.New("the disk is full " + webtest.Hostile), 500},
	} {
		v.fake.Fail(test.err)
		for _, path := range []string{"/", "/decisions", "/decisions/REQ0000005", "/policies", "/knocks", "/playground"} {
			w := v.get(path)
			if w.Code != test.want {
				t.Errorf("GET %s with %v: %d, want %d", path, test.err, w.Code, test.want)
			}
			checkPage(t, path, w.Body.String())
		}
	}
	v.fake.Fail(nil)
	for path, want := range map[string]int{
		"/nothing": 404, "/decisions/NONE": 404, "/decisions?since=never": 400, "/decisions?before=-1": 400, "/decisions?before=x": 400,
		"/static/none": 404, "/static/..%2fVENDORED": 404, "/static/vendored%2fhtmx.LICENSE": 404,
	} {
		if w := v.get(path); w.Code != want {
			t.Errorf("GET %s: %d, want %d", path, w.Code, want)
		}
	}
}

func TestNobodyWithoutLogin(t *testing.T) {
	v := newVisitor(t, nil)
	for _, path := range append(slices.Clone(readPages), "/nothing", "/decisions/stream") {
		w := v.get(path)
		want := http.StatusSeeOther
		if path == "/decisions/stream" {
			want = http.StatusUnauthorized
		}
		if w.Code != want || strings.Contains(w.Body.String(), "example") {
			t.Errorf("GET %s without a login: %d, want %d and nothing of the page\n%s", path, w.Code, want, w.Body)
		}
	}
	v.login()
	form := v.form
	for _, cookie := range []string{"", "x", strings.Repeat("A", 52)} {
		v.cookie = cookie
		for _, path := range []string{"/logout", "/policies/upload", "/policies/replay", "/policies/change", "/policies/reload", "/knocks/decline", "/playground"} {
			w := v.post(path, url.Values{"form": {form}, "facts": {"{}"}})
			if w.Code != http.StatusUnauthorized {
				t.Errorf("POST %s with the cookie %q: %d, want 401", path, cookie, w.Code)
			}
		}
	}
	if applied := v.fake.Applied(); len(applied) != 0 {
		t.Errorf("changes were made: %v", applied)
	}
	for name := range served {
		if w := v.get("/static/" + name); w.Code != 200 || w.Body.Len() < 500 {
			t.Errorf("GET /static/%s: %d with %d bytes, want the file", name, w.Code, w.Body.Len())
		}
	}
}

func TestLogin(t *testing.T) {
	v := newVisitor(t, nil)
	cookie := v.login()
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" || cookie.MaxAge != 12*60*60 || len(cookie.Value) < 26 {
		t.Errorf("the cookie is %q", cookie)
	}
	if cookie.Secure {
		t.Error("the cookie is Secure without TLS: no browser would send it back")
	}
	r := httptest.NewRequest("POST", "https://admin.example/login", strings.NewReader(url.Values{"token": {rightToken}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := v.do(r)
	if got := w.Result().Cookies(); len(got) != 1 || !got[0].Secure || got[0].Name != "__Host-knockgate" {
		t.Errorf("over TLS the cookies are %v, want one that is Secure and named __Host-knockgate", got)
	}

	t.Run("it ends", func(t *testing.T) {
		for name, end := range map[string]func(v *visitor){
			"after 12 hours":         func(v *visitor) { v.set(rightToken, 12*time.Hour) },
			"with another token":     func(v *visitor) { v.set("another", 0) },
			"with an empty token":    func(v *visitor) { v.set("", 0) },
			"with a logout":          func(v *visitor) { v.post("/logout", url.Values{}) },
			"with 64 other sessions": func(v *visitor) { v.fill() },
		} {
			v := newVisitor(t, nil)
			v.login()
			v.set(rightToken, time.Hour)
			if w := v.get("/"); w.Code != 200 {
				t.Fatalf("after a login and an hour: %d, want 200", w.Code)
			}
			end(v)
			if w := v.get("/"); w.Code != http.StatusSeeOther {
				t.Errorf("%s: GET / is %d, want 303 to the login", name, w.Code)
			}
		}
	})
	t.Run("wrong tokens", func(t *testing.T) {
		v := newVisitor(t, nil)
		for i := range loginBurst {
			w := v.postRaw("/login", url.Values{"token": {fmt.Sprint("wrong", i)}}, nil)
			if w.Code != http.StatusUnauthorized || len(w.Result().Cookies()) != 0 {
				t.Errorf("wrong token %d: %d with cookies %v, want 401 without", i, w.Code, w.Result().Cookies())
			}
		}
		if w := v.postRaw("/login", url.Values{"token": {"wrong"}}, nil); w.Code != http.StatusTooManyRequests {
			t.Errorf("after %d wrong tokens another one: %d, want 429", loginBurst, w.Code)
		}
		v.login() // nobody is kept out by the wrong tokens of others
		v.set(rightToken, loginEvery)
		if w := v.postRaw("/login", url.Values{"token": {"wrong"}}, nil); w.Code != http.StatusUnauthorized {
			t.Errorf("a wrong token %s later: %d, want 401", loginEvery, w.Code)
		}
	})
	t.Run("no token", func(t *testing.T) {
		for name, token := range map[string]func() (string, error){
			"empty":      func() (string, error) { return "", nil },
			"unreadable": func() (string, error) { return "secret-path", errors.New("secret-path: no such file") },
		} {
			v := newVisitor(t, func(o *Options) { o.Token = token })
			for _, try := range []string{"", "secret-path"} {
				w := v.postRaw("/login", url.Values{"token": {try}}, nil)
				if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret-path") || len(w.Result().Cookies()) != 0 {
					t.Errorf("%s token, %q given: %d, want 503, no cookie and no reason\n%s", name, try, w.Code, w.Body)
				}
			}
		}
	})
	t.Run("next", func(t *testing.T) {
		for next, want := range map[string]string{
			"/decisions/ABC": "/decisions/ABC", "/decisions?verdict=deny": "/decisions?verdict=deny", "/": "/", "/policies": "/policies",
			"//evil.example": "/", "/\\evil.example": "/", "https://evil.example/": "/", "/decisions\r\nX: y": "/", "javascript:alert(1)": "/", "/logout": "/",
			"/decisionsx": "/", "/decisions/\\evil": "/",
		} {
			w := v.postRaw("/login", url.Values{"token": {rightToken}, "next": {next}}, nil)
			if got := w.Header().Get("Location"); got != want {
				t.Errorf("next %q leads to %q, want %q", next, got, want)
			}
		}
	})
}

// fill opens as many sessions as there can be.
func (v *visitor) fill() {
	for range maxSessions {
		if w := v.postRaw("/login", url.Values{"token": {rightToken}}, nil); w.Code != http.StatusSeeOther {
			v.t.Fatalf("login: %d", w.Code)
		}
	}
}

func TestForms(t *testing.T) {
	v := newVisitor(t, nil)
	v.login()
	change := fmt.Sprintf(`{"do":"remove","revision":%q,"policy":"servers"}`, v.revision())
	for _, test := range []struct {
		name   string
		form   string
		header map[string]string
	}{
		{"no form token", "", nil},
		{"a wrong form token", strings.Repeat("A", 26), nil},
		{"another site", v.form, map[string]string{"Sec-Fetch-Site": "cross-site"}},
		{"another port of this machine", v.form, map[string]string{"Sec-Fetch-Site": "same-site"}},
		{"another origin", v.form, map[string]string{"Origin": "https://evil.example"}},
		{"no origin", v.form, map[string]string{"Origin": "null"}},
	} {
		for _, path := range []string{"/policies/change", "/policies/replay", "/policies/reload", "/knocks/decline", "/playground", "/logout"} {
			w := v.postRaw(path, url.Values{"form": {test.form}, "change": {change}}, test.header)
			if w.Code != http.StatusForbidden {
				t.Errorf("%s: POST %s is %d, want 403", test.name, path, w.Code)
			}
		}
	}
	if w := v.postRaw("/login", url.Values{"token": {rightToken}}, map[string]string{"Sec-Fetch-Site": "cross-site"}); w.Code != http.StatusForbidden {
		t.Errorf("a login from another site: %d, want 403", w.Code)
	}
	if applied := v.fake.Applied(); len(applied) != 0 {
		t.Errorf("changes were made: %v", applied)
	}
	if w := v.post("/policies/change", url.Values{"change": {`{"do":"remove","nothing":1}`}}); w.Code != http.StatusForbidden {
		t.Errorf("a change with an unknown key: %d, want 403", w.Code)
	}
	for i, want := range []int{200, 409} {
		if w := v.post("/policies/change", url.Values{"change": {change}}); w.Code != want {
			t.Errorf("the change, sent %d times before: %d, want %d", i, w.Code, want)
		}
	}
	if applied := v.fake.Applied(); len(applied) != 1 || applied[0].Policy != "servers" || applied[0].Do != "remove" {
		t.Errorf("the changes are %v, want the one, once", applied)
	}
	w := v.post("/playground", url.Values{"facts": {strings.Repeat(" ", maxForm)}})
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a form of more than 1 MiB: %d, want 413", w.Code)
	}
	for _, form := range []url.Values{
		{"do": {"add"}, "revision": {""}}, {"do": {"add"}, "revision": {"r"}, "settings": {"{"}}, {"do": {"add"}, "revision": {"r"}, "settings": {"[]"}},
	} {
		if w := v.post("/policies/replay", form); w.Code != http.StatusBadRequest {
			t.Errorf("the change %v: %d, want 400", form, w.Code)
		}
	}
}

func TestChangeShowsTOML(t *testing.T) {
	v := newVisitor(t, nil)
	v.login()
	w := v.post("/policies/change", url.Values{"change": {fmt.Sprintf(`{"do":"mode","revision":%q,"policy":"reasons","mode":"enforce"}`, v.revision())}})
	for _, want := range []string{"[[policy]]", "mode = &#34;enforce&#34;", "digest = &#34;sha256:", "most = 3", "share = 0.5", "deny = [&#34;*.spam.example&#34;]"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page after a change does not have %q\n%s", want, w.Body)
		}
	}
}

func TestKnocks(t *testing.T) {
	v := newVisitor(t, nil)
	v.login()
	pending, err := v.fake.Pending(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if w := v.post("/knocks/decline", url.Values{"room": {strconv.Quote(pending[0].Room)}, "user": {strconv.Quote(pending[0].User)}, "reason": {"not today"}}); w.Code != http.StatusSeeOther {
		t.Errorf("decline: %d, want 303\n%s", w.Code, w.Body)
	}
	if got, want := v.fake.Declined(), []string{pending[0].User + " not today"}; !slices.Equal(got, want) {
		t.Errorf("declined: %q, want %q", got, want)
	}
	for reason, want := range map[string]int{strings.Repeat("x", maxReason+1): 400, "\xff": 400, "x": 404} {
		if w := v.post("/knocks/decline", url.Values{"room": {strconv.Quote(pending[0].Room)}, "user": {strconv.Quote(pending[0].User)}, "reason": {reason}}); w.Code != want {
			t.Errorf("decline with %.10q: %d, want %d", reason, w.Code, want)
		}
	}

	v = newVisitor(t, func(o *Options) { o.Knocks = nil })
	v.login()
	if w := v.get("/knocks"); w.Code != 200 || !strings.Contains(w.Body.String(), "homeserver has the knocks") {
		t.Errorf("/knocks in gateway mode: %d, want 200 and where they are\n%s", w.Code, w.Body)
	}
	if w := v.post("/knocks/decline", url.Values{"room": {"!a:b"}, "user": {"@a:b"}}); w.Code != http.StatusNotFound {
		t.Errorf("decline in gateway mode: %d, want 404", w.Code)
	}
}

func TestVendored(t *testing.T) {
	list, err := os.Open("static/VENDORED")
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	seen := map[string]bool{}
	for lines := bufio.NewScanner(list); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) != 5 {
			t.Fatalf("static/VENDORED: %q has %d fields, want package, version, file there, file here, SHA-256", lines.Text(), len(f))
		}
		body, err := os.ReadFile(filepath.Join("static", "vendored", f[3]))
		if err != nil {
			t.Fatal(err)
		}
		seen[f[3]] = true
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != f[4] {
			t.Errorf("%s has the SHA-256 %x, want %s", f[3], sum, f[4])
		}
		if strings.HasSuffix(f[3], ".js") || f[0] == "@picocss/pico" && strings.HasSuffix(f[3], ".css") {
			if !strings.Contains(string(body), f[1]) {
				t.Errorf("%s does not say that its version is %s", f[3], f[1])
			}
		}
	}
	there, err := os.ReadDir("static/vendored")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range there {
		if !seen[file.Name()] {
			t.Errorf("static/vendored/%s does not stand in static/VENDORED", file.Name())
		}
	}
	if len(seen) < 7 {
		t.Errorf("static/VENDORED has %d files, want 7", len(seen))
	}
}

// TestStream reads live rows over a connection whose server gives a page little time.
func TestStream(t *testing.T) {
	v := newVisitor(t, nil)
	v.login()
	server := httptest.NewServer(v.handler)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/decisions/stream?after=120", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: "knockgate", Value: v.cookie})
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("the stream: %d %s, want 200 text/event-stream", answer.StatusCode, got)
	}
	lines := bufio.NewScanner(answer.Body)
	v.fake.Add()
	v.fake.Add()
	var ids []string
	for len(ids) < 2 && lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			ids = append(ids, id)
			lines.Scan()
			row, _ := strings.CutPrefix(lines.Text(), "data: ")
			checkPage(t, "a live row", row)
			if !strings.Contains(row, "REQ0000"+id) || !strings.Contains(row, "&lt;script&gt;") {
				t.Errorf("the row of %s is %s", id, row)
			}
		}
	}
	if want := []string{"121", "122"}; !slices.Equal(ids, want) {
		t.Fatalf("the rows that came are %q, want %q (%v)", ids, want, lines.Err())
	}
	v.set("another", 0) // logged out: the stream ends
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Errorf("after the session ended the stream did not: %v", err)
	}
}
