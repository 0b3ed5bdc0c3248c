package policylist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/config"
)

// listServer serves one text, and tells how often it was asked and answered 304.
type listServer struct {
	*httptest.Server
	mu                sync.Mutex
	answer            func(w http.ResponseWriter, r *http.Request)
	asked, unmodified int
}

func newListServer(t *testing.T) *listServer {
	s := &listServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		answer := s.answer
		s.asked++
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *listServer) set(answer func(w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// serve has the server answer with a text and its entity tag.
func (s *listServer) serve(text, etag string) {
	s.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			s.mu.Lock()
			s.unmodified++
			s.mu.Unlock()
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, text)
	})
}

func (s *listServer) fails(status int, body string) {
	s.set(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

// TestFetch: a list is fetched, kept as a copy, not read again where the server says
// it is unchanged, and stays as it was by whatever is wrong with the answer, in this
// process and in the next.
func TestFetch(t *testing.T) {
	srv := newListServer(t)
	where, err := url.Parse(srv.URL + "/list.txt?x=1")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "lists")
	var log bytes.Buffer
	o := Options{
		Lists: []config.List{{Name: "bad", URL: where, Every: time.Hour}}, Dir: dir,
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	open := func() (*Lists, error) { return Open(t.Context(), o) }

	srv.fails(http.StatusBadGateway, "one.example\n")
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "list bad") || !strings.Contains(err.Error(), "502") {
		t.Errorf("a first start without an answer: %v", err)
	}
	o.Offline = true
	if l, err := open(); err != nil || l.lists["bad"].set.Load().entries != 0 {
		t.Errorf("a command that looks, without a copy: %v", err)
	}
	o.Offline = false

	srv.serve("\ufeff# ours\nOne.example\n.spam.example\n", `"v1"`)
	l, err := open()
	if err != nil {
		t.Fatal(err)
	}
	expect := func(step string, l *Lists, key string, want bool) {
		t.Helper()
		if has, known := l.Has([]byte("bad"), []byte(key)); has != want || !known {
			t.Errorf("%s: Has(%q) = %v, %v; want %v, true", step, key, has, known, want)
		}
	}
	expect("first", l, "ONE.example", true)
	expect("first", l, "a.spam.example", true)
	one := l.lists["bad"]
	if _, err := one.source.fetch(t.Context()); !errors.Is(err, errUnchanged) || srv.unmodified != 1 {
		t.Errorf("again: %v, and %d answers of 304; want errUnchanged and 1", err, srv.unmodified)
	}

	if s := l.Status(); len(s) != 1 || s[0].Entries != 2 || s[0].Stale || time.Since(s[0].Modified) > time.Hour {
		t.Errorf("status %+v", s)
	}

	for _, bad := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request)
		want   string
	}{
		{"an error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "500"},
		{"no text", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a\n\xff\xfe\n") }, "line 2"},
		{"too many globs", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("a*b\n", maxGlobs+1)) }, "globs"},
		{"too much", func(w http.ResponseWriter, _ *http.Request) {
			for line, n := []byte(strings.Repeat("# filler\n", 1000)), 0; n <= maxText; n += len(line) {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		}, "MiB"},
		{"an end too early", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "two.example\n")
		}, "unexpected EOF"},
		{"a redirect out of sight", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2:1/", http.StatusFound)
		}, "not https"},
		{"a redirect without end", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, "redirects"},
	} {
		srv.set(bad.answer)
		if _, err := one.source.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v, want %q", bad.name, err, bad.want)
		}
		expect(bad.name, l, "one.example", true)
	}

	// The next process takes the copy, whatever the server does.
	asked := srv.asked
	l, err = open()
	if err != nil || srv.asked != asked {
		t.Fatalf("a later start: %v, and asked %d times; want none", err, srv.asked-asked)
	}
	expect("copy", l, "one.example", true)
	if got := l.lists["bad"].source.(*source).etag; got != `"v1"` {
		t.Errorf("entity tag of the copy: %s", got)
	}

	// A copy of another URL, or a damaged one, is not taken for this one.
	srv.fails(http.StatusNotFound, "")
	o.Lists[0].URL = &url.URL{Scheme: "http", Host: where.Host, Path: "/other.txt"}
	if _, err := open(); err == nil {
		t.Error("the copy of another URL was taken")
	}
	o.Lists[0].URL = where
	copyFile := filepath.Join(dir, "bad.txt")
	if err := os.WriteFile(copyFile, fmt.Appendf(nil, "# from %s \"v1\"\n\xff\n", where), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "line 1") || !strings.Contains(err.Error(), "404") {
		t.Errorf("a damaged copy and no answer: %v", err)
	}
}

// TestWatchFetches: a list is fetched at the start of the watch and again after its
// time; the end of the watch leaves nothing running.
func TestWatchFetches(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	srv := newListServer(t)
	srv.serve("one.example\n", `"v1"`)
	where, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), Options{
		Lists: []config.List{{Name: "bad", URL: where, Every: time.Millisecond}}, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.serve("two.example\n", `"v2"`)
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { done <- l.Watch(ctx, true) }()
	for {
		if has, _ := l.Has([]byte("bad"), []byte("two.example")); has {
			break
		}
		select {
		case err := <-done:
			t.Fatalf("the watch ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	srv.Close()
}
