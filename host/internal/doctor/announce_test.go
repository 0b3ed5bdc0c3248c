package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAnnouncements: the file is nobody else's to read, the last doctor counts,
// and one that ends takes away its own announcement alone.
func TestAnnouncements(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1000, 0)
	first, err := begin(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, File))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v, want a file of mode 0600", info, err)
	}
	target := func(s *session) string { return "/x/" + mark + s.token + ":y" }
	if announced(dir, target(first), now) == nil {
		t.Error("a doctor that has begun is not announced")
	}
	for name, at := range map[string]time.Time{"over": now.Add(lifetime), "not yet begun, by the clock": now.Add(-time.Second)} {
		if announced(dir, target(first), at) != nil {
			t.Errorf("%s: announced", name)
		}
	}
	for _, other := range []string{"/x/" + mark, "/x/" + mark + first.token[1:], "/x/" + first.token, "/" + mark + strings.Repeat("A", tokenLen)} {
		if announced(dir, other, now) != nil {
			t.Errorf("%s is taken for a probe", other)
		}
	}

	second, err := begin(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	if announced(dir, target(first), now) != nil || announced(dir, target(second), now) == nil {
		t.Error("the second doctor does not count, or the first still does")
	}
	if err := first.end(); err != nil || announced(dir, target(second), now) == nil {
		t.Errorf("the first took the second's announcement away: %v", err)
	}
	if err := second.end(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// TestAdvice: the lines of the program that answers, or those of all.
func TestAdvice(t *testing.T) {
	for i, a := range []advice{adviceRoute, adviceTarget, adviceHost, adviceAuthorization, adviceBody, adviceDown} {
		if got := a.of(""); len(got) != len(proxies) {
			t.Errorf("advice %d: %d lines, want one for each of %v", i, len(got), proxies)
		}
		for _, line := range a.of("") {
			if name, text, _ := strings.Cut(line, ": "); name == "" || text == "" {
				t.Errorf("advice %d: %q", i, line)
			}
		}
	}
	for server, want := range map[string]string{"nginx/1.22.1": "nginx: ", "Caddy 1.1 Caddy": "Caddy: ", "Apache/2.4.71 (Debian)": "Apache: "} {
		if got := adviceHost.of(server); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("Server %q: %q, want one line that begins with %q", server, got, want)
		}
	}
}
