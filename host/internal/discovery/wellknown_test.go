package discovery

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

func TestParseWellKnown(t *testing.T) {
	tests := []struct {
		name, body string
		want       matrix.ServerName // "" for an error
	}{
		{"plain", `{"m.server":"d.test:443"}`, "d.test:443"},
		{"space and other members", " {\"m.client\": {\"a\":[1,null]}, \"m.server\" : \"d.test\"}\n", "d.test"},
		{"escaped", `{"m\u002eserver":"d\u002etest"}`, "d.test"},
		{"empty", ``, ""},
		{"no member", `{}`, ""},
		{"other case", `{"M.Server":"d.test"}`, ""},
		{"twice", `{"m.server":"d.test","m.server":"e.test"}`, ""},
		{"null", `{"m.server":null}`, ""},
		{"number", `{"m.server":1}`, ""},
		{"empty name", `{"m.server":""}`, ""},
		{"URL", `{"m.server":"https://d.test"}`, ""},
		{"no name", `{"m.server":"a b"}`, ""},
		{"array", `["m.server"]`, ""},
		{"not closed", `{"m.server":"d.test"`, ""},
		{"something after", `{"m.server":"d.test"}x`, ""},
		{"deep", strings.Repeat(`{"a":`, 20000), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseWellKnown([]byte(tt.body))
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("parseWellKnown(%.60q) = %q, %v, want %q", tt.body, got, err, tt.want)
			}
		})
	}
}

