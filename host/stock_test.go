package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// stockRow is a stock policy in a running server, and knocks over TLS with what
// becomes of each.
type stockRow struct {
	name string
	// policy is the configuration after a [policies] that allows by default: [[policy]]
	// blocks, each with module = "NAME.wasm", and what else the row needs.
	policy string
	// version is that of the room, 11 if it is "".
	version string
	knocks  []stockKnock
}

// stockKnock is one knock, both phases of it unless the first is refused.
type stockKnock struct {
	// after is how much later it is than the one before.
	after time.Duration
	// before is done before it, by a moderator for example.
	before func(t *testing.T, w *world, room matrix.RoomID, user matrix.UserID)
	// server is the knocker's: the name of one, or a server on loopback if it is "".
	server string
	// room is what the row calls one of its rooms; "" is one too.
	room string
	// user is the localpart, "ada" if it is "".
	user string
	// edit changes the knock.
	edit func(k *peer.Knock)
	// want is the outcome, code the rule that a refusal cites, message a part of what
	// the knocker is told.
	want          peer.Outcome
	code, message string
}

var moduleName = regexp.MustCompile(`(?m)^module = "(\w+)\.wasm"$`)

// runStock runs one row.
func runStock(t *testing.T, row stockRow) {
	t.Helper()
	modules := map[string][]byte{}
	for _, m := range moduleName.FindAllStringSubmatch(row.policy, -1) {
		text, err := os.ReadFile(filepath.Join("..", "policies", m[1], m[1]+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		modules[m[1]+".wasm"] = text
	}
	if len(modules) == 0 || len(row.knocks) == 0 {
		t.Fatalf("%d modules and %d knocks, want some of each", len(modules), len(row.knocks))
	}
	if row.version == "" {
		row.version = "11"
	}
	w := newWorld(t, allowAll+row.policy, modules)
	peers, rooms := map[string]*peer.Peer{}, map[string]matrix.RoomID{}
	for i, step := range row.knocks {
		if peers[step.server] == nil && step.server == "" {
			peers[step.server] = w.peer()
		} else if peers[step.server] == nil {
			peers[step.server] = w.named(t, matrix.ServerName(step.server))
		}
		if rooms[step.room] == "" {
			rooms[step.room] = w.room(row.version, "knock")
		}
		if step.user == "" {
			step.user = "ada"
		}
		w.clock.Advance(step.after)
		k := w.knock(peers[step.server], step.user, rooms[step.room])
		if step.before != nil {
			step.before(t, w, k.Room, k.User)
		}
		if step.edit != nil {
			step.edit(&k)
		}
		r, err := peers[step.server].Knock(t.Context(), k)
		if err != nil {
			t.Fatalf("knock %d: %v", i, err)
		}
		if err := w.store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.Outcome(); got != step.want {
			t.Fatalf("knock %d of %s: %s (%s), want %s", i, k.User, got, lastWords(r), step.want)
		}
		if step.want == peer.Allowed {
			continue
		}
		if d := lastDecision(t, w); d.Code != step.code || !strings.Contains(lastWords(r), step.message) {
			t.Errorf("knock %d of %s: code %q and message %q, want %q and %q", i, k.User, d.Code, lastWords(r), step.code, step.message)
		}
	}
}

// TestStockPolicies: what the first two policies decide reaches the knocker.
func TestStockPolicies(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one knock at a time, of which other tests make many")
	}
	for _, row := range []stockRow{{
		name: "server_rules",
		policy: `
[[policy]]
name = "servers"
module = "server_rules.wasm"
[policy.settings]
deny_ip_literals = true
`,
		knocks: []stockKnock{{want: peer.Denied, code: "ip_literal"}},
	}, {
		name:    "reason_rules",
		version: "12",
		policy: `
[[policy]]
name = "reasons"
module = "reason_rules.wasm"
[policy.settings]
required = true
`,
		knocks: []stockKnock{
			{want: peer.Denied, code: "reason_missing", edit: func(k *peer.Knock) { k.Reason = "" }, message: "reason"},
			{want: peer.Allowed},
		},
	}} {
		t.Run(row.name, func(t *testing.T) { runStock(t, row) })
	}
}
