package main

import (
	"testing"

	"github.com/knockgate/knockgate/host/internal/peer"
)

// TestStockExpr: what an expression says of a knock over TLS reaches the knocker.
func TestStockExpr(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one knock at a time, of which other tests make many")
	}
	for _, row := range []stockRow{{
		name: "by phase, reason and server",
		policy: `
[[policy]]
name = "rules"
module = "expr.wasm"
[policy.settings]
rules = [
  { when = "phase == 'make_knock' && !('11' in supported_versions)", verdict = "incompatible", code = "old" },
  { when = "phase == 'make_knock' && user_localpart in ['eve', 'mallory']", verdict = "deny", code = "name", message = "Not by that name." },
  { when = "contains(lower(reason), ['http://', 'https://'])", verdict = "deny", code = "link", message = "No links, please." },
  { when = "phase == 'send_knock' && length(reason) < 5", verdict = "deny", code = "short" },
  { when = "!content_hash_ok && phase == 'send_knock' || origin_server != user_server", verdict = "deny", code = "never" },
]
`,
		knocks: []stockKnock{
			{edit: func(k *peer.Knock) { k.Reason = "hello all" }, want: peer.Allowed},
			{user: "eve", want: peer.Denied, code: "name", message: "Not by that name."},
			{user: "bob", edit: func(k *peer.Knock) { k.Reason = "see HTTPS://spam.example" }, want: peer.Denied, code: "link", message: "No links, please."},
			{user: "cyd", edit: func(k *peer.Knock) { k.Reason = "äöüß" }, want: peer.Denied, code: "short"},
			{user: "dan", edit: func(k *peer.Knock) { k.Reason = "äöüßé" }, want: peer.Allowed},
		},
	}, {
		name:    "by the room",
		version: "12",
		policy: `
[[policy]]
name = "rules"
module = "expr.wasm"
[policy.settings]
rules = [
  { when = "!room.known || room.join_rule != 'knock'", verdict = "deny", code = "unknown" },
  { when = "room.members >= 1 && room_version == '12' && user_localpart == 'eve'", verdict = "deny", code = "room" },
]
`,
		knocks: []stockKnock{
			{want: peer.Allowed},
			{user: "eve", want: peer.Denied, code: "room", message: "do not let this knock in"},
		},
	}} {
		t.Run(row.name, func(t *testing.T) { runStock(t, row) })
	}
}
