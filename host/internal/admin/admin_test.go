package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func get(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestAnswers(t *testing.T) {
	measured := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("measured")) })
	right := Check{"store", func(context.Context) (string, error) { return "takes writes", nil }}
	wrong := Check{"upstream", func(context.Context) (string, error) { return "lost", errors.New(`answered "no"`) }}
	tests := []struct {
		name, method, path string
		checks             []Check
		status             int
		body               string
	}{
		{"alive", "GET", "/health", []Check{wrong}, 200, `{"status":"ok"}`},
		{"ready", "GET", "/readyz", []Check{right}, 200, `{"ready":true,"checks":[{"name":"store","ok":true,"text":"takes writes"}]}`},
		{"one is wrong", "GET", "/readyz", []Check{right, wrong}, 503, `{"ready":false,"checks":[{"name":"store","ok":true,"text":"takes writes"},{"name":"upstream","ok":false,"text":"answered \"no\""}]}`},
		{"metrics", "GET", "/metrics", nil, 200, "measured"},
		{"metrics by another method", "POST", "/metrics", nil, 405, ""},
		{"another method", "POST", "/readyz", nil, 405, ""},
		{"another path", "GET", "/readyz/x", nil, 404, ""},
		{"the root", "GET", "/", nil, 404, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := get(New(Options{Checks: tt.checks, Metrics: measured}), tt.method, tt.path)
			if got := strings.TrimSpace(w.Body.String()); w.Code != tt.status || tt.body != "" && got != tt.body {
				t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.path, w.Code, got, tt.status, tt.body)
			}
		})
	}
}

// TestChecksAreShared: whoever asks within a second gets the same outcome, and the
// checks run once for all who wait.
func TestChecksAreShared(t *testing.T) {
	clock := time.Unix(1000, 0)
	var runs atomic.Int32
	release := make(chan struct{})
	h := New(Options{Now: func() time.Time { return clock }, Checks: []Check{{"slow", func(context.Context) (string, error) {
		runs.Add(1)
		<-release
		return "", nil
	}}}})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if w := get(h, "GET", "/readyz"); w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	close(release)
	wg.Wait()
	if n := runs.Load(); n != 1 {
		t.Errorf("the check ran %d times for 50 who asked at once, want 1", n)
	}
	for _, step := range []time.Duration{maxAge, -time.Hour} { // also where the clock is set back
		was := runs.Load()
		clock = clock.Add(step)
		if get(h, "GET", "/readyz"); runs.Load() != was+1 {
			t.Errorf("after %v the check ran %d times, want %d", step, runs.Load(), was+1)
		}
	}
}

// TestHangingCheck: a check that hangs is wrong, after a time that is bounded.
func TestHangingCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Checks: []Check{{"hangs", func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}}}})
		begin := time.Now()
		w := get(h, "GET", "/readyz")
		if took := time.Since(begin); w.Code != 503 || took > checkTime {
			t.Errorf("%d %s after %v, want 503 within %v", w.Code, w.Body, took, checkTime)
		}
	})
}
