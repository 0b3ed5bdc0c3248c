package resident

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// TestCreateRoom checks the first events of a room: their order, what they
// refer to, their signatures, and what differs between the versions.
func TestCreateRoom(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		v := roomVersion(t, version)
		if _, hasServer := id.Server(); hasServer == v.HashRoomID {
			t.Errorf("room ID %s", id)
		}
		s := w.current(id)
		var types []string
		var prev matrix.EventID
		bySeq := make(map[int64]*pdu.Event)
		for _, e := range s.own.events {
			bySeq[e.seq] = e.Event
		}
		public := newSigner(here).key.Public().(ed25519.PublicKey)
		for seq := int64(1); seq <= s.Position; seq++ {
			e := bySeq[seq]
			types = append(types, e.Type())
			if e.Depth() != seq || e.RoomID() != id || !e.ContentHashOK() {
				t.Errorf("%s: depth %d, room %s, hash %v", e.Type(), e.Depth(), e.RoomID(), e.ContentHashOK())
			}
			if seq > 1 && !cmp.Equal(e.PrevEvents(), []matrix.EventID{prev}) {
				t.Errorf("%s: prev_events %v, want %s", e.Type(), e.PrevEvents(), prev)
			}
			prev = e.ID()
			signed := 0
			for _, sig := range e.Signatures(here) {
				if ed25519.Verify(public, e.SigningBytes(), sig) {
					signed++
				}
			}
			if signed != 1 {
				t.Errorf("%s has %d good signatures, want 1", e.Type(), signed)
			}
			for _, auth := range e.AuthEvents() {
				if v.HashRoomID && auth == s.Create.ID() {
					t.Errorf("%s lists the create event", e.Type())
				}
			}
			want := min(int(seq)-1, 3)
			if v.HashRoomID {
				want = max(want-1, 0)
			}
			if len(e.AuthEvents()) != want {
				t.Errorf("%s has %d auth_events, want %d", e.Type(), len(e.AuthEvents()), want)
			}
		}
		if diff := cmp.Diff([]string{"m.room.create", "m.room.member", "m.room.power_levels", "m.room.canonical_alias",
			"m.room.join_rules", "m.room.history_visibility", "m.room.name", "m.room.topic"}, types); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if got := s.Create.Content().Get("creator").Exists(); got != v.CreatorInContent {
			t.Errorf("the create event names the creator: %v", got)
		}
		if got := s.PowerLevels.Content().Get("users").Get(string(admin)).Exists(); got == v.HashRoomID {
			t.Errorf("the power levels name the creator: %v", got)
		}
		list, err := w.Rooms(context.Background())
		want := []Summary{{ID: id, VersionID: version, Alias: "#lobby:here.example", Name: "Lobby", JoinRule: "knock", Joined: 1}}
		if diff := cmp.Diff(want, list); err != nil || diff != "" {
			t.Errorf("Rooms: %v (-want +got):\n%s", err, diff)
		}
	})
}

func TestCreateRoomRefuses(t *testing.T) {
	rules := map[string]string{"knock": "7", "invite": "7", "public": "7", "restricted": "8", "knock_restricted": "10"}
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		for rule, since := range rules {
			_, err := w.CreateRoom(context.Background(), RoomSpec{Version: roomVersion(t, version), JoinRule: rule})
			if has := len(version) > len(since) || len(version) == len(since) && version >= since; has != (err == nil) {
				t.Errorf("join rule %s: %v", rule, err)
			} else if err != nil && !strings.Contains(err.Error(), since+" and later") {
				t.Errorf("join rule %s: the error does not say which versions have it: %v", rule, err)
			}
		}
		for name, spec := range map[string]RoomSpec{
			"unknown rule":       {JoinRule: "private"},
			"allow with knock":   {Allow: []matrix.RoomID{"!r:x"}},
			"alias with server":  {Alias: "lobby:here.example"},
			"long alias":         {Alias: strings.Repeat("a", 250)},
			"creator with space": {Creator: "a b"},
			"creator in capital": {Creator: "Admin"},
			"long creator":       {Creator: strings.Repeat("a", 250)},
			"huge name":          {Name: strings.Repeat("a", 70_000)},
			"name no UTF-8":      {Name: "\xff"},
		} {
			spec.Version = roomVersion(t, version)
			if id, err := w.CreateRoom(context.Background(), spec); err == nil {
				t.Errorf("%s: made %s", name, id)
			}
		}
		list, err := w.Rooms(context.Background())
		want := 3 + map[bool]int{true: 1}[version != "7"] + map[bool]int{true: 1}[len(version) == 2]
		if err != nil || len(list) != want {
			t.Errorf("%d rooms, %v; want %d: a refused one leaves nothing", len(list), err, want)
		}
	})
}

// TestRestrictedAllow: the rooms whose members may join stand in the join rules.
func TestRestrictedAllow(t *testing.T) {
	w := newWorld(t)
	id := w.createSpec(RoomSpec{JoinRule: "knock_restricted", Allow: []matrix.RoomID{"!a:x", "!b:x"}})
	got := string(w.room(id).JoinRules.Content().Canonical())
	want := `{"allow":[{"room_id":"!a:x","type":"m.room_membership"},{"room_id":"!b:x","type":"m.room_membership"}],"join_rule":"knock_restricted"}`
	if got != want {
		t.Errorf("join rules %s, want %s", got, want)
	}
	w.mustKnock(id, user("alice"))
}

