package resident

import (
	"context"
	"testing"

	"github.com/knockgate/knockgate/host/internal/knock"
)

// TestCounts: who waits, is banned and is joined is counted through everything
// that becomes of them, for all and by server, in memory and after a restart; a
// snapshot goes on saying what it said.
func TestCounts(t *testing.T) {
	w := newWorld(t)
	id := w.create("11")
	check := func(what string, all, there knock.Counts) {
		t.Helper()
		r := w.room(id)
		if r.Counts != all || r.Of("there.example") != there {
			t.Errorf("%s: %+v, of there.example %+v; want %+v and %+v", what, r.Counts, r.Of("there.example"), all, there)
		}
	}
	check("made", knock.Counts{Joined: 1}, knock.Counts{})
	if got := w.room(id).Of(here); got != (knock.Counts{Joined: 1}) {
		t.Errorf("of our own: %+v", got)
	}
	w.mustKnock(id, user("alice"))
	w.mustKnock(id, user("alice")) // again, which is one user
	w.mustKnock(id, user("bob"))
	w.mustKnock(id, "@carol:there.example:8448") // which is another server
	check("knocked", knock.Counts{Joined: 1, Pending: 3}, knock.Counts{Pending: 2})
	before := w.room(id)

	if err := w.send(id, w.leave(w.leaveTemplate(id, user("alice")))); err != nil {
		t.Fatal(err)
	}
	check("taken back", knock.Counts{Joined: 1, Pending: 2}, knock.Counts{Pending: 1})
	if _, err := w.Decline(context.Background(), id, user("bob"), ""); err != nil {
		t.Fatal(err)
	}
	check("declined", knock.Counts{Joined: 1, Pending: 1}, knock.Counts{})
	w.mustKnock(id, user("bob"))
	check("knocked after a decline", knock.Counts{Joined: 1, Pending: 2}, knock.Counts{Pending: 1})
	w.membership(id, user("bob"), "invite")
	check("invited", knock.Counts{Joined: 1, Pending: 1}, knock.Counts{})
	w.membership(id, user("dave"), "ban")
	w.membership(id, "@carol:there.example:8448", "ban")
	w.set(id, "m.room.name", "", `{"name":"Other"}`)
	check("banned", knock.Counts{Joined: 1, Banned: 2}, knock.Counts{Banned: 1})
	w.membership(id, user("dave"), "leave")
	w.mustKnock(id, user("dave"))
	check("unbanned", knock.Counts{Joined: 1, Pending: 1, Banned: 1}, knock.Counts{Pending: 1})

	if got := before.Of("there.example"); before.Pending != 3 || got.Pending != 2 {
		t.Errorf("a snapshot has changed: %d, %+v", before.Pending, got)
	}
	w.checkAgrees(t, id, w.room(id).Position)
	w = w.reopen()
	check("restarted", knock.Counts{Joined: 1, Pending: 1, Banned: 1}, knock.Counts{Pending: 1})
	if got := w.room(id).Of("there.example:8448"); got != (knock.Counts{Banned: 1}) {
		t.Errorf("of a server with a port: %+v", got)
	}
	w.checkAgrees(t, id, w.room(id).Position)
}