// FuzzParseWellKnown: what is returned is a server name, and nothing is
// returned on error.
func FuzzParseWellKnown(f *testing.F) {
	for _, s := range []string{
		`{"m.server":"d.test:443"}`, `{"m.server":"[::1]"}`, `{"m.server":"1.2.3.4:8448","a":{}}`,
		`{"m\u002eserver":"d"}`, `{"m.server":"d","m.server":"d"}`, `{"m.server":null}`, `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseWellKnown(body)
		if err != nil {
			if got != "" {
				t.Fatalf("parseWellKnown(%q) = %q with error %v", body, got, err)
			}
			return
		}
		if _, err := matrix.ParseServerName(string(got)); err != nil {
			t.Fatalf("parseWellKnown(%q) = %q: %v", body, got, err)
		}
	})
}

func TestWellKnownLifetime(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	tests := []struct {
		name                  string
		cacheControl, expires string
		want                  time.Duration
	}{
		{"nothing", "", "", 24 * time.Hour},
		{"max-age", "max-age=3600", "", time.Hour},
		{"max-age among others", `public, Max-Age="3600", immutable`, "", time.Hour},
		{"max-age before expires", "max-age=3600", date(2 * time.Hour), time.Hour},
		{"too long", "max-age=999999999", "", 48 * time.Hour},
		{"beyond any number", "max-age=99999999999999999999", "", 24 * time.Hour},
		{"too short", "max-age=1", "", 5 * time.Minute},
		{"negative", "max-age=-1", "", 24 * time.Hour},
		{"no-store", "no-store, max-age=3600", "", 5 * time.Minute},
		{"expires", "", date(2 * time.Hour), 2 * time.Hour},
		{"expired", "", date(-time.Hour), 5 * time.Minute},
		{"expires no date", "", "0", 5 * time.Minute},
	}
	for _, tt := range tests {
		h := http.Header{}
		if tt.cacheControl != "" {
			h.Set("Cache-Control", tt.cacheControl)
		}
		if tt.expires != "" {
			h.Set("Expires", tt.expires)
		}
		if got := wellKnownLifetime(h, now); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestWellKnownFetch: what a host may do with the file, and what comes of it.
// "" means that there is no delegation.
func TestWellKnownFetch(t *testing.T) {
	redirect := func(to string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, to, http.StatusFound) }
	}
	reply := func(status int, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(status)
			fmt.Fprint(rw, body)
		}
	}
	const good = `{"m.server":"d.test:443"}`
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    matrix.ServerName
	}{
		{"plain", reply(200, good), "d.test:443"},
		{"padded up to the cap", reply(200, good+strings.Repeat(" ", MaxWellKnown-len(good))), "d.test:443"},
		{"one byte over the cap", reply(200, good+strings.Repeat(" ", MaxWellKnown-len(good)+1)), ""},
		{"404", reply(404, good), ""},
		{"204", reply(204, ""), ""},
		{"206", reply(206, good), ""},
		{"redirect", func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/there" {
				fmt.Fprint(rw, good)
				return
			}
			http.Redirect(rw, r, "/there", http.StatusMovedPermanently)
		}, "d.test:443"},
		{"redirect to itself", redirect("/.well-known/matrix/server"), ""},
		{"redirect for ever", func(rw http.ResponseWriter, r *http.Request) { redirect(r.URL.Path+"x")(rw, r) }, ""},
		{"redirect to HTTP", redirect("http://well.test/"), ""},
		{"redirect to a file", redirect("file:///etc/passwd"), ""},
		{"endless", func(rw http.ResponseWriter, r *http.Request) {
			for {
				if _, err := rw.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, ""},
		{"endless header", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("X", strings.Repeat("x", 2*MaxHeader))
			fmt.Fprint(rw, good)
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.hosts["well.test"] = []string{"127.0.0.1"}
			c := w.client(nil)
			c.wellKnownPort = w.serve("127.0.0.1", w.certificate(false, "well.test"), tt.handler)
			got, ok, err := c.wellKnown(t.Context(), "well.test")
			if got != tt.want || ok != (tt.want != "") || err != nil {
				t.Errorf("wellKnown = %q, %v, %v, want %q", got, ok, err, tt.want)
			}
		})
	}
}

// TestWellKnownRedirectToMetadata: the address is refused before a socket
// connects to it, though the host itself is open.
func TestWellKnownRedirectToMetadata(t *testing.T) {
	for _, to := range []string{"https://169.254.169.254/", "https://meta.test/", "https://[::ffff:169.254.169.254]/"} {
		w := newWorld(t)
		w.hosts["well.test"] = []string{"127.0.0.1"}
		w.hosts["meta.test"] = []string{"169.254.169.254"}
		c := w.client(nil)
		c.wellKnownPort = w.serve("127.0.0.1", w.certificate(false, "well.test"), func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, to, http.StatusFound)
		})
		_, err := c.fetchWellKnown(t.Context(), "well.test")
		wantAddressError(t, err, "169.254.169.254")
	}
}

// TestWellKnownWrongCertificate: the file counts only under the host's name.
func TestWellKnownWrongCertificate(t *testing.T) {
	for name, selfSigned := range map[string]bool{"other.test": false, "well.test": true} {
		w := newWorld(t)
		w.hosts["well.test"] = []string{"127.0.0.1"}
		c := w.client(func(o *Options) { o.LoopbackSelfSigned = true })
		c.wellKnownPort = w.serve("127.0.0.1", w.certificate(selfSigned, name), func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, `{"m.server":"d.test"}`)
		})
		if got, ok, err := c.wellKnown(t.Context(), "well.test"); ok || err != nil {
			t.Errorf("certificate of %q, self-signed %v: wellKnown = %q, %v, want none", name, selfSigned, got, err)
		}
	}
}

// TestWellKnownCache: how often the host is asked, and what holds meanwhile.
func TestWellKnownCache(t *testing.T) {
	w := newWorld(t)
	w.hosts["well.test"] = []string{"127.0.0.1"}
	var asked atomic.Int64
	var broken atomic.Bool
	c := w.client(nil)
	c.wellKnownPort = w.serve("127.0.0.1", w.certificate(false, "well.test"), func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if broken.Load() {
			http.Error(rw, "", http.StatusBadGateway)
			return
		}
		rw.Header().Set("Cache-Control", "max-age=3600")
		fmt.Fprint(rw, `{"m.server":"d.test:443"}`)
	})
	steps := []struct {
		after  time.Duration
		broken bool
		want   matrix.ServerName
		asked  int64
	}{
		{0, false, "d.test:443", 1},
		{59 * time.Minute, false, "d.test:443", 1},
		{2 * time.Minute, false, "d.test:443", 2},
		{61 * time.Minute, true, "d.test:443", 3}, // fails; the old answer is still good
		{time.Minute, true, "d.test:443", 3},      // and it is not asked again at once
		{2 * time.Minute, true, "d.test:443", 4},  // 2 minutes have passed
		{3 * time.Minute, true, "d.test:443", 4},  // the second failure holds for 4
		{2 * time.Hour, true, "", 5},              // the old answer is too old
		{7 * time.Minute, true, "", 5},
		{2 * time.Minute, false, "d.test:443", 6},
	}
	for i, s := range steps {
		w.advance(s.after)
		broken.Store(s.broken)
		got, _, err := c.wellKnown(t.Context(), "Well.Test.")
		if got != s.want || err != nil || asked.Load() != s.asked {
			t.Fatalf("step %d: wellKnown = %q, %v after %d requests, want %q after %d", i, got, err, asked.Load(), s.want, s.asked)
		}
	}
}

// TestWellKnownCancelled: a caller that leaves is no answer of the host.
func TestWellKnownCancelled(t *testing.T) {
	w := newWorld(t)
	w.hosts["well.test"] = []string{"127.0.0.1"}
	ctx, cancel := context.WithCancel(t.Context())
	c := w.client(nil)
	c.wellKnownPort = w.serve("127.0.0.1", w.certificate(false, "well.test"), func(rw http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, _, err := c.wellKnown(ctx, "well.test"); err == nil {
		t.Fatal("wellKnown with a cancelled context: got no error")
	}
	if e, ok := c.wellKnowns.get("well.test"); ok {
		t.Errorf("the cancelled lookup was remembered: %+v", e)
	}
}

func TestErrorLifetime(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: 2 * time.Minute, 2: 4 * time.Minute, 5: 32 * time.Minute, 6: time.Hour, 1 << 40: time.Hour} {
		if got := errorLifetime(failures); got != want {
			t.Errorf("errorLifetime(%d) = %v, want %v", failures, got, want)
		}
	}
}