// TestSendState: what our own users may do, and may not.
func TestSendState(t *testing.T) {
	const bob = matrix.UserID("@bob:here.example")
	const forbidden = "403 M_FORBIDDEN"
	type step struct {
		name         string
		sender       matrix.UserID
		typ, key     string
		content      string
		want         string
		wantMemberOf matrix.UserID // whose membership must have been set
	}
	member := func(m string) string { return fmt.Sprintf(`{"membership":%q}`, m) }
	alice := user("alice")
	steps := []step{
		{"not joined", bob, "m.room.name", "", `{"name":"x"}`, forbidden, ""},
		{"join uninvited", bob, "m.room.member", string(bob), member("join"), forbidden, ""},
		{"invite by a stranger", bob, "m.room.member", string(alice), member("invite"), forbidden, ""},
		{"invite", admin, "m.room.member", string(bob), member("invite"), "ok", bob},
		{"join for another", admin, "m.room.member", string(bob), member("join"), forbidden, ""},
		{"join", bob, "m.room.member", string(bob), member("join"), "ok", bob},
		{"invite who is in", admin, "m.room.member", string(bob), member("invite"), forbidden, ""},
		{"without power", bob, "m.room.name", "", `{"name":"x"}`, forbidden, ""},
		{"ban without power", bob, "m.room.member", string(alice), member("ban"), forbidden, ""},
		{"ban the admin", bob, "m.room.member", string(admin), member("ban"), forbidden, ""},
		{"raise oneself", bob, "m.room.power_levels", "", `{"users":{"@bob:here.example":100}}`, forbidden, ""},
		{"levels that are no integers", admin, "m.room.power_levels", "", `{"users":{"@bob:here.example":"50"}}`, forbidden, ""},
		{"levels that are no object", admin, "m.room.power_levels", "", `{"events":[]}`, forbidden, ""},
		{"ban", admin, "m.room.member", string(alice), member("ban"), "ok", alice},
		{"ban twice", admin, "m.room.member", string(alice), member("ban"), "ok", alice},
		{"invite the banned", admin, "m.room.member", string(alice), member("invite"), forbidden, ""},
		{"unban", admin, "m.room.member", string(alice), member("leave"), "ok", alice},
		{"kick who is not there", admin, "m.room.member", string(alice), member("leave"), forbidden, ""},
		{"a second create", admin, "m.room.create", "", `{}`, forbidden, ""},
		{"a knock of our own", bob, "m.room.member", string(bob), member("knock"), forbidden, ""},
		{"no membership", admin, "m.room.member", string(alice), `{}`, forbidden, ""},
		{"a member who is no user", admin, "m.room.member", "alice", member("ban"), forbidden, ""},
		{"another's state key", admin, "org.example", "@bob:here.example", `{}`, forbidden, ""},
		{"a user elsewhere", alice, "m.room.name", "", `{"name":"x"}`, forbidden, ""},
		{"no object", admin, "m.room.name", "", `[]`, "400 M_BAD_JSON", ""},
		{"no JSON", admin, "m.room.name", "", `{`, "400 M_BAD_JSON", ""},
		{"a float", admin, "m.room.name", "", `{"n":1.5}`, "400 M_BAD_JSON", ""},
		{"leave", bob, "m.room.member", string(bob), member("leave"), "ok", bob},
		{"leave twice", bob, "m.room.member", string(bob), member("leave"), forbidden, ""},
	}
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		for _, s := range steps {
			e, err := w.SendState(context.Background(), id, s.sender, s.typ, s.key, []byte(s.content))
			if status(err) != s.want {
				t.Errorf("%s: %v, want %s", s.name, err, s.want)
				continue
			}
			if s.wantMemberOf != "" {
				if m := w.room(id).Member(s.wantMemberOf); m == nil || m.ID() != e {
					t.Errorf("%s: the membership is %v", s.name, m)
				}
			}
		}
		if got := w.room(id).Joined; got != 1 {
			t.Errorf("%d joined, want 1", got)
		}
		// The creator of a version 12 room must not be listed.
		levels := fmt.Sprintf(`{"users":{%q:100}}`, admin)
		want := map[bool]string{true: forbidden, false: "ok"}[version == "12"]
		if _, err := w.SendState(context.Background(), id, admin, "m.room.power_levels", "", []byte(levels)); status(err) != want {
			t.Errorf("levels that list the creator: %v, want %s", err, want)
		}
	})
}

func TestNewLocalRefuses(t *testing.T) {
	st := newWorld(t).Store
	for name, o := range map[string]Options{
		"no store":  {Server: here, Signer: signer(here)},
		"no signer": {Server: here, Store: st},
		"no name":   {Signer: signer(here), Store: st},
		"format":    {Server: here, Signer: signer(here), Store: st, Answer: "full"},
	} {
		if _, err := NewLocal(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
