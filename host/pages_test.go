package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// TestPages asks for the pages of a running server, after a knock by somebody who would
// like to write them.
func TestPages(t *testing.T) {
	w := newWorld(t, adminAPI+doorPolicy, map[string][]byte{"door.wasm": doorOpen})
	p := w.peer()
	k := w.knock(p, "ada", w.room("11", "knock"))
	const probe = "<script>alert(1)</script>\x1b[31m\u202e"
	k.Reason, k.Displayname = "reason "+probe, "name "+probe
	w.mustKnock(p, k, peer.Allowed)
	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	base := "http://" + w.adminListener.Addr().String()
	get := func(path, host string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	if status, body := get("/decisions", ""); status != 200 || strings.Contains(body, "@ada") || !strings.Contains(body, "Admin token") {
		t.Errorf("decisions for who is not logged in: %d, want the login\n%s", status, body)
	}
	token, err := os.ReadFile(filepath.Join(w.cfg.StateDir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.PostForm(base+"/login", url.Values{"token": {string(token)}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if got := answer.Request.URL.Path; answer.StatusCode != 200 || got != "/" {
		t.Fatalf("the login: %d at %s, want 200 at /", answer.StatusCode, got)
	}
	list := ask[[]admin.Decision](w, "GET", "/decisions", nil)
	if len(list) != 2 {
		t.Fatalf("%d decisions are stored, want the 2 of a knock", len(list))
	}
	for path, want := range map[string]string{
		"/": "allow", "/decisions": "@ada:", "/decisions/" + list[0].RequestID: "reason \\u003cscript", "/policies": "door", "/playground": "Judge",
		"/knocks": `reason &lt;script&gt;alert(1)&lt;/script&gt;<span class="sign">U+001B</span>[31m<span class="sign">U+202E</span>`,
	} {
		status, body := get(path, "")
		if path == "/decisions/"+list[0].RequestID { // the JSON may have it either way
			body = strings.ReplaceAll(body, "reason &lt;script", want)
		}
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("GET %s: %d, want 200 with %q\n%s", path, status, want, body)
		}
		for _, bad := range []string{"<script>alert", "\x1b", "\u202e"} {
			if strings.Contains(body, bad) {
				t.Errorf("GET %s: has %q as it is", path, bad)
			}
		}
	}
	if status, _ := get("/", "evil.example"); status != http.StatusMisdirectedRequest {
		t.Errorf("GET / by another name: %d, want 421", status)
	}
}
