package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/sdk/abi"
)

const roomACL = `{"allow":["*"],"deny":["*.evil.example"]}`

// toldLast returns what the policies were told of the room at the last decision,
// as its record has it.
func (w *world) toldLast(t *testing.T) abi.RoomFacts {
	t.Helper()
	if err := w.store.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	d := lastDecision(t, w)
	r, err := decisionlog.Restore(&d)
	if err != nil {
		t.Fatal(err)
	}
	r.Facts.Room.AgeMS = 0 // a test takes as long as it takes
	return r.Facts.Room
}

// TestRoomFacts: of a room of our own, policies are told all there is, as it is at
// each knock.
func TestRoomFacts(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p, other := w.peer(), w.peer()
	room := w.room("11", "knock")
	check := func(what string, want abi.RoomFacts) {
		t.Helper()
		want.Known, want.JoinRule, want.Members = true, abi.Some("knock"), 1
		want.MembersServer = abi.Count(0)
		got := w.toldLast(t)
		want.Name, want.Alias = got.Name, got.Alias
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	asks := func(p *peer.Peer, user string) {
		t.Helper()
		target := peer.MakeTarget(room, p.User(user), nil)
		if x := w.do(t, p, http.MethodGet, target, nil); x.Status != http.StatusOK && x.Status != http.StatusForbidden {
			t.Fatalf("make_knock: %d %s", x.Status, x.Body)
		}
	}
	asks(p, "ada")
	check("nobody has knocked", abi.RoomFacts{
		ACL: abi.Some(""), Pending: abi.Count(0), PendingServer: abi.Count(0), Banned: abi.Count(0), BannedServer: abi.Count(0),
	})
	w.mustKnock(p, w.knock(p, "ada", room), peer.Allowed)
	w.mustKnock(other, w.knock(other, "bob", room), peer.Allowed)
	w.state(room, "m.room.server_acl", "", roomACL)
	w.state(room, "m.room.member", string(p.User("eve")), `{"membership":"ban"}`)
	asks(p, "ada")
	r, err := w.rooms.Room(context.Background(), room)
	if err != nil {
		t.Fatal(err)
	}
	ada := p.User("ada")
	check("two have knocked, one is banned", abi.RoomFacts{
		ACL: abi.Some(roomACL), Pending: abi.Count(2), PendingServer: abi.Count(1), Banned: abi.Count(1), BannedServer: abi.Count(1),
		UserMembership: abi.Some("knock"), UserMembershipBy: abi.Some(string(ada)), UserMembershipSinceMS: abi.Count(r.Member(ada).OriginServerTS()),
	})
	asks(other, "carol")
	check("a knocker of another server", abi.RoomFacts{
		ACL: abi.Some(roomACL), Pending: abi.Count(2), PendingServer: abi.Count(1), Banned: abi.Count(1), BannedServer: abi.Count(0),
	})
}

// TestFrontFacts: of a homeserver's room, policies are told what the first source
// that knows it has said; without one, nothing.
func TestFrontFacts(t *testing.T) {
	const id = matrix.RoomID("!r:here.example")
	answers := map[string]string{
		"/_matrix/federation/v1/make_knock/": `{"event":{},"room_version":"11"}`,
		"/_matrix/client/v1/room_summary/":   `{"room_id":"!r:here.example","room_version":"11","name":"Lobby","join_rule":"knock","num_joined_members":1,"membership":"join"}`,
		"/_matrix/client/v3/rooms/": `[{"type":"m.room.server_acl","state_key":"","content":` + roomACL + `},{"type":"m.room.name","state_key":"","content":{"name":"Hall"}},` +
			`{"type":"m.room.member","state_key":"@u:here.example","sender":"@u:here.example","origin_server_ts":1,"content":{"membership":"join"}},` +
			`{"type":"m.room.member","state_key":"KNOCKER","sender":"@mod:here.example","origin_server_ts":7,"content":{"membership":"leave"}},` +
			`{"type":"m.room.member","state_key":"OTHER","sender":"OTHER","origin_server_ts":8,"content":{"membership":"knock"}}]`,
	}
	var knocker matrix.UserID
	homeserver := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for path, answer := range answers {
			if strings.HasPrefix(r.URL.Path, path) {
				users := strings.NewReplacer("KNOCKER", string(knocker), "OTHER", "@other:"+string(knocker.Server()))
				_, _ = io.WriteString(w, users.Replace(answer))
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errcode":"M_NOT_FOUND","error":"Room not found"}`)
	})
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, config string
		want         abi.RoomFacts
	}{
		{"no source", "", abi.RoomFacts{}},
		{"one that does not know", "[upstream.admin]\ntoken_file = %[1]q\n", abi.RoomFacts{}},
		{"the second knows", "[upstream.admin]\ntoken_file = %[1]q\n[upstream.bot]\ntoken_file = %[1]q\n", abi.RoomFacts{
			Known: true, Name: abi.Some("Hall"), Members: 1, ACL: abi.Some(roomACL), Pending: abi.Count(1), PendingServer: abi.Count(1),
			MembersServer: abi.Count(0), Banned: abi.Count(0), BannedServer: abi.Count(0),
			UserMembership: abi.Some("leave"), UserMembershipBy: abi.Some("@mod:here.example"), UserMembershipSinceMS: abi.Count(7),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rest := tt.config
			if rest != "" {
				rest = fmt.Sprintf(rest, token)
			}
			f := newFront(t, homeserver, rest+allowAll)
			p := f.peer()
			knocker = p.User("ada")
			if x := f.do(t, p, http.MethodGet, peer.MakeTarget(id, knocker, nil), nil); x.Status != http.StatusOK {
				t.Fatalf("make_knock: %d %s", x.Status, x.Body)
			}
			if diff := cmp.Diff(tt.want, f.toldLast(t)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
