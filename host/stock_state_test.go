package main

import (
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/peer"
)

// TestStockPoliciesThatRemember: what policies keep between knocks decides later ones.
func TestStockPoliciesThatRemember(t *testing.T) {
	for _, row := range []stockRow{{
		name: "rate_limit",
		policy: `
[[policy]]
name = "rate"
module = "rate_limit.wasm"
grants = ["kv"]
[policy.settings]
limits = [
    { by = "user", window = 600, count = 2 },
    { by = "server", per = 3600, burst = 3, penalty = 7200 },
]
`,
		knocks: []stockKnock{
			{want: peer.Allowed},
			{room: "other", want: peer.Allowed},
			{room: "third", want: peer.Denied, code: "rate_user", message: "Please try again in 10 minutes."},
			{user: "bob", want: peer.Allowed},
			{user: "eve", want: peer.Denied, code: "rate_server", message: "Please try again in 2 hours."},
			{user: "eve", server: "elsewhere.example", want: peer.Allowed},
			{after: 61 * time.Minute, user: "eve", want: peer.Denied, code: "rate_penalty"},
			{after: 60 * time.Minute, user: "eve", want: peer.Allowed},
		},
	}} {
		t.Run(row.name, func(t *testing.T) { runStock(t, row) })
	}
}
