package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// TestRetractEveryRoomVersion: a knock is taken back over TLS, by both versions
// of send_leave, a retry is answered, and the user can knock again.
func TestRetractEveryRoomVersion(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	for _, version := range matrix.RoomVersionIDs() {
		t.Run(version, func(t *testing.T) {
			room := w.room(version, "knock")
			k := w.knock(p, "ada", room)
			knocked := w.mustKnock(p, k, peer.Allowed)
			k.Retract = true
			left := w.mustKnock(p, k, peer.Allowed)
			if got := string(left.Send.Body); got != "{}" {
				t.Errorf("send_leave: %s, want {}", got)
			}
			for api, want := range map[int]string{1: "[200,{}]", 2: "{}"} {
				x := w.do(t, p, http.MethodPut, peer.SendLeaveTarget(api, room, left.EventID), left.Event)
				if x.Status != 200 || string(x.Body) != want {
					t.Errorf("the same PUT again, version %d: %d %s, want 200 %s", api, x.Status, x.Body, want)
				}
			}
			if got := w.membership(room, k.User); got != "leave" {
				t.Errorf("membership = %q, want leave", got)
			}
			if lines := w.log.lines("msg=left", string(left.EventID), string(k.User), string(p.Name()), string(room)); len(lines) == 0 {
				t.Error("no line in the log")
			}
			// What was accepted once is answered, and is no knock.
			x := w.do(t, p, http.MethodPut, peer.SendTarget(room, knocked.EventID), knocked.Event)
			if got := w.membership(room, k.User); x.Status != 200 || got != "leave" {
				t.Errorf("the knock from before: %d, and the membership is %q", x.Status, got)
			}
			w.mustKnock(p, k, peer.Denied) // there is nothing to take back
			k.Retract = false
			w.mustKnock(p, k, peer.Allowed)
		})
	}
}

// TestRetractAsksNoPolicy: where nobody may knock, a knock and an invite from
// before can be given back, and no decision is recorded.
func TestRetractAsksNoPolicy(t *testing.T) {
	w := newWorld(t, "[policies]\ndefault = \"deny\"\n", nil)
	p := w.peer()
	ctx := context.Background()
	room := w.room("11", "knock")
	w.mustKnock(p, w.knock(p, "ada", room), peer.Denied)

	w.state(room, "m.room.member", string(p.User("invited")), `{"membership":"invite"}`)
	r, err := w.rooms.Room(ctx, room)
	if err != nil {
		t.Fatal(err)
	}
	template, err := w.rooms.Template(ctx, r, p.User("ada"))
	if err != nil {
		t.Fatal(err)
	}
	event, _, err := p.SignKnock(parseTemplate(t, template), r.Version, w.knock(p, "ada", room))
	if err != nil {
		t.Fatal(err)
	}
	w.acceptRaw(t, r, event)

	decided := len(w.log.lines("msg=decision"))
	for _, localpart := range []string{"ada", "invited"} {
		k := w.knock(p, localpart, room)
		k.Retract = true
		w.mustKnock(p, k, peer.Allowed)
		if got := w.membership(room, k.User); got != "leave" {
			t.Errorf("%s: membership = %q, want leave", localpart, got)
		}
	}
	if now := len(w.log.lines("msg=decision")); now != decided {
		t.Errorf("%d decisions were made over leaves", now-decided)
	}
}

