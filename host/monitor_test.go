package main

import (
	"context"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/store"
)

const monitoredDoor = doorPolicy + "mode = \"monitor\"\n"

// TestMonitorMode: a policy in monitor mode lets in whom it would have refused;
// the log and the command say so, and the list of decisions does not change.
func TestMonitorMode(t *testing.T) {
	w := newWorld(t, monitoredDoor, map[string][]byte{"door.wasm": doorShut})
	p := w.peer()
	room := w.room("11", "knock")
	if len(w.log.lines("level=WARN", "monitor mode", "door")) != 1 {
		t.Error("the start does not warn of the policy in monitor mode")
	}
	w.mustKnock(p, w.knock(p, "ada", room), peer.Allowed)
	waitFor(t, "two lines of the monitor", func() bool {
		return len(w.log.lines("msg=monitor", "policy=door", "verdict=deny", "decided=allow", "differs=true")) == 2
	})
	if err := w.store.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	decided, err := w.store.Decisions(context.Background(), store.DecisionFilter{})
	if err != nil {
		t.Fatal(err)
	}
	watched, err := w.store.Decisions(context.Background(), store.DecisionFilter{Monitor: true, Verdict: "deny"})
	if err != nil {
		t.Fatal(err)
	}
	if len(decided) != 2 || len(watched) != 2 {
		t.Fatalf("%d decisions and %d of the monitor, want 2 and 2", len(decided), len(watched))
	}
	for _, m := range watched {
		if !strings.Contains(m.Message, "shut for the night") || m.Policy != "door" {
			t.Errorf("monitored: %+v", m)
		}
		linked := 0
		for _, d := range decided {
			if d.RequestID == m.RequestID && d.Verdict == "allow" && d.Policy == "" && d.Revision == m.Revision {
				linked++
			}
		}
		if linked != 1 {
			t.Errorf("%d decisions have the request ID %s, want 1", linked, m.RequestID)
		}
	}
	var out strings.Builder
	if code := runContext(context.Background(), []string{"decisions", "--monitor", "--config", w.cfg.Path}, &out, &out); code != exitOK {
		t.Fatalf("exit code %d:\n%s", code, &out)
	}
	if got := out.String(); strings.Count(got, "would have denied") != 2 || !strings.Contains(got, "allow") {
		t.Errorf("decisions --monitor:\n%s", got)
	}
}
