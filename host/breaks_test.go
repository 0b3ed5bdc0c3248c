package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/policies"
)

// breaking is a server whose disk or database a test breaks.
type breaking struct {
	*world
	p    *peer.Peer
	room matrix.RoomID
}

// newBreaking starts a resident server that denies users called spam. before, unless nil,
// is told the state folder before there is one.
func newBreaking(t *testing.T, before func(t *testing.T, state string)) *breaking {
	t.Helper()
	module, err := policies.FS.ReadFile("user_rules/user_rules.wasm")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), log: &logBuffer{}}
	if err := os.Mkdir(filepath.Join(w.dir, "policies"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "policies", "user_rules.wasm"), module, 0o600); err != nil {
		t.Fatal(err)
	}
	if before != nil {
		before(t, filepath.Join(w.dir, "state"))
	}
	w.start(func(address string) string {
		return fmt.Sprintf("server_name = %q\n[listen]\nfederation = %q\n", address, address) + testFederation + adminAnywhere + `
[policies]
default = "allow"
[[policy]]
name = "users"
module = "user_rules.wasm"
[policy.settings]
rules = [ { deny = "@spam*" } ]
`
	})
	return &breaking{w, w.peer(), w.room("11", "knock")}
}

// answers holds the server to the answers that it gives whatever the store does: those of
// make_knock and the denials.
func (b *breaking) answers(t *testing.T, when string, spamEvent []byte, spamID matrix.EventID) {
	t.Helper()
	for _, c := range []struct {
		method, target string
		body           []byte
		want           int
	}{
		{http.MethodGet, peer.MakeTarget(b.room, b.p.User("ada"), nil), nil, 200},
		{http.MethodGet, peer.MakeTarget(b.room, b.p.User("spam"), nil), nil, 403},
		{http.MethodPut, peer.SendTarget(b.room, spamID), spamEvent, 403},
	} {
		if x := b.do(t, b.p, c.method, c.target, c.body); x.Status != c.want {
			t.Errorf("%s: %s %s: %d %s, want %d", when, c.method, c.target, x.Status, x.Body, c.want)
		}
	}
}

// during breaks the server's store and holds it to what it does then and afterwards. said is
// what the log and /readyz say.
func (b *breaking) during(t *testing.T, said []string, begin func() (end func())) {
	t.Helper()
	event, id := b.signed(t, b.p, b.room, "ada", nil)
	spam, err := b.rooms.Room(t.Context(), b.room)
	if err != nil {
		t.Fatal(err)
	}
	template, err := b.rooms.Template(t.Context(), spam, b.p.User("spam"))
	if err != nil {
		t.Fatal(err)
	}
	root := parseTemplate(t, template)
	version, _ := matrix.LookupRoomVersion("11")
	spamEvent, spamID, err := b.p.SignKnock(root, version, b.knock(b.p, "spam", b.room))
	if err != nil {
		t.Fatal(err)
	}
	b.answers(t, "before", spamEvent, spamID)
	if err := b.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}

	end := begin()
	for range 3 {
		b.answers(t, "meanwhile", spamEvent, spamID)
	}
	x := b.do(t, b.p, http.MethodPut, peer.SendTarget(b.room, id), event)
	if code, _ := x.Errcode(); x.Status != 500 || code != "M_UNKNOWN" || strings.Contains(string(x.Body), "disk") || strings.Contains(string(x.Body), "lock") {
		t.Errorf("a knock that cannot be stored: %d %s, want 500 M_UNKNOWN without a cause", x.Status, x.Body)
	}
	if got := b.membership(b.room, b.p.User("ada")); got != "" {
		t.Errorf("a knock that was not stored is in the room: %q", got)
	}
	status, wrong := b.readyz()
	for _, part := range append(said, storeFile) {
		if status != 503 || !strings.Contains(wrong["store"], part) {
			t.Errorf("readyz: %d %q, want 503 and %q in it", status, wrong, part)
		}
	}
	b.waitFor("a lost decision", func() bool { return b.store.DecisionsDropped() > 0 })
	b.waitForLine(append([]string{"level=ERROR", "decisions are not stored"}, said...)...)
	b.answers(t, "after losses", spamEvent, spamID)
	if n := len(b.log.lines("decisions are not stored")); n > 2 { // one a minute
		t.Errorf("%d lines say that decisions are not stored", n)
	}

	end()
	b.waitFor("a store that takes writes", func() bool { return b.store.CheckWritable(context.Background()) == nil })
	if x := b.do(t, b.p, http.MethodPut, peer.SendTarget(b.room, id), event); x.Status != 200 {
		t.Errorf("the knock again, afterwards: %d %s, want 200", x.Status, x.Body)
	}
	if got := b.membership(b.room, b.p.User("ada")); got != "knock" {
		t.Errorf("the knock again, afterwards: membership %q, want knock", got)
	}
	b.waitForLine("decisions are stored again")
	b.waitFor("green readyz", func() bool { status, _ := b.readyz(); return status == 200 })
	if err := b.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := b.store.Decisions(t.Context(), store.DecisionFilter{User: string(b.p.User("ada")), Limit: 1})
	if err != nil || len(list) != 1 || list[0].Event != string(id) || list[0].Status != 200 {
		t.Errorf("afterwards the newest decision is %+v, %v; want the knock's", list, err)
	}
}

// TestDiskTakesNothing: no file of the process may grow, which is what a full quota, or a
// disk that has become read-only, is to the store.
func TestDiskTakesNothing(t *testing.T) {
	b := newBreaking(t, nil)
	b.during(t, []string{"the disk does not take it"}, func() func() {
		var was syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Fatal(err)
		}
		restore := func() {
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(restore)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1, Max: was.Max}); err != nil {
			t.Fatal(err)
		}
		return restore
	})
}

// TestDiskFull fills a file system of its own.
func TestDiskFull(t *testing.T) {
	filler := ""
	b := newBreaking(t, func(t *testing.T, state string) {
		mountTmpfs(t, state, "size=16m")
		filler = filepath.Join(state, "filler")
	})
	b.during(t, []string{"the disk is full", "make room"}, func() func() {
		f, err := os.Create(filler)
		if err != nil {
			t.Fatal(err)
		}
		for page := make([]byte, 4096); err == nil; {
			_, err = f.Write(page)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestStoreLocked: another process holds a transaction that writes, for longer than a
// writer waits.
func TestStoreLocked(t *testing.T) {
	if testing.Short() {
		t.Skip("each write waits for 5 seconds")
	}
	b := newBreaking(t, nil)
	b.during(t, []string{"locked by another process", "stop that process"}, func() func() {
		return lockStore(t, filepath.Join(b.dir, "state", storeFile))
	})
}

// lockStore begins a transaction that writes, on a connection of its own.
func lockStore(t *testing.T, path string) (unlock func()) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return func() {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// mountTmpfs mounts a file system in memory at dir, until the test ends.
func mountTmpfs(t *testing.T, dir, options string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts a file system")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skip("no file system can be mounted here:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
}
