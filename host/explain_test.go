package main

import (
	"context"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/store"
)

// TestExplain: a knocker who is refused is told a reference, and with it, or with
// its beginning, an admin sees who asked, what each policy said and what it was
// told; nothing a stranger wrote acts on the terminal.
func TestExplain(t *testing.T) {
	w := newWorld(t, doorPolicy+"phases = [\"send_knock\"]\n[decisions]\nreference = true\n", map[string][]byte{"door.wasm": doorShut})
	p := w.peer()
	room := w.room("11", "knock")
	k := w.knock(p, "ada", room)
	k.Reason = "let me in\x1b[2J\u202e\u009b"
	_, message := w.mustKnock(p, k, peer.Denied).Send.Errcode()
	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := lastDecision(t, w)
	if want := " (ref " + d.RequestID + ")"; !strings.HasSuffix(message, want) {
		t.Errorf("the knocker was told %q, which does not end in %q", message, want)
	}
	command := func(args ...string) (string, int) {
		var out strings.Builder
		code := runContext(context.Background(), append(args, "--config", w.cfg.Path), &out, &out)
		return out.String(), code
	}
	for _, reference := range []string{d.RequestID, strings.ToLower(d.RequestID[:8])} {
		said, code := command("explain", reference)
		if code != exitOK {
			t.Fatalf("explain %s: exit code %d:\n%s", reference, code, said)
		}
		for _, want := range []string{
			d.RequestID, "send_knock", d.User, string(room), "deny, by door", "403 M_FORBIDDEN", "shut for the night",
			"1. door: deny, ", " ticks, ", `"reason": "let me in\u001b[2J\u202e\u009b"`, d.Revision, `"content_hash_ok": true`,
		} {
			if !strings.Contains(said, want) {
				t.Errorf("explain %s does not say %q:\n%s", reference, want, said)
			}
		}
		if i := strings.IndexAny(said, "\x1b\u202e\u009b"); i >= 0 {
			t.Errorf("explain %s prints %q", reference, said[i:i+4])
		}
	}
	for _, tt := range []struct{ reference, want string }{
		{"nobody", `no decision has the request ID "nobody"`},
		{"", "the reference is empty"},
		{"%", `no decision has the request ID "%"`},
	} {
		if said, code := command("explain", tt.reference); code != exitFailed || !strings.Contains(said, tt.want) {
			t.Errorf("explain %q: exit code %d, want 1 and %q:\n%s", tt.reference, code, tt.want, said)
		}
	}
	said, code := command("decisions", "--json", "--user", d.User, "--since", "1h", "--policy", "door")
	if code != exitOK || strings.Count(said, "\n") != 1 || !strings.Contains(said, d.RequestID) {
		t.Errorf("decisions of one user and policy: exit code %d:\n%s", code, said)
	}
	if strings.ContainsAny(said, "\x1b\u202e\u009b") {
		t.Errorf("decisions --json prints characters that a terminal acts on: %q", said)
	}
	said, code = command("decisions", "purge", "--user", d.User)
	if code != exitOK || said != "2 decisions deleted\n" {
		t.Errorf("purge: exit code %d: %s", code, said)
	}
	if said, code = command("explain", d.RequestID); code != exitFailed || !strings.Contains(said, "no decision") {
		t.Errorf("explain after a purge: exit code %d: %s", code, said)
	}
	if said, code = command("decisions", "purge", "--user", "ada"); code != exitFailed || !strings.Contains(said, "--user") {
		t.Errorf("purge of no user ID: exit code %d: %s", code, said)
	}
}

// TestFollow: decisions are listed as they come, each once, oldest first.
func TestFollow(t *testing.T) {
	w := newWorld(t, doorPolicy, map[string][]byte{"door.wasm": doorOpen})
	p := w.peer()
	room := w.room("11", "knock")
	w.mustKnock(p, w.knock(p, "ada", room), peer.Allowed)
	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	listed := make(chan string, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- followDecisions(ctx, w.store, store.DecisionFilter{Limit: 1}, func(list []store.Decision) error {
			for _, d := range list {
				listed <- d.Phase + " " + d.User
			}
			return nil
		})
	}()
	if got, want := <-listed, "send_knock @ada:"+string(p.Name()); got != want {
		t.Errorf("listed first: %s, want the last one there, %s", got, want)
	}
	w.mustKnock(p, w.knock(p, "bob", room), peer.Allowed)
	for _, want := range []string{"make_knock @bob:", "send_knock @bob:"} {
		if got := <-listed; got != want+string(p.Name()) {
			t.Errorf("listed %s, want %s", got, want+string(p.Name()))
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the end of following: %v", err)
	}
}

// TestRetention: a server deletes decisions that are over the age or the number
// of its configuration.
func TestRetention(t *testing.T) {
	w := newWorld(t, doorPolicy+"[decisions]\nmax_count = 3\n", map[string][]byte{"door.wasm": doorOpen})
	p := w.peer()
	room := w.room("11", "knock")
	for _, user := range []string{"ada", "bob", "eve"} {
		w.mustKnock(p, w.knock(p, user, room), peer.Allowed)
	}
	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.prune(t.Context())
	list, err := w.store.Decisions(t.Context(), store.DecisionFilter{})
	if err != nil || len(list) != 3 || !strings.HasPrefix(list[2].User, "@bob:") {
		t.Errorf("%d decisions are left, %v; want the newest 3", len(list), err)
	}
	if len(w.log.lines("old decisions deleted", "number=3")) != 1 {
		t.Error("the log does not say how many were deleted")
	}
}
