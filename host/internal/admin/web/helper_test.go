package web

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/knockgate/knockgate/host/internal/admin/web/webtest"
)

// visitor is a browser, as far as these tests need one.
type visitor struct {
	t       *testing.T
	fake    *webtest.Fake
	handler http.Handler
	cookie  string
	form    string

	mu    sync.Mutex
	token string    // guarded by mu
	now   time.Time // guarded by mu
}

const rightToken = "correct-horse-battery-staple"

// newVisitor returns one who is not logged in.
func newVisitor(t *testing.T, edit func(*Options)) *visitor {
	t.Helper()
	v := &visitor{t: t, token: rightToken, now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	v.fake = webtest.New(v.clock)
	o := Options{Server: v.fake, Policies: v.fake, Decisions: v.fake, Knocks: v.fake, Now: v.clock, Token: func() (string, error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.token, nil
	}}
	if edit != nil {
		edit(&o)
	}
	v.handler = New(o)
	return v
}

func (v *visitor) clock() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

func (v *visitor) set(token string, later time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.token, v.now = token, v.now.Add(later)
}

func (v *visitor) do(r *http.Request) *httptest.ResponseRecorder {
	v.t.Helper()
	if v.cookie != "" {
		r.AddCookie(&http.Cookie{Name: "knockgate", Value: v.cookie})
	}
	w := httptest.NewRecorder()
	v.handler.ServeHTTP(w, r)
	if got := w.Header().Get("Content-Security-Policy"); got != contentPolicy {
		v.t.Errorf("%s %s: Content-Security-Policy is %q, want %q", r.Method, r.URL, got, contentPolicy)
	}
	return w
}

func (v *visitor) get(path string) *httptest.ResponseRecorder {
	v.t.Helper()
	return v.do(httptest.NewRequest("GET", path, nil))
}

// post sends a form, with the session's token unless form has one.
func (v *visitor) post(path string, form url.Values) *httptest.ResponseRecorder {
	v.t.Helper()
	if !form.Has("form") {
		form.Set("form", v.form)
	}
	return v.postRaw(path, form, nil)
}

func (v *visitor) postRaw(path string, form url.Values, header map[string]string) *httptest.ResponseRecorder {
	v.t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for key, value := range header {
		r.Header.Set(key, value)
	}
	return v.do(r)
}

var formToken = regexp.MustCompile(`name="form" value="([A-Z2-7]{26})"`)

// login logs in and remembers the cookie and the form token.
func (v *visitor) login() *http.Cookie {
	v.t.Helper()
	w := v.postRaw("/login", url.Values{"token": {v.token}}, nil)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || len(cookies) != 1 {
		v.t.Fatalf("login: %d with %d cookies, want 303 with 1\n%s", w.Code, len(cookies), w.Body)
	}
	v.cookie = cookies[0].Value
	found := formToken.FindStringSubmatch(v.get("/playground").Body.String())
	if found == nil {
		v.t.Fatal("/playground has no form token")
	}
	v.form = found[1]
	return cookies[0]
}

// Elements and attributes that pages are made of. A stranger's markup would bring
// others.
var (
	elements   = set("html head meta title link script body a header nav ul li form input button main h1 h2 h3 p small label section div details summary table caption thead tbody tr th td time span strong bdi dl dt dd meter code pre select option textarea article")
	attributes = set("lang charset name content rel href src defer class id tabindex method action type value aria-label aria-labelledby aria-describedby aria-current aria-hidden aria-live aria-pressed role scope colspan datetime hidden required autocomplete min max placeholder checked selected open data-chart data-stream hx-get hx-trigger hx-select hx-swap rows spellcheck accept enctype pattern title maxlength")
)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// checkPage holds a page to being well-formed UTF-8 of known elements and attributes,
// with no script or style in it, links and forms within these pages only, no id twice,
// and nothing a terminal or a reader could be fooled with.
func checkPage(t *testing.T, name, body string) {
	t.Helper()
	if !utf8.ValidString(body) {
		t.Errorf("%s: not UTF-8", name)
	}
	for _, r := range body {
		if unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r) {
			t.Errorf("%s: %U stands in the page as it is", name, r)
			break
		}
	}
	d := xml.NewDecoder(strings.NewReader(body))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	ids := map[string]bool{}
	var within []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			within = append(within, token.Name.Local)
			if !elements[token.Name.Local] {
				t.Errorf("%s: an element <%s>", name, token.Name.Local)
			}
			checkAttributes(t, name, token, ids)
		case xml.EndElement:
			within = within[:len(within)-1]
		case xml.CharData:
			for _, r := range string(token) {
				if r != '\n' && !unicode.IsPrint(r) && within[len(within)-1] != "textarea" {
					t.Errorf("%s: %U in <%s>", name, r, within[len(within)-1])
				}
			}
			if n := len(within); n > 0 && within[n-1] == "script" && strings.TrimSpace(string(token)) != "" {
				t.Errorf("%s: a script in the page: %q", name, token)
			}
		}
	}
}

func checkAttributes(t *testing.T, name string, e xml.StartElement, ids map[string]bool) {
	t.Helper()
	for _, a := range e.Attr {
		key := a.Name.Local
		if a.Name.Space != "" {
			key = a.Name.Space + ":" + key
		}
		if !attributes[key] {
			t.Errorf("%s: <%s> has an attribute %q", name, e.Name.Local, key)
		}
		switch key {
		case "href", "src", "action":
			own := strings.HasPrefix(a.Value, "/") && !strings.HasPrefix(a.Value, "//") || a.Value == "#main" || a.Value == "data:,"
			if !own {
				t.Errorf("%s: <%s %s=%q> leads elsewhere", name, e.Name.Local, key, a.Value)
			}
		case "id":
			if ids[a.Value] {
				t.Errorf("%s: the id %q stands twice", name, a.Value)
			}
			ids[a.Value] = true
		}
	}
	if e.Name.Local == "script" && (len(e.Attr) == 0 || e.Attr[0].Name.Local != "src") {
		t.Errorf("%s: a script that is no file", name)
	}
}
