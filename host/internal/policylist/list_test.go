package policylist

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/config"
)

const entries = "\ufeff# a comment\nEvil.Example\n\n.spam.example # all of it\n*.bad.example\r\nmx?.*.example\n@a:b.example\n"

func TestHas(t *testing.T) {
	s, err := parse([]byte(entries))
	if err != nil || s.entries != 5 {
		t.Fatalf("%d entries, err %v; want 5", s.entries, err)
	}
	for key, want := range map[string]bool{
		"evil.example": true, "EVIL.EXAMPLE": true, "a.evil.example": false, "evil.example.org": false,
		"a.spam.example": true, "A.b.SPAM.example": true, "spam.example": false, ".spam.example": false, "aspam.example": false,
		"x.bad.example": true, "bad.example": false,
		"mx1.a.example": true, "MX1.A.EXAMPLE": true, "mx.a.example": false,
		"@a:b.example": true, "": false, ".": false, "# a comment": false,
		strings.Repeat("a", maxEntry) + ".spam.example": false,
	} {
		if got := s.has([]byte(key)); got != want {
			t.Errorf("has(%.40q) = %v, want %v", key, got, want)
		}
	}
}

func TestFaultyFiles(t *testing.T) {
	for text, want := range map[string]string{
		"a\n\xff\n":                             "line 2: an entry is at most 1024 bytes of UTF-8",
		strings.Repeat("a", maxEntry+1):         "line 1",
		strings.Repeat("a*b\n", maxGlobs) + "?": "line 1001: more than 1000 globs",
	} {
		if _, err := parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parse(%.10q): %v, want %q", text, err, want)
		}
	}
}

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), Options{Lists: []config.List{{Name: "bad", File: path}}}); err == nil {
		t.Error("a list without a file opens")
	}
	write("one\n")
	var log strings.Builder
	l, err := Open(t.Context(), Options{Lists: []config.List{{Name: "bad", File: path}}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(step, key string, want bool) {
		t.Helper()
		if has, known := l.Has([]byte("bad"), []byte(key)); has != want || !known {
			t.Errorf("%s: Has(%q) = %v, %v; want %v, true", step, key, has, known, want)
		}
	}
	expect("open", "one", true)
	if _, known := l.Has([]byte("good"), []byte("one")); known {
		t.Error("there is a list that nobody configured")
	}
	write("two\n")
	l.Reload()
	expect("changed", "one", false)
	expect("changed", "two", true)
	write("\xff\n")
	l.Reload()
	expect("faulty", "two", true)
	if !strings.Contains(log.String(), "list not read") {
		t.Errorf("the log does not tell of the fault: %s", &log)
	}
	if n := testing.AllocsPerRun(100, func() { l.Has([]byte("bad"), []byte("a.b.c.example")) }); n != 0 {
		t.Errorf("%v allocations a look, want 0", n)
	}
}

// TestStatus: what a list holds, and that its file has a fault, by name.
func TestStatus(t *testing.T) {
	dir := t.TempDir()
	var configured []config.List
	for _, name := range []string{"good", "bad"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("a.example\n*.b.example\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, time.Unix(100, 0)); err != nil {
			t.Fatal(err)
		}
		configured = append(configured, config.List{Name: name, File: file})
	}
	l, err := Open(t.Context(), Options{Lists: configured, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, want ...Status) {
		t.Helper()
		got := l.Status()
		for i := range got {
			got[i].Modified = got[i].Modified.UTC()
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %+v, want %+v", when, got, want)
		}
	}
	bad, good := Status{"bad", 2, time.Unix(100, 0).UTC(), false}, Status{"good", 2, time.Unix(100, 0).UTC(), false}
	check("opened", bad, good)
	if err := os.WriteFile(filepath.Join(dir, "bad"), []byte("\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Reload()
	bad.Stale = true
	check("with a file that is no text", bad, good)
	if err := os.WriteFile(filepath.Join(dir, "bad"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "bad"), time.Time{}, time.Unix(200, 0)); err != nil {
		t.Fatal(err)
	}
	l.Reload()
	check("with an empty file", Status{"bad", 0, time.Unix(200, 0).UTC(), false}, good)
}
