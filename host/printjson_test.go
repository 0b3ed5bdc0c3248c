package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// TestJSONIsSafe: what a knocker wrote does not reach the terminal raw by --json
// either, and is the same once it is parsed.
func TestJSONIsSafe(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	room := string(w.room("11", "knock"))
	const (
		reason = "a\x7fb\u009b2Jc\u202ed\u2066e\U000e0001f <&>\n"
		raw    = "\x7f\u009b\u202e\u2066\U000e0001"
	)
	run := func(args ...string) string {
		t.Helper()
		var out, errs strings.Builder
		if code := runContext(context.Background(), args, &out, &errs); code != exitOK {
			t.Fatalf("%v: exit code %d: %s", args, code, errs.String())
		}
		if strings.ContainsAny(out.String(), raw) {
			t.Errorf("%v: raw on the terminal: %q", args, out.String())
		}
		if n := strings.Count(out.String(), "\n"); n == 0 || !strings.HasSuffix(out.String(), "\n") {
			t.Errorf("%v: no whole line: %q", args, out.String())
		}
		line, _, _ := strings.Cut(out.String(), "\n")
		return line
	}
	var knock struct {
		Send struct {
			Sent struct{ Content struct{ Reason string } }
		} `json:"send_knock"`
	}
	line := run("knock", "--json", "--reason", reason, room)
	if err := json.Unmarshal([]byte(line), &knock); err != nil || knock.Send.Sent.Content.Reason != reason {
		t.Errorf("knock: the reason is %q, %v, want %q", knock.Send.Sent.Content.Reason, err, reason)
	}
	if err := w.store.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	var decision struct {
		Detail struct{ Facts struct{ Reason string } }
	}
	line = run("decisions", "--json", "--last", "1", "--config", filepath.Join(w.dir, "config.toml"))
	if err := json.Unmarshal([]byte(line), &decision); err != nil || decision.Detail.Facts.Reason != reason {
		t.Errorf("decisions: the reason is %q, %v, want %q", decision.Detail.Facts.Reason, err, reason)
	}
}
