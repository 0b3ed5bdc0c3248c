package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReplayMany: all decisions of a store, or of a file, are judged again with another
// module in the place of the configured one, or before them; what changes is counted and
// listed.
func TestReplayMany(t *testing.T) {
	w := newWorld(t, doorPolicy, map[string][]byte{"door.wasm": doorOpen})
	p := w.peer()
	room := w.room("11", "knock")
	for _, user := range []string{"a", "b", "c"} {
		w.mustKnock(p, w.knock(p, user, room), "allowed")
	}
	if err := w.store.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	shut, other := file("door.wasm", doorShut), file("other.wasm", doorShut)
	path := filepath.Join(w.dir, "config.toml")
	lines, _, code := command("decisions", "--json", "--config", path)
	if code != exitOK || strings.Count(lines, "\n") != 6 {
		t.Fatalf("decisions --json: exit code %d\n%s", code, lines)
	}
	against := file("decisions.jsonl", []byte(lines))
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{nil, exitOK, []string{"judged 6 decisions again", "with the configured policies", "the same  6"}},
		{[]string{"--since", "7d"}, exitOK, []string{"the same  6"}},
		{[]string{"--since", "1d12h", "--policy", shut}, exitDenied,
			[]string{"as the policy door", "the same       0", "allow -> deny  6", "The door is shut for the night", "@a:", "by", "door"}},
		{[]string{"--policy", other, "--list", "1"}, exitDenied, []string{other + " before the configured policies", "allow -> deny  6", "and 5 more; --list lists more"}},
		{[]string{"--against", against, "--policy", shut}, exitDenied, []string{"judged 6 decisions again", "allow -> deny  6"}},
		{[]string{"--since", "soon"}, exitFailed, []string{`--since "soon": must be like 7d, 36h or 1d12h`}},
		{[]string{"--since", "0d"}, exitFailed, []string{"must be above 0"}},
		{[]string{"--since", "1d", "--against", against}, exitFailed, []string{"--since stands beside --against"}},
		{[]string{"ABCDEFGHIJ", "--policy", shut}, exitFailed, []string{"--policy stands beside a REQUEST_ID"}},
		{[]string{"--against", file("bad.jsonl", []byte("{}\n"))}, exitFailed, []string{"bad.jsonl: line 1: no decision"}},
		{[]string{"--policy", file("text.wasm", []byte("text"))}, exitFailed, []string{"not a WebAssembly module"}},
	} {
		out, errs, code := command(append(append([]string{"replay"}, tt.args...), "--config", path)...)
		if code != tt.code {
			t.Errorf("replay %q: exit code %d, want %d", tt.args, code, tt.code)
		}
		for _, want := range tt.want {
			if !strings.Contains(out+errs, want) {
				t.Errorf("replay %q: it does not say %q:\n%s%s", tt.args, want, out, errs)
			}
		}
	}
	out, errs, code := command("replay", "--policy", shut, "--json", "--config", path)
	var got struct {
		Decisions, Same int
		Verdicts        map[string]int
		Changes         []struct {
			Was, Is, Message string
			IsBy             string `json:"is_by"`
			Differences      []struct{ Policy, What string }
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitDenied {
		t.Fatalf("--json: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if got.Decisions != 6 || got.Same != 0 || got.Verdicts["allow -> deny"] != 6 || len(got.Changes) != 6 || got.Changes[0].IsBy != "door" || len(got.Changes[0].Differences) < 2 {
		t.Errorf("--json: %+v", got)
	}
}

func TestParseAge(t *testing.T) {
	for text, want := range map[string]time.Duration{"7d": 168 * time.Hour, "36h": 36 * time.Hour, "1d12h": 36 * time.Hour, "90s": 90 * time.Second} {
		if got, err := parseAge(text); err != nil || got != want {
			t.Errorf("parseAge(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "7", "-1d", "1d-1h", "99999d", "1dd"} {
		if got, err := parseAge(text); err == nil {
			t.Errorf("parseAge(%q) = %v, want an error", text, got)
		}
	}
}

func TestProgress(t *testing.T) {
	for _, tt := range []struct {
		done, total int64
		want        string
	}{
		{0, 0, "0 decisions"},
		{5, 0, "5 decisions"},
		{50, 100, "[" + strings.Repeat("#", 15) + strings.Repeat(" ", 15) + "] 50 of 100 decisions"},
		{200, 100, "[" + strings.Repeat("#", 30) + "] 200 of 100 decisions"}, // more came meanwhile
	} {
		if got := progress(tt.done, tt.total); got != tt.want {
			t.Errorf("progress(%d, %d) = %q, want %q", tt.done, tt.total, got, tt.want)
		}
	}
}
