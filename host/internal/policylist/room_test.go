package policylist

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

const policyRoom = matrix.RoomID("!rules:lists.example")

// stubRooms has one state for the room of the tests, or an error.
type stubRooms struct {
	mu    sync.Mutex
	state string // guarded by mu
	err   error  // guarded by mu
	asked int    // guarded by mu
	open  int    // guarded by mu
}

func (s *stubRooms) State(_ context.Context, room matrix.RoomID) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	switch {
	case room != policyRoom:
		return nil, errors.New("no such room")
	case s.err != nil:
		return nil, s.err
	}
	s.open++
	return &stubState{strings.NewReader(s.state), s}, nil
}

func (s *stubRooms) set(state string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.err = state, err
}

func (s *stubRooms) count() (asked, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.open
}

type stubState struct {
	io.Reader
	rooms *stubRooms
}

func (s *stubState) Close() error {
	s.rooms.mu.Lock()
	defer s.rooms.mu.Unlock()
	s.rooms.open--
	return nil
}

// TestRoom: the rules of a room are fetched and kept as a copy, and stay as they were
// by whatever is wrong with the answer, in this process and in the next.
func TestRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lists")
	var log strings.Builder
	rooms := &stubRooms{err: errors.New("the user is not in the room")}
	o := Options{
		Lists: []config.List{{Name: "bad", Room: policyRoom, Every: time.Hour}}, Rooms: rooms, Dir: dir,
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	open := func() (*Lists, error) { return Open(t.Context(), o) }
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "list bad: room !rules:lists.example: the user is not in the room") {
		t.Errorf("a first start without an answer: %v", err)
	}
	o.Offline = true
	if l, err := open(); err != nil || l.lists["bad"].set.Load().entries != 0 {
		t.Errorf("a command that looks, without a copy: %v", err)
	}
	o.Offline = false

	expect := func(step string, l *Lists, key string, want bool) {
		t.Helper()
		if has, known := l.Has([]byte("bad"), []byte(key)); has != want || !known {
			t.Errorf("%s: Has(%q) = %v, %v; want %v, true", step, key, has, known, want)
		}
	}
	one, two := ruleEvent("m.policy.rule.user", "1", ban("@a:b")), ruleEvent("m.policy.rule.server", "2", ban("*.evil.example"))
	rooms.set(state(one, two, ruleEvent("m.policy.rule.user", "3", ban("")), ruleEvent("m.policy.rule.user", "4", `{"entity":"@c:d","recommendation":"m.mute"}`)), nil)
	l, err := open()
	if err != nil {
		t.Fatal(err)
	}
	expect("first", l, "@A:b", true)
	expect("first", l, "x.evil.example", true)
	expect("first", l, "@c:d", false)
	if text := log.String(); !strings.Contains(text, "faulty=1 of_other_recommendation=1 globs_too_many=0") {
		t.Errorf("the log does not count what was not taken: %s", text)
	}
	if s := l.Status(); len(s) != 1 || s[0].Entries != 2 || s[0].Stale || time.Since(s[0].Modified) > time.Hour {
		t.Errorf("status %+v", s)
	}

	// The same rules in another order are the same list, and no other copy.
	copyFile := filepath.Join(dir, "bad.txt")
	if err := os.Chtimes(copyFile, time.Time{}, time.Unix(100, 0)); err != nil {
		t.Fatal(err)
	}
	rooms.set(state(two, one), nil)
	source := l.lists["bad"].source
	if _, err := source.fetch(t.Context()); !errors.Is(err, errUnchanged) {
		t.Errorf("again: %v, want errUnchanged", err)
	}
	if info, err := os.Stat(copyFile); err != nil || info.ModTime().Equal(time.Unix(100, 0)) || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy after the same answer: %v, %v", info, err)
	}

	for name, bad := range map[string]struct{ state, want string }{
		"no rules of no room": {"[]", "m.room.create"},
		"cut off":             {"[" + created, "unexpected EOF"},
		"no JSON":             {"<html>", "no state of a room"},
	} {
		rooms.set(bad.state, nil)
		if _, err := source.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), bad.want) || !strings.Contains(err.Error(), string(policyRoom)) {
			t.Errorf("%s: %v, want %q and the room", name, err, bad.want)
		}
	}
	if _, open := rooms.count(); open != 0 {
		t.Errorf("%d answers are not closed", open)
	}

	// The next process takes the copy, whatever the homeserver does.
	asked, _ := rooms.count()
	if l, err = open(); err != nil {
		t.Fatal(err)
	}
	if now, _ := rooms.count(); now != asked {
		t.Errorf("a later start asked %d times, want none", now-asked)
	}
	expect("copy", l, "@a:b", true)
	rooms.set(state(two, one), nil)
	if _, err := l.lists["bad"].source.fetch(t.Context()); !errors.Is(err, errUnchanged) {
		t.Errorf("the same as the copy: %v, want errUnchanged", err)
	}
	rooms.set(state(), nil)
	if s, err := l.lists["bad"].source.fetch(t.Context()); err != nil || s.entries != 0 {
		t.Errorf("a room without rules: %v", err)
	}

	// A copy of another room or of a URL, or a damaged one, is not taken for this one.
	rooms.set("", errors.New("gone"))
	for text, want := range map[string]string{
		"# from !rules:lists.example2 \n":               "gone",
		"# from https://lists.example \nuser @a:b\n":    "gone",
		"# from !rules:lists.example \nplanet mars\n":   "line 1",
		"# from !rules:lists.example \nuser @a:b\n\xff": "line 2",
	} {
		if err := os.WriteFile(copyFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "gone") {
			t.Errorf("copy %q: %v, want %q", text, err, want)
		}
	}
}

// TestRoomChanges: a room is fetched at the start of the watch, and when it is told
// to have changed; a fault leaves the list, and the end of the watch leaves nothing
// running.
func TestRoomChanges(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	rooms := &stubRooms{state: state()}
	l, err := Open(t.Context(), Options{
		Lists: []config.List{{Name: "bad", Room: policyRoom, Every: time.Hour}}, Rooms: rooms, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.rest = 0
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { done <- l.Watch(ctx, true) }()
	until := func(what string, is func() bool) {
		t.Helper()
		for !is() {
			select {
			case err := <-done:
				t.Fatalf("%s: the watch ended: %v", what, err)
			case <-time.After(time.Millisecond):
			}
		}
	}
	until("the start", func() bool { asked, _ := rooms.count(); return asked == 2 })

	rooms.set(state(ruleEvent("m.policy.rule.user", "1", ban("@a:b"))), nil)
	l.Forget("!other:lists.example")
	l.Forget(policyRoom)
	l.Forget(policyRoom)
	has := func(key string) bool { has, _ := l.Has([]byte("bad"), []byte(key)); return has }
	until("a change", func() bool { return has("@a:b") })

	rooms.set("", errors.New("the homeserver is away"))
	l.Forget(policyRoom)
	until("a fault", func() bool { return l.Status()[0].Stale })
	if !has("@a:b") {
		t.Error("a fault has emptied the list")
	}
	rooms.set(state(), nil)
	l.Forget(policyRoom)
	until("a rule withdrawn", func() bool { return !has("@a:b") && !l.Status()[0].Stale })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
