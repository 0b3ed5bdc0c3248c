package decisionlog

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestLosses: a loss is said at once, those that follow within a minute in one line, and
// the end of it once; a new loss is said at once again.
func TestLosses(t *testing.T) {
	var text strings.Builder
	now := time.Unix(0, 0)
	l := New(&memory{full: true}, slog.New(slog.NewTextHandler(&text, nil)), false)
	l.now = func() time.Time { return now }
	for _, step := range []struct {
		what string
		do   func()
		want []string // parts of the one line; none for no line
	}{
		{"nothing was lost", l.Stored, nil},
		{"the first", func() { l.Lost(1, "full") }, []string{"level=ERROR", "number=1 ", "err=full"}},
		{"soon after", func() { now = now.Add(lossEvery - 1); l.Lost(20, "full") }, nil},
		{"a minute after", func() { now = now.Add(1); l.Lost(3, "full") }, []string{"level=ERROR", "number=24 "}},
		{"soon after that", func() { l.Lost(2, "full") }, nil},
		{"the end", l.Stored, []string{"level=WARN", "again", "not_stored=26"}},
		{"the end again", l.Stored, nil},
		{"another", func() { l.Lost(1, "locked") }, []string{"level=ERROR", "number=1 ", "err=locked"}},
	} {
		text.Reset()
		step.do()
		if n := strings.Count(text.String(), "\n"); n != min(len(step.want), 1) {
			t.Errorf("%s: %d lines, want %d:\n%s", step.what, n, min(len(step.want), 1), &text)
		}
		for _, part := range step.want {
			if !strings.Contains(text.String(), part) {
				t.Errorf("%s: the line does not say %s:\n%s", step.what, part, &text)
			}
		}
	}
}
