package main

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/peer"
)

// TestStockPoliciesByRules: what policies that go by rules decide reaches the knocker.
func TestStockPoliciesByRules(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one knock at a time, of which other tests make many")
	}
	list := filepath.Join(t.TempDir(), "spam.txt")
	hash := sha256.Sum256([]byte("127.0.0.1"))
	entries := "@eve:*\nsha256:" + base64.StdEncoding.EncodeToString(hash[:]) + "\n"
	if err := os.WriteFile(list, []byte(entries), 0o600); err != nil {
		t.Fatal(err)
	}
	reason := func(text string) func(*peer.Knock) { return func(k *peer.Knock) { k.Reason = text } }
	name := func(text string) func(*peer.Knock) { return func(k *peer.Knock) { k.Displayname = text } }
	hour := func(after time.Duration) string { return time.Now().UTC().Add(after).Format("15:04") }
	for _, row := range []stockRow{{
		name: "user_rules",
		policy: `
[[policy]]
name = "users"
module = "user_rules.wasm"
[policy.settings]
max_digits = 3
rules = [{ deny = "@spam*:*", message = "Not by that name." }, { pass = "@friend*:127.0.0.1" }]
`,
		knocks: []stockKnock{
			{want: peer.Allowed},
			{user: "spammer", want: peer.Denied, code: "rule_0", message: "Not by that name."},
			{user: "bob1234", want: peer.Denied, code: "localpart_digits", message: "not taken here"},
			{user: "friend1234", want: peer.Allowed},
		},
	}, {
		name:    "room_gate",
		version: "12",
		policy: `
[[policy]]
name = "gate"
module = "room_gate.wasm"
[policy.settings]
rooms = [{ room = "*", servers = ["127.0.0.1", "partner.example"], require_reason = true }]
`,
		knocks: []stockKnock{
			{want: peer.Allowed},
			{user: "bob", edit: reason(" "), want: peer.Denied, code: "reason_missing", message: "say why"},
		},
	}, {
		name: "room_gate, another server",
		policy: `
[[policy]]
name = "gate"
module = "room_gate.wasm"
[policy.settings]
rooms = [{ room = "!*", servers = "partner.example" }]
`,
		knocks: []stockKnock{{want: peer.Denied, code: "server_not_listed", message: "from your server"}},
	}, {
		name: "room_version",
		policy: `
[[policy]]
name = "versions"
module = "room_version.wasm"
[policy.settings]
allowed = ["12"]
verdict = "deny"
message = "Rooms of version 12 only."
`,
		knocks: []stockKnock{{want: peer.Denied, code: "room_version", message: "Rooms of version 12 only."}},
	}, {
		name: "room_version, incompatible",
		policy: `
[[policy]]
name = "versions"
module = "room_version.wasm"
[policy.settings]
allowed = ["12"]
`,
		knocks: []stockKnock{{want: peer.Incompatible, code: "room_version"}},
	}, {
		name: "profile_rules",
		policy: `
[[policy]]
name = "profiles"
module = "profile_rules.wasm"
[policy.settings]
require_name = true
lookalike_of = "*admin*"
`,
		knocks: []stockKnock{
			{edit: name("Ada"), want: peer.Allowed},
			{user: "bob", edit: name(""), want: peer.Denied, code: "name_missing", message: "set a display name"},
			{user: "eve", edit: name("The АDM1N"), want: peer.Denied, code: "name_lookalike", message: "another display name"},
		},
	}, {
		name: "challenge",
		policy: `
[[policy]]
name = "challenge"
module = "challenge.wasm"
grants = ["kv"]
[policy.settings]
question = "What is the colour of the gate?"
answers = "dark blue"
attempts = 2
attempts_minutes = 10
`,
		knocks: []stockKnock{
			{edit: reason("It is DARK blue."), want: peer.Allowed},
			{user: "bob", edit: reason(""), want: peer.Denied, code: "answer_missing", message: "What is the colour of the gate?"},
			{user: "bob", edit: reason("green"), want: peer.Denied, code: "answer_wrong"},
			{user: "bob", edit: reason("red"), want: peer.Denied, code: "answer_wrong"},
			{user: "bob", edit: reason("dark blue"), want: peer.Denied, code: "too_many_attempts", message: "try again later"},
			{after: 10 * time.Minute, user: "bob", edit: reason("dark blue"), want: peer.Allowed},
		},
	}, {
		name: "policy_lists",
		policy: `
[[list]]
name = "spam"
file = "` + list + `"
[[policy]]
name = "lists"
module = "policy_lists.wasm"
grants = ["lists"]
[policy.settings]
protect = "@ada:127.0.0.1"
lists = [{ name = "spam", message = "Please write to our admins." }]
`,
		knocks: []stockKnock{
			{want: peer.Allowed},
			{user: "eve", want: peer.Denied, code: "listed_user", message: "Please write to our admins."},
			{user: "bob", want: peer.Denied, code: "listed_server"},
		},
	}, {
		name: "quiet_hours",
		policy: `
[[policy]]
name = "hours"
module = "quiet_hours.wasm"
[policy.settings]
windows = [{ from = "` + hour(-time.Hour) + `", to = "` + hour(2*time.Hour) + `" }]
`,
		knocks: []stockKnock{
			{want: peer.Allowed},
			{after: 6 * time.Hour, user: "bob", want: peer.Denied, code: "outside_hours", message: ", at " + hour(-time.Hour) + " (UTC+00:00)."},
		},
	}} {
		t.Run(row.name, func(t *testing.T) { runStock(t, row) })
	}
}
