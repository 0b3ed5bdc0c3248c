package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/permits"
	"github.com/knockgate/knockgate/host/internal/store"
)

// cli runs a command on the configuration of w.
func (w *world) cli(args ...string) (string, int) {
	var out strings.Builder
	code := runContext(context.Background(), append(args, "--config", w.cfg.Path), &out, &out)
	return out.String(), code
}

// mustSay fails the test unless a command succeeds and says all of wants.
func (w *world) mustSay(args []string, wants ...string) string {
	w.t.Helper()
	said, code := w.cli(args...)
	for _, want := range wants {
		if !strings.Contains(said, want) {
			w.t.Errorf("%v does not say %q:\n%s", args, want, said)
		}
	}
	if code != exitOK {
		w.t.Errorf("%v: exit code %d:\n%s", args, code, said)
	}
	return said
}

// permit gives a permit by the command, and has the server look.
func (w *world) permit(user matrix.UserID, room string) {
	w.t.Helper()
	w.mustSay([]string{"allow", string(user), "--room", room, "--for", "2h", "--note", "asked\u202e by mail"}, "one knock of "+string(user)+" into ")
	if err := w.permits.Refresh(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// live returns how many permits are live.
func (w *world) live() int {
	w.t.Helper()
	list, err := w.permits.ListLive(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

// TestAllow: a permit lets in one knock that a policy denies, whatever asks first,
// and is gone with it. The record has what the policies said, for explain and
// replay. What the protocol refuses, a permit does not change.
func TestAllow(t *testing.T) {
	w := newWorld(t, doorPolicy+"[[room]]\nalias = \"#lobby\"\n", map[string][]byte{"door.wasm": doorShut})
	p := w.peer()
	lobby, other := w.lobby[0].ID, w.room("11", "knock")
	ada := w.knock(p, "ada", lobby)
	w.mustKnock(p, ada, peer.Denied)

	w.permit(ada.User, "#lobby")
	if lines := w.log.lines(`msg="permit given"`, string(ada.User)); len(lines) != 1 {
		t.Errorf("the log has %q", lines)
	}
	said := w.mustSay([]string{"allow", "--list"}, string(ada.User), string(lobby), "live", whoami())
	if strings.Contains(said, "\u202e") {
		t.Errorf("--list prints what a terminal acts on: %q", said)
	}
	w.mustSay([]string{"allow", "--list", "--json"}, `"state":"live"`, `"note":"asked\u202e by mail"`)
	w.mustKnock(p, w.knock(p, "ada", other), peer.Denied)
	w.mustKnock(p, w.knock(p, "bob", lobby), peer.Denied)
	for range 2 {
		if x, err := p.Make(t.Context(), ada); err != nil || x.Status != http.StatusOK {
			t.Fatalf("make_knock with a permit: %d, err %v", x.Status, err)
		}
	}
	w.mustKnock(p, ada, peer.Allowed)
	if got := w.membership(lobby, ada.User); got != "knock" {
		t.Errorf("membership %q, want knock", got)
	}
	if n := w.live(); n != 0 {
		t.Errorf("%d permits are live after the knock", n)
	}
	w.mustSay([]string{"allow", "--list", "--all"}, "used by ")
	w.mustKnock(p, ada, peer.Denied)

	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := w.store.Decisions(t.Context(), store.DecisionFilter{Policy: permits.Policy})
	if err != nil || len(list) != 4 {
		t.Fatalf("%d decisions by a permit, err %v; want 3 of make_knock and one of send_knock", len(list), err)
	}
	sent := list[0].RequestID
	w.mustSay([]string{"explain", sent}, "allow, by permit", `the policies denied: door`, "The door is shut for the night", "permit 1 of 2", "let it in", "1. door: deny, ")
	w.mustSay([]string{"replay", sent}, "permit 1 let it in", "verdict   deny, by door", "the same as it was")
	w.mustSay([]string{"replay", "--since", "1h"}, "the same")
	w.mustSay([]string{"decisions", "--policy", "permit", "--json"}, `"verdict":"allow"`, `"permit":{"given_ms":`)
	if lines := w.log.lines("msg=decision", "verdict=allow", "policy=permit", "permit=1", "denied_by=door"); len(lines) != 4 {
		t.Errorf("the log has %q", lines)
	}

	t.Run("revoked", func(t *testing.T) {
		w.permit(ada.User, string(lobby))
		w.mustSay([]string{"allow", "--revoke", "2"}, "permit 2 of "+string(ada.User))
		if err := w.permits.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.mustKnock(p, ada, peer.Denied)
	})
	t.Run("banned", func(t *testing.T) {
		eve := w.knock(p, "eve", other)
		w.state(other, "m.room.member", string(eve.User), `{"membership":"ban"}`)
		w.permit(eve.User, string(other))
		w.mustKnock(p, eve, peer.Denied)
		if n := w.live(); n != 1 {
			t.Errorf("%d permits are live after a knock of a banned user, want 1", n)
		}
	})
	t.Run("at once", func(t *testing.T) { permitAtOnce(w, p, lobby) })
	t.Run("refused arguments", func(t *testing.T) {
		for _, tt := range []struct {
			args []string
			want string
		}{
			{[]string{}, "say who may knock"},
			{[]string{"ada", "--room", "#lobby"}, "ada"},
			{[]string{"@ada:x.example"}, "--room: missing"},
			{[]string{"@ada:x.example", "--room", "#none"}, "no room has this ID or alias"},
			{[]string{"@ada:x.example", "--room", "!"}, "--room"},
			{[]string{"@ada:x.example", "--room", "#lobby", "--for", "31d"}, "at most 30 days"},
			{[]string{"@ada:x.example", "--room", "#lobby", "--for", "soon"}, "--for"},
			{[]string{"@ada:x.example", "--list"}, "no user goes with"},
			{[]string{"--list", "--note", "x"}, "none of the others can be"},
			{[]string{"--revoke", "99"}, "there is no permit 99"},
			{[]string{"--json", "--revoke", "1"}, "go with --list"},
		} {
			if said, code := w.cli(append([]string{"allow"}, tt.args...)...); code != exitFailed || !strings.Contains(said, tt.want) {
				t.Errorf("allow %q: exit code %d, want 1 and %q:\n%s", tt.args, code, tt.want, said)
			}
		}
	})
}

// permitAtOnce: of send_knocks at the same moment one uses a permit.
func permitAtOnce(w *world, p *peer.Peer, room matrix.RoomID) {
	t := w.t
	k := w.knock(p, "twice", room)
	w.permit(k.User, string(room))
	x, err := p.Make(t.Context(), k)
	if err != nil || x.Status != http.StatusOK {
		t.Fatalf("make_knock: %+v, err %v", x, err)
	}
	doc, err := canonicaljson.Parse(x.Body)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := matrix.LookupRoomVersion("11")
	var taken, denied atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		k.Reason = "try " + strconv.Itoa(i)
		event, id, err := p.SignKnock(doc.Root().Get("event"), v, k)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			x, err := p.Do(context.Background(), w.name, http.MethodPut, peer.SendTarget(room, id), event)
			switch {
			case err != nil:
				t.Error(err)
			case x.Status == http.StatusOK:
				taken.Add(1)
			case x.Status == http.StatusForbidden:
				denied.Add(1)
			default:
				t.Errorf("%d %s", x.Status, x.Body)
			}
		})
	}
	all.Wait()
	if taken.Load() != 1 || denied.Load() != 7 {
		t.Errorf("%d knocks by one permit and %d denied, want 1 and 7", taken.Load(), denied.Load())
	}
}

// TestAllowFault: a permit lets in also where a policy is at fault.
func TestAllowFault(t *testing.T) {
	trap, err := os.ReadFile(filepath.Join("..", "plugins", "testdata", "trap.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, doorPolicy, map[string][]byte{"door.wasm": trap})
	p := w.peer()
	room := w.room("11", "knock")
	k := w.knock(p, "ada", room)
	w.mustKnock(p, k, peer.Denied)
	w.permit(k.User, string(room))
	w.mustKnock(p, k, peer.Allowed)
	if lines := w.log.lines("level=WARN", "msg=decision", "policy=permit", "denied_by=door", "denied_fault=trap"); len(lines) != 2 {
		t.Errorf("the log has %q", lines)
	}
	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.mustSay([]string{"explain", lastDecision(t, w).RequestID}, "the policies denied: door (fault: trap)")
	w.mustSay([]string{"replay", lastDecision(t, w).RequestID}, "the same as it was")
}

// TestAllowBeforeHomeserver: a permit is used by the knock that the homeserver
// takes; where it refuses or fails, it is given back. It does not change a verdict
// of incompatible.
func TestAllowBeforeHomeserver(t *testing.T) {
	var answer atomic.Value
	handler := func(rw http.ResponseWriter, r *http.Request) {
		status := answer.Load().(int)
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, map[int]string{200: `{"knock_room_state":[]}`, 403: `{"errcode":"M_FORBIDDEN","error":"no"}`, 500: `{}`}[status])
	}
	f := newFrontOfRooms(t, reasonChain)
	p := f.peer()
	room := f.homeserver.room("11", "knock")
	event, id := f.sign(p, room, "ada", "")
	send := func() int {
		t.Helper()
		x, err := p.Do(context.Background(), f.name, http.MethodPut, peer.SendTarget(room, id), event)
		if err != nil {
			t.Fatal(err)
		}
		return x.Status
	}
	if got := send(); got != http.StatusForbidden || len(f.take()) != 0 {
		t.Fatalf("without a permit: %d, and the homeserver was asked", got)
	}
	f.permit(p.User("ada"), string(room))
	real := f.answers(handler)
	for _, tt := range []struct{ homeserver, want int }{{403, 403}, {500, 502}} {
		answer.Store(tt.homeserver)
		if got := send(); got != tt.want || len(f.take()) != 1 || f.live() != 1 {
			t.Errorf("homeserver %d: answered %d, %d permits live; want %d and 1", tt.homeserver, got, f.live(), tt.want)
		}
	}
	f.answers(real)
	if got := send(); got != http.StatusOK || len(f.take()) != 1 || f.live() != 0 {
		t.Errorf("the homeserver takes it: answered %d, %d permits live; want 200 and 0", got, f.live())
	}
	if got := send(); got != http.StatusForbidden || len(f.take()) != 0 {
		t.Errorf("after that: %d", got)
	}
	if said, code := f.cli("allow", "@ada:x.example", "--room", "#lobby"); code != exitFailed || !strings.Contains(said, "the ID of the room") {
		t.Errorf("allow in a room by its alias: exit code %d: %s", code, said)
	}
}

// TestAllowIncompatible: a permit does not make a server understand a room version.
func TestAllowIncompatible(t *testing.T) {
	f := newFrontOfRooms(t, incompatibleChain)
	p := f.peer()
	room := f.homeserver.room("11", "knock")
	k := f.knock(p, "ada", room)
	if _, err := f.permits.Give(t.Context(), permits.Spec{User: k.User, Room: room, For: time.Hour, By: "a test"}); err != nil {
		t.Fatal(err)
	}
	f.mustKnock(p, k, peer.Incompatible)
}
