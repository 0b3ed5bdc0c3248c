package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// TestStockPoliciesThatRemember: what policies keep between knocks decides later ones.
func TestStockPoliciesThatRemember(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one knock at a time, of which other tests make many")
	}
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
	}, {
		name:    "reknock",
		version: "12",
		policy: `
[[policy]]
name = "reknock"
module = "reknock.wasm"
grants = ["kv"]
[policy.settings]
free_edits = 1
cooldown = 600
max_backoff = 900
after_decline = 7200
`,
		knocks: []stockKnock{
			{want: peer.Allowed},
			{edit: reason("It is me."), want: peer.Allowed},
			{edit: reason("Me again."), want: peer.Denied, code: "pending", message: "You can change it in 10 minutes."},
			{user: "bob", want: peer.Allowed},
			{edit: retract, want: peer.Allowed},
			{want: peer.Denied, code: "cooldown", message: "Please try again in 10 minutes."},
			{after: 10 * time.Minute, want: peer.Allowed},
			{after: 14 * time.Minute, want: peer.Denied, code: "pending"},
			{before: decline, want: peer.Denied, code: "declined", message: "was declined. Please try again in 2 hours."},
			{after: 119 * time.Minute, want: peer.Denied, code: "declined"},
			{after: time.Minute, want: peer.Allowed},
		},
	}, {
		name: "reknock behind a policy that refuses",
		policy: `
[[policy]]
name = "reknock"
module = "reknock.wasm"
grants = ["kv"]
[policy.settings]
free_edits = 1
cooldown = 600
[[policy]]
name = "reasons"
module = "reason_rules.wasm"
[policy.settings]
min = 20
`,
		knocks: []stockKnock{
			{want: peer.Denied, code: "reason_too_short"},
			{want: peer.Denied, code: "reason_too_short"},
			{want: peer.Denied, code: "cooldown"},
			{after: 10 * time.Minute, edit: reason("I would like to join your reading group."), want: peer.Allowed},
		},
	}, {
		name: "raid_breaker",
		policy: `
[[policy]]
name = "raid"
module = "raid_breaker.wasm"
grants = ["kv"]
[policy.settings]
room = { count = 2, window = 60 }
host = { count = 4, window = 60 }
close_for = 600
exempt_servers = "good.example"
`,
		knocks: []stockKnock{
			{user: "a", want: peer.Allowed},
			{user: "b", want: peer.Allowed},
			{user: "c", want: peer.Denied, code: "raid_room", message: "Please try again in 10 minutes."},
			{user: "d", server: "other.example", want: peer.Denied, code: "raid_room"},
			{user: "e", server: "good.example", want: peer.Allowed},
			{user: "a", room: "other", want: peer.Allowed},
			{user: "b", room: "other", want: peer.Allowed},
			{user: "a", room: "third", want: peer.Denied, code: "raid_host"},
			{after: 10 * time.Minute, user: "c", want: peer.Allowed},
		},
	}, {
		name: "greylist",
		policy: `
[[policy]]
name = "greylist"
module = "greylist.wasm"
grants = ["kv"]
[policy.settings]
delay = 300
ttl = 600
remember = 3600
`,
		knocks: []stockKnock{
			{want: peer.Denied, code: "first_seen", message: "Your server is new here. Please knock again in 5 minutes."},
			{after: 4 * time.Minute, want: peer.Denied, code: "greylisted"},
			{after: time.Minute, want: peer.Allowed},
			{user: "bob", room: "other", want: peer.Allowed},
			{user: "bob", server: "other.example", want: peer.Denied, code: "first_seen"},
			{after: 10 * time.Minute, user: "bob", server: "other.example", want: peer.Denied, code: "first_seen"},
			{after: time.Hour, user: "carol", want: peer.Denied, code: "first_seen"},
		},
	}, {
		name: "pending_cap",
		policy: `
[[policy]]
name = "pending"
module = "pending_cap.wasm"
[policy.settings]
max_room = 3
max_server = 2
`,
		knocks: []stockKnock{
			{user: "a", want: peer.Allowed},
			{user: "b", want: peer.Allowed},
			{user: "c", want: peer.Denied, code: "pending_server", message: "of your server"},
			{user: "b", edit: reason("It is me."), want: peer.Allowed},
			{user: "c", server: "other.example", want: peer.Allowed},
			{user: "d", server: "third.example", want: peer.Denied, code: "pending_room"},
			{user: "c", room: "other", want: peer.Allowed},
			{user: "a", edit: retract, want: peer.Allowed},
			{user: "c", want: peer.Allowed},
		},
	}} {
		t.Run(row.name, func(t *testing.T) { runStock(t, row) })
	}
}

func reason(text string) func(*peer.Knock) {
	return func(k *peer.Knock) { k.Reason = text }
}

func retract(k *peer.Knock) { k.Retract = true }

// decline is what a moderator does to a knock.
func decline(t *testing.T, w *world, room matrix.RoomID, user matrix.UserID) {
	w.state(room, "m.room.member", string(user), `{"membership":"leave"}`)
}

// TestStockKnownServer: of a homeserver's room with one member of another server, users
// of that server are let in and others are not; where the members are not told, nobody is.
func TestStockKnownServer(t *testing.T) {
	const id = matrix.RoomID("!r:here.example")
	member := `{"type":"m.room.member","state_key":%[1]q,"sender":%[1]q,"origin_server_ts":1,"content":{"membership":"join"}}`
	var neighbour matrix.UserID
	homeserver := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, "/_matrix/federation/v1/make_knock/"):
			_, _ = io.WriteString(w, `{"event":{},"room_version":"11"}`)
		case strings.HasPrefix(path, "/_matrix/client/v1/room_summary/"):
			_, _ = io.WriteString(w, `{"room_id":"!r:here.example","room_version":"11","join_rule":"knock","num_joined_members":2,"membership":"join"}`)
		case strings.HasPrefix(path, "/_matrix/client/v3/rooms/"):
			fmt.Fprintf(w, "["+member+","+strings.ReplaceAll(member, "[1]", "[2]")+"]", "@u:here.example", string(neighbour))
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errcode":"M_NOT_FOUND","error":"Room not found"}`)
		}
	})
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	module, err := filepath.Abs("../policies/known_server/known_server.wasm")
	if err != nil {
		t.Fatal(err)
	}
	policy := fmt.Sprintf("[policies]\n[[policy]]\nname = \"neighbours\"\nmodule = %q\n[policy.settings]\notherwise = \"deny\"\n", module)
	check := func(f *world, p *peer.Peer, want int, code string) {
		t.Helper()
		x := f.do(t, p, http.MethodGet, peer.MakeTarget(id, p.User("ada"), nil), nil)
		if err := f.store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := lastDecision(t, f); x.Status != want || d.Code != code {
			t.Errorf("make_knock of %s: %d %s, code %q; want %d and %q", p.User("ada"), x.Status, x.Body, d.Code, want, code)
		}
	}
	f := newFront(t, homeserver, fmt.Sprintf("[upstream.bot]\ntoken_file = %q\n", token)+policy)
	p, other := f.peer(), f.peer()
	neighbour = p.User("carol")
	check(f.world, p, http.StatusOK, "known_server")
	check(f.world, other, http.StatusForbidden, "unknown_server")

	f = newFront(t, homeserver, policy)
	p = f.peer()
	neighbour = p.User("carol")
	check(f.world, p, http.StatusForbidden, "members_unknown")
}
