package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// TestKnockEveryRoomVersion plays the whole handshake over TLS on a room of
// each version, and again to see that a retry and a second knock are taken.
func TestKnockEveryRoomVersion(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	for _, version := range matrix.RoomVersionIDs() {
		t.Run(version, func(t *testing.T) {
			room := w.room(version, "knock")
			k := w.knock(p, "ada"+version, room)
			r := w.mustKnock(p, k, peer.Allowed)
			if got := w.membership(room, k.User); got != "knock" {
				t.Errorf("membership = %q, want knock", got)
			}
			checkKnockRoomState(t, r.Send.Body, version)

			retry := w.do(t, p, http.MethodPut, peer.SendTarget(room, r.EventID), r.Event)
			if retry.Status != 200 {
				t.Errorf("the same PUT again: %d %s, want 200", retry.Status, retry.Body)
			}
			k.Reason = "another reason"
			again := w.mustKnock(p, k, peer.Allowed)
			if again.EventID == r.EventID {
				t.Errorf("a second knock has the first one's ID")
			}
		})
	}
}

// checkKnockRoomState holds the answer to what the specification demands: a
// list that has the create event; whole in version 12, stripped before.
func checkKnockRoomState(t *testing.T, body []byte, version string) {
	t.Helper()
	var answer struct {
		State []map[string]any `json:"knock_room_state"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	types := map[string]map[string]any{}
	for _, e := range answer.State {
		types[fmt.Sprint(e["type"])] = e
	}
	create := types["m.room.create"]
	if create == nil || types["m.room.join_rules"] == nil || types["m.room.name"] == nil {
		t.Fatalf("knock_room_state %s lacks the create event, the join rules or the name", body)
	}
	if types["m.room.member"] != nil || types["m.room.power_levels"] != nil {
		t.Errorf("knock_room_state %s tells members or power levels", body)
	}
	if _, whole := create["signatures"]; whole != (version == "12") {
		t.Errorf("version %s: create event whole = %v", version, whole)
	}
	if _, has := create["room_id"]; has {
		t.Errorf("version %s: the create event has a room_id", version)
	}
}

func TestKnockRestricted(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	for _, version := range []string{"10", "11", "12"} {
		w.mustKnock(p, w.knock(p, "ada", w.room(version, "knock_restricted")), peer.Allowed)
	}
}

// TestTamperedContentIsRedacted: a knock whose content was changed after it
// was signed counts, without what was changed.
func TestTamperedContentIsRedacted(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	room := w.room("11", "knock")
	event, id := w.signed(t, p, room, "ada", func(e map[string]any) { e["content"].(map[string]any)["reason"] = "signed" })
	event = edited(t, event, func(e map[string]any) { e["content"].(map[string]any)["reason"] = "changed" })
	if x := w.do(t, p, http.MethodPut, peer.SendTarget(room, id), event); x.Status != 200 {
		t.Fatalf("%d %s, want 200", x.Status, x.Body)
	}
	r, err := w.rooms.Room(context.Background(), room)
	if err != nil {
		t.Fatal(err)
	}
	if content := string(r.Member(p.User("ada")).Content().Canonical()); content != `{"membership":"knock"}` {
		t.Errorf("stored content = %s, want only the membership", content)
	}
}

// TestMembershipsThatCannotKnock: banned, invited and joined users are refused
// in both phases.
func TestMembershipsThatCannotKnock(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	for _, membership := range []string{"ban", "invite"} {
		room := w.room("11", "knock")
		user := p.User("ada")
		event, id := w.signed(t, p, room, "ada", nil) // the template is from before
		w.state(room, "m.room.member", string(user), `{"membership":"`+membership+`"}`)
		if x := w.do(t, p, http.MethodGet, peer.MakeTarget(room, user, nil), nil); x.Status != 403 {
			t.Errorf("%s: make_knock: %d, want 403", membership, x.Status)
		}
		if x := w.do(t, p, http.MethodPut, peer.SendTarget(room, id), event); x.Status != 403 {
			t.Errorf("%s: send_knock: %d, want 403", membership, x.Status)
		}
		if got := w.membership(room, user); got != membership {
			t.Errorf("%s: the membership became %q", membership, got)
		}
	}
}

// TestSamePutManyTimes: one event, 50 times at once, is stored once and every
// sender is told so.
func TestSamePutManyTimes(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	room := w.room("11", "knock")
	event, id := w.signed(t, p, room, "ada", nil)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if x, err := p.Do(context.Background(), w.name, http.MethodPut, peer.SendTarget(room, id), event); err != nil || x.Status != 200 {
				t.Errorf("%+v, %v; want 200", x, err)
			}
		})
	}
	wg.Wait()
}

// TestDecisionIsRecorded: a decision makes one line in the log and one record
// in the store, with the same words.
func TestDecisionIsRecorded(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	room := w.room("11", "knock")
	w.mustKnock(p, w.knock(p, "ada", room), peer.Allowed)
	revision := w.gate.Revision()
	for _, phase := range []string{"make_knock", "send_knock"} {
		lines := w.log.lines("msg=decision", "phase="+phase, string(p.Name()), "verdict=allow", revision)
		if len(lines) != 1 {
			t.Errorf("%s: %d lines in the log, want 1:\n%s", phase, len(lines), w.log)
		}
	}
	if err := w.store.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if code := runContext(context.Background(), []string{"decisions", "--config", w.cfg.Path}, &out, &out); code != 0 {
		t.Fatalf("decisions: exit code %d\n%s", code, &out)
	}
	for _, want := range []string{"make_knock", "send_knock", "allow", string(p.User("ada")), string(room)} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("decisions does not say %q:\n%s", want, &out)
		}
	}
}