// TestRoomKnocksAndDecline runs the commands beside the running server: what is
// pending is listed without what a terminal would act on, a decline ends it, and
// the user can knock again.
func TestRoomKnocksAndDecline(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	run := func(code int, args ...string) string {
		t.Helper()
		var out strings.Builder
		if got := runContext(context.Background(), append(args, "--config", w.cfg.Path), &out, &out); got != code {
			t.Fatalf("%q: exit code %d, want %d\n%s", args, got, code, &out)
		}
		return out.String()
	}
	room := strings.TrimSpace(run(exitOK, "room", "create", "--alias", "#lobby", "--version", "12"))
	other := w.room("7", "knock")
	k := peer.Knock{Server: w.name, Room: matrix.RoomID(room), User: p.User("ada"), Reason: "a\x1b[2Jb\nc\u202ed\u009be\U000e0001" + strings.Repeat("f", 200), Displayname: "Ada\t\x07"}
	w.mustKnock(p, k, peer.Allowed)
	w.mustKnock(p, w.knock(p, "bob", other), peer.Allowed)
	raw := "\x1b\u202e\u009b\x07\U000e0001"

	table := run(exitOK, "room", "knocks")
	if strings.ContainsAny(table, raw) || strings.Count(table, "\n") != 3 {
		t.Errorf("want a heading and a clean line for each knock:\n%q", table)
	}
	for _, want := range []string{room, string(p.User("ada")), "a�[2Jb�c�d�e�ff", "…\n", "Ada��", string(other), string(p.User("bob")), "hello there"} {
		if !strings.Contains(table, want) {
			t.Errorf("room knocks does not say %q:\n%s", want, table)
		}
	}
	for _, name := range []string{room, "#lobby", "lobby", "#lobby:" + string(w.name)} {
		if got := run(exitOK, "room", "knocks", "--room", name); !strings.Contains(got, "ada") || strings.Contains(got, "bob") {
			t.Errorf("--room %s:\n%s", name, got)
		}
	}
	line := run(exitOK, "room", "knocks", "--json", "--room", "lobby")
	var got struct{ Room_id, User_id, Event_id, Reason, Displayname, Since string }
	if err := json.Unmarshal([]byte(line), &got); err != nil || strings.Count(line, "\n") != 1 || strings.ContainsAny(line, raw) {
		t.Errorf("%v: %q", err, line)
	}
	if got.Room_id != room || got.User_id != string(k.User) || got.Reason != k.Reason || got.Displayname != k.Displayname || got.Since == "" {
		t.Errorf("%+v, want the knock %+v", got, k)
	}

	if said := run(exitOK, "room", "decline", "--room", "lobby", "--reason", "not now", string(k.User)); !strings.Contains(said, "@knockgate:"+string(w.name)+" declined the knock of "+string(k.User)) {
		t.Errorf("decline: %s", said)
	}
	if said := run(exitFailed, "room", "decline", "--room", "lobby", string(k.User)); !strings.Contains(said, "is leave, not knock") {
		t.Errorf("a second decline: %s", said)
	}
	if got := run(exitOK, "room", "knocks", "--room", "lobby"); strings.Contains(got, "ada") {
		t.Errorf("the declined knock is still listed:\n%s", got)
	}
	w.mustKnock(p, k, peer.Allowed)
	if got := run(exitOK, "room", "knocks", "--room", "lobby"); !strings.Contains(got, "ada") {
		t.Errorf("the knock after the decline is not listed:\n%s", got)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"room", "knocks", "--room", "none"}, `--room "none": no room has this ID or alias`},
		{[]string{"room", "decline", "--room", "lobby", "nobody"}, `user ID "nobody"`},
		{[]string{"room", "decline", "@a:b"}, "--room: missing"},
		{[]string{"room", "decline", "--room", "lobby", "@a:b"}, "is none, not knock"},
	} {
		if got := run(exitFailed, tt.args...); !strings.Contains(got, tt.want) {
			t.Errorf("%q says %q, want %q", tt.args, got, tt.want)
		}
	}
}

// TestRetractCommand: the server that knocked takes the knock back by the
// command, and both exchanges are printed.
func TestRetractCommand(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	room := string(w.room("11", "knock"))
	as, key := freeAddress(t), filepath.Join(t.TempDir(), "knocker.key")
	for i, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"--as", as}, exitOK, []string{"Allowed: @knocker:" + as}},
		{[]string{"--as", as, "--retract", "--reason", "wrong room"}, exitOK, []string{
			"@knocker:" + as + " takes back a knock on", "make_leave  GET /_matrix/federation/v1/make_leave/", "template:",
			"signed event $", `"reason": "wrong room"`, "send_leave  PUT /_matrix/federation/v2/send_leave/", "200 OK", "Taken back: @knocker:" + as}},
		{[]string{"--as", as, "--retract"}, exitDenied, []string{"403 Forbidden", "Denied: You are not in this room"}},
		{[]string{"--as", as, "--retract", "--json"}, exitDenied, []string{`"outcome":"denied"`, `"make_leave":{"method":"GET"`}},
		{[]string{"--retract"}, exitFailed, []string{"--retract: name the server that knocked with --as"}},
	} {
		var out strings.Builder
		if code := runContext(context.Background(), append(append([]string{"knock", "--key", key}, tt.args...), room), &out, &out); code != tt.code {
			t.Errorf("%d, %v: exit code %d, want %d\n%s", i, tt.args, code, tt.code, &out)
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%d, %v: the output does not say %q:\n%s", i, tt.args, want, &out)
			}
		}
	}
}

// TestKnockRoomStateKey: the configuration says how the room's state is told.
func TestKnockRoomStateKey(t *testing.T) {
	for format, whole := range map[string][]string{"auto": {"12"}, "stripped": nil, "pdu": matrix.RoomVersionIDs()} {
		w := newWorldWith(t, strings.Replace(testFederation, "[federation]", fmt.Sprintf("[federation]\nknock_room_state = %q", format), 1)+allowAll)
		p := w.peer()
		for _, version := range matrix.RoomVersionIDs() {
			r := w.mustKnock(p, w.knock(p, "ada", w.room(version, "knock")), peer.Allowed)
			var answer struct {
				State []map[string]any `json:"knock_room_state"`
			}
			if err := json.Unmarshal(r.Send.Body, &answer); err != nil {
				t.Fatal(err)
			}
			creates := 0
			for _, e := range answer.State {
				_, signed := e["signatures"]
				create := e["type"] == "m.room.create"
				want := format == "pdu"
				if create {
					creates++
					want = strings.Contains(strings.Join(whole, " "), version)
				}
				if signed != want {
					t.Errorf("%s, version %s: %s is whole: %v, want %v", format, version, e["type"], signed, want)
				}
			}
			if creates != 1 {
				t.Errorf("%s, version %s: %d create events, want 1", format, version, creates)
			}
		}
	}
}

// acceptRaw has the rooms take a signed event, past the gateway and the policies.
func (w *world) acceptRaw(t *testing.T, r *knock.Room, event []byte) {
	t.Helper()
	e, err := pdu.ParseStored(event, r.Version)
	if err == nil {
		_, err = w.rooms.Accept(context.Background(), r, e)
	}
	if err != nil {
		t.Fatal(err)
	}
}
