package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/revisions"
)

// starter starts and stops the same server again and again.
type starter struct {
	t    *testing.T
	dir  string
	text string
	log  *logBuffer
}

func newStarter(t *testing.T, rest string) *starter {
	s := &starter{t: t, dir: t.TempDir(), text: "server_name = \"127.0.0.1:1\"\n[listen]\nfederation = \"127.0.0.1:0\"\n" + rest, log: &logBuffer{}}
	if err := os.Mkdir(filepath.Join(s.dir, "policies"), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *starter) write(name string, content []byte) {
	s.t.Helper()
	if err := replaceFile(filepath.Join(s.dir, name), content); err != nil {
		s.t.Fatal(err)
	}
}

// start starts the server and stops it. It returns its revision and what it
// says of a fallback.
func (s *starter) start() (revision, fallback string, err error) {
	s.t.Helper()
	s.write("config.toml", []byte(s.text))
	cfg, err := config.Load(filepath.Join(s.dir, "config.toml"))
	if err != nil {
		s.t.Fatal(err)
	}
	sys, err := openSystem(context.Background(), cfg, nil, time.Now, slog.New(slog.NewTextHandler(s.log, nil)))
	if err != nil {
		return "", "", err
	}
	revision, fallback = sys.gate.Revision(), sys.fallback
	if err := sys.Close(); err != nil {
		s.t.Error(err)
	}
	return revision, fallback, nil
}

func (s *starter) mustStart(wantRevision string) string {
	s.t.Helper()
	revision, fallback, err := s.start()
	if err != nil || fallback != "" {
		s.t.Fatalf("start: %v, %s", err, fallback)
	}
	if wantRevision != "" && revision != wantRevision {
		s.t.Fatalf("started with %.12s, want %.12s", revision, wantRevision)
	}
	return revision
}

func (s *starter) command(args ...string) (string, int) {
	var out strings.Builder
	code := runContext(context.Background(), append(args, "--config", filepath.Join(s.dir, "config.toml")), &out, &out)
	return out.String(), code
}

// TestLastKnownGood: a start whose module is bad runs what was in force
// before, and says which stage, which file and what runs; without anything
// kept, or with what is kept damaged, it is refused.
func TestLastKnownGood(t *testing.T) {
	s := newStarter(t, doorPolicy)
	s.write("policies/door.wasm", []byte("no module"))
	if _, _, err := s.start(); err == nil {
		t.Fatal("a first start without a module that loads succeeds")
	}
	if _, err := os.Stat(filepath.Join(s.dir, "state")); err == nil {
		t.Error("a start that failed left a state folder")
	}
	s.write("policies/door.wasm", doorShut)
	good := s.mustStart("")
	s.write("policies/door.wasm", []byte("no module"))
	revision, fallback, err := s.start()
	if err != nil || revision != good {
		t.Fatalf("started with %.12s, %v; want %.12s", revision, err, good)
	}
	for _, want := range []string{"scan", "door.wasm", "WebAssembly", good} {
		if !strings.Contains(fallback, want) || len(s.log.lines("level=ERROR", "do not load", want)) == 0 {
			t.Errorf("the line or the log does not say %q:\n%s\n%s", want, fallback, s.log)
		}
	}
	if out, code := s.command("policy", "status"); code != exitFailed || !strings.Contains(out, good) || !strings.Contains(out, "does not load") {
		t.Errorf("status: exit code %d:\n%s", code, out)
	}

	modules, err := filepath.Glob(filepath.Join(s.dir, "state", "modules", "*.wasm"))
	if err != nil || len(modules) != 1 {
		t.Fatalf("modules %v, %v; want one", modules, err)
	}
	if err := os.WriteFile(modules[0], []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.start(); err == nil || !strings.Contains(err.Error(), "door.wasm") || !strings.Contains(err.Error(), "digest") {
		t.Errorf("with what is kept damaged: %v; want both faults", err)
	}
	// A module that loads is kept again, over the damaged one.
	s.write("policies/door.wasm", door(t, 1))
	s.mustStart("")
	s.write("policies/door.wasm", doorShut)
	s.mustStart(good)
	s.write("policies/door.wasm", nil)
	if revision, _, err := s.start(); err != nil || revision != good {
		t.Errorf("started with %.12s, %v; want %.12s", revision, err, good)
	}
}

// TestOnBadStart: with "default" a start without anything that loads answers
// the chain's default, and says so.
func TestOnBadStart(t *testing.T) {
	s := newStarter(t, strings.Replace(doorPolicy, "default = \"allow\"", "default = \"deny\"\non_bad_start = \"default\"", 1))
	revision, fallback, err := s.start()
	if err != nil || revision == "" {
		t.Fatal(err)
	}
	if !strings.Contains(fallback, "every knock is answered deny") || !strings.Contains(fallback, "door.wasm") {
		t.Errorf("it says %q", fallback)
	}
	if a, err := revisions.Open(filepath.Join(s.dir, "state")).Active(); err != nil || a.Current != "" {
		t.Errorf("%+v, %v; want nothing kept", a, err)
	}
}

// TestRollbackOverRestarts: a rollback holds until the configuration or a
// module changes, and a second one undoes it.
func TestRollbackOverRestarts(t *testing.T) {
	s := newStarter(t, doorPolicy)
	s.write("policies/door.wasm", door(t, 1))
	first := s.mustStart("")
	if out, code := s.command("policy", "rollback"); code != exitFailed || !strings.Contains(out, "no previous revision") {
		t.Errorf("rollback with nothing to go back to: exit code %d:\n%s", code, out)
	}
	s.write("policies/door.wasm", door(t, 2))
	second := s.mustStart("")
	rollback := func() {
		t.Helper()
		if out, code := s.command("policy", "rollback"); code != exitOK {
			t.Fatalf("rollback: exit code %d:\n%s", code, out)
		}
	}
	rollback()
	s.mustStart(first)
	s.mustStart(first)
	if out, code := s.command("policy", "status"); code != exitOK || !strings.Contains(out, "by a rollback") || strings.Count(out, second) != 2 {
		t.Errorf("status: exit code %d, want the rollback, and %.12s as previous and as configured:\n%s", code, second, out)
	}
	rollback()
	s.mustStart(second)
	rollback()
	s.mustStart(first)
	s.text += "rooms = [\"!*\"]\n"
	third := s.mustStart("")
	if third == first || third == second {
		t.Error("the rollback holds though the configuration changed")
	}
	s.write("policies/door.wasm", nil)
	rollback() // against a configuration that does not load
	s.mustStart(first)
	s.write("policies/door.wasm", door(t, 2))
	s.mustStart(third)
}

// TestRollbackOfARunningServer: the server takes a rollback up without being
// told, and leaves it when a module changes.
func TestRollbackOfARunningServer(t *testing.T) {
	w := newWorld(t, doorPolicy, map[string][]byte{"door.wasm": doorOpen})
	p := w.peer()
	room := w.room("11", "knock")
	first := w.gate.Revision()
	current := func(revision string) {
		t.Helper()
		waitFor(t, "the revision to be kept", func() bool {
			a, err := w.revisions.Active()
			return err == nil && a.Current == revision && w.gate.Revision() == revision
		})
	}
	current(first)
	file := filepath.Join(w.dir, "policies", "door.wasm")
	if err := replaceFile(file, doorShut); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the swap", func() bool { return w.gate.Revision() != first })
	current(w.gate.Revision())
	w.mustKnock(p, w.knock(p, "ada", room), peer.Denied)
	var out strings.Builder
	if code := runContext(context.Background(), []string{"policy", "rollback", "--config", w.cfg.Path}, &out, &out); code != exitOK {
		t.Fatalf("rollback: exit code %d:\n%s", code, &out)
	}
	current(first)
	w.mustKnock(p, w.knock(p, "ada", room), peer.Allowed)
	if err := replaceFile(file, door(t, 3)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the changed module", func() bool { return w.gate.Revision() != first })
	current(w.gate.Revision())
	w.mustKnock(p, w.knock(p, "bob", room), peer.Denied)
	if a, err := w.revisions.Active(); err != nil || a.RolledBack != "" || a.Previous != first {
		t.Errorf("%+v, %v; want no rollback any more", a, err)
	}
}

// TestRollbackWithGrants: policies that are granted what only a running server
// has are looked at, and gone back to, like any other.
func TestRollbackWithGrants(t *testing.T) {
	s := newStarter(t, doorPolicy+"grants = [\"kv\", \"lists\"]\n")
	s.write("policies/door.wasm", door(t, 1))
	first := s.mustStart("")
	s.write("policies/door.wasm", door(t, 2))
	second := s.mustStart("")
	if out, code := s.command("policy", "status"); code != exitOK || !strings.Contains(out, second+"  the current one") {
		t.Errorf("status: exit code %d, want %.12s configured and current:\n%s", code, second, out)
	}
	if out, code := s.command("policy", "rollback"); code != exitOK {
		t.Fatalf("rollback: exit code %d:\n%s", code, out)
	}
	s.mustStart(first)
}
