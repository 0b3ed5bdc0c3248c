package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/store"
)

// BenchmarkOverview has a running server answer with its pages while the store has many
// decisions of the last month. "login" is the floor: a page that reads nothing.
//
//	KNOCKGATE_STORE_DECISIONS=1000000 go test -run '^$' -bench Overview -benchtime 20x -timeout 30m ./host
func BenchmarkOverview(b *testing.B) {
	n := 10_000
	if v := os.Getenv("KNOCKGATE_STORE_DECISIONS"); v != "" {
		if _, err := fmt.Sscan(v, &n); err != nil {
			b.Fatal(err)
		}
	}
	w := newWorld(b, adminAPI+doorPolicy, map[string][]byte{"door.wasm": door(b, 0)})
	fillDecisions(b, w.store, n)
	token, err := os.ReadFile(filepath.Join(w.cfg.StateDir, "admin.token"))
	if err != nil {
		b.Fatal(err)
	}
	base := "http://" + w.adminListener.Addr().String()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	answer, err := browser.PostForm(base+"/login", url.Values{"token": {strings.TrimSpace(string(token))}, "next": {"/"}})
	if err != nil {
		b.Fatal(err)
	}
	answer.Body.Close()
	for _, page := range []struct{ name, path, has string }{
		{"login", "/login", "<form"},
		{"1h", "/?span=1h", "Refused origins"},
		{"24h", "/", "Refused origins"},
		{"7d", "/?span=7d", "Refused origins"},
		{"decisions", "/decisions?verdict=deny", "<td"},
	} {
		b.Run(page.name, func(b *testing.B) {
			for b.Loop() {
				answer, err := browser.Get(base + page.path)
				if err != nil {
					b.Fatal(err)
				}
				text, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(text), page.has) {
					b.Fatalf("%s: %d, %v, want 200 and %q in\n%.2000s", page.path, answer.StatusCode, err, page.has, text)
				}
			}
		})
	}
}

// fillDecisions stores n decisions of the last 30 days, the newest last.
func fillDecisions(b *testing.B, st *store.Store, n int) {
	b.Helper()
	detail := `{"facts":{"reason":"` + strings.Repeat("x", 900) + `"},"steps":[]}`
	step := 30 * 24 * time.Hour / time.Duration(n)
	begin := time.Now().Add(-30 * 24 * time.Hour)
	for i := range n {
		d := store.Decision{
			RequestID: fmt.Sprintf("%010d", i), At: begin.Add(time.Duration(i) * step), Phase: "make_knock", Room: fmt.Sprintf("!r%d:x", i%50),
			User: fmt.Sprintf("@u%d:y", i*7919%n), Origin: fmt.Sprintf("s%d.example", i*31%5000), Verdict: "deny", Policy: "door",
			Revision: "r", Status: 403, Errcode: "M_FORBIDDEN", Total: time.Duration(i%50) * time.Millisecond, Detail: detail,
		}
		if i%4 == 0 {
			d.Verdict, d.Policy, d.Status, d.Errcode = "allow", "", 200, ""
		}
		for !st.AppendDecision(d) {
			if err := st.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := st.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
}
