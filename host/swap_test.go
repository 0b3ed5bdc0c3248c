package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/store"
)

const doorPolicy = `
[policies]
default = "allow"
[[policy]]
name = "door"
module = "door.wasm"
`

// door returns a module that denies every knock and says its number.
func door(t testing.TB, number int) []byte {
	t.Helper()
	words := []byte("The door is shut for the night")
	own := fmt.Appendf(nil, "door %025d", number)
	if len(own) != len(words) || bytes.Count(doorShut, words) != 1 {
		t.Fatalf("door_shut.wasm does not hold %q once, or %q is not as long", words, own)
	}
	return bytes.Replace(doorShut, words, own, 1)
}

// TestSwapUnderLoad: 16 goroutines knock while a policy's file is replaced 50
// times, or 12 with -short. No request fails, each is answered by a module that was in force, and
// each record cites the revision of the module that made it.
func TestSwapUnderLoad(t *testing.T) {
	swaps, knockers := 50, 16
	if testing.Short() {
		swaps = 12
	}
	w := newWorld(t, doorPolicy, map[string][]byte{"door.wasm": door(t, 0)})
	p := w.peer()
	room := w.room("11", "knock")
	revisions := map[string]int{w.gate.Revision(): 0}

	var asked atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range knockers {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				r, err := p.Knock(context.Background(), w.knock(p, fmt.Sprintf("u%d-%d", i, n), room))
				if err != nil || r.Outcome() != peer.Denied || !doorWords.MatchString(lastWords(r)) {
					t.Errorf("knock %d of goroutine %d: %v, %+v", n, i, err, r.Make)
					return
				}
				asked.Add(1)
			}
		})
	}
	for i := 1; i <= swaps; i++ {
		before := w.gate.Revision()
		if err := replaceFile(filepath.Join(w.dir, "policies", "door.wasm"), door(t, i)); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the swap", func() bool { return w.gate.Revision() != before })
		revisions[w.gate.Revision()] = i
	}
	close(stop)
	wg.Wait()
	if len(revisions) != swaps+1 {
		t.Fatalf("%d revisions after %d swaps", len(revisions), swaps)
	}

	if err := w.store.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	list, err := w.store.Decisions(context.Background(), store.DecisionFilter{Limit: int(asked.Load()) + 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := int64(len(list)), asked.Load(); got != want {
		t.Errorf("%d records of %d decisions", got, want)
	}
	met := map[string]bool{}
	for _, d := range list {
		number, ok := revisions[d.Revision]
		if want := fmt.Sprintf("door %025d", number); !ok || d.Message != want {
			t.Errorf("a decision of %q cites revision %.12s, which is %q (known: %v)", d.Message, d.Revision, want, ok)
		}
		met[d.Revision] = true
	}
	t.Logf("%d knocks met %d of %d revisions", len(list), len(met), len(revisions))
	if stats := w.engine.Stats(); stats.Policies != 1 {
		t.Errorf("%d policies loaded after the swaps, want 1: %+v", stats.Policies, stats)
	}
}

var doorWords = regexp.MustCompile(`^door \d{25}$`)

// TestBadSwapKeepsTheRunningChain: a file that is no module leaves the running
// policy in force and says why; the next good file takes over.
func TestBadSwapKeepsTheRunningChain(t *testing.T) {
	w := newWorld(t, doorPolicy, map[string][]byte{"door.wasm": door(t, 1)})
	p := w.peer()
	room := w.room("11", "knock")
	file := filepath.Join(w.dir, "policies", "door.wasm")
	before := w.gate.Revision()

	if err := replaceFile(file, []byte("no module")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the failed reload in the log", func() bool { return len(w.log.lines("reload failed", "door.wasm", before)) > 0 })
	if r := w.mustKnock(p, w.knock(p, "ada", room), peer.Denied); !doorWords.MatchString(lastWords(r)) {
		t.Errorf("denied with %q, not by the running policy", lastWords(r))
	}
	if err := replaceFile(file, doorOpen); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the swap", func() bool { return w.gate.Revision() != before })
	w.mustKnock(p, w.knock(p, "ada", room), peer.Allowed)
}

// waitFor waits until something is so, which nothing tells us of; it fails the
// test if it is not so for very long.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("waited long for %s", what)
		case <-tick.C:
		}
	}
}

// TestConfigReload: a changed configuration is loaded without a restart, with
// modules it did not name before, which then are watched too. One that is
// faulty, and keys that need a restart, are said.
func TestConfigReload(t *testing.T) {
	w := newWorld(t, doorPolicy, map[string][]byte{"door.wasm": doorOpen, "other.wasm": doorOpen})
	p := w.peer()
	room := w.room("11", "knock")
	w.mustKnock(p, w.knock(p, "ada", room), peer.Allowed)

	text, err := os.ReadFile(w.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	before := w.gate.Revision()
	edit := func(s string) {
		t.Helper()
		if err := replaceFile(w.cfg.Path, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	edit(string(text) + "[[policy]]\nname = \"other\"\nmodule = \"other.wasm\"\n")
	waitFor(t, "the chain of the new configuration", func() bool { return w.gate.Revision() != before })
	before = w.gate.Revision()
	if err := replaceFile(filepath.Join(w.dir, "policies", "other.wasm"), doorShut); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the swap of the new policy", func() bool { return w.gate.Revision() != before })
	w.mustKnock(p, w.knock(p, "bob", room), peer.Denied)

	edit(string(text) + "[polices]\n")
	waitFor(t, "the faulty configuration in the log", func() bool { return len(w.log.lines("reload failed", "polices", "unknown key")) > 0 })
	w.mustKnock(p, w.knock(p, "bob", room), peer.Denied)

	edit(strings.Replace(string(text), "burst = 1000000", "burst = 5", 1))
	waitFor(t, "the warning in the log", func() bool { return len(w.log.lines("take effect at the next start", "federation")) > 0 })
	waitFor(t, "the first chain", func() bool {
		r, err := p.Knock(context.Background(), w.knock(p, "eve", room))
		return err == nil && r.Outcome() == peer.Allowed
	})
}

// TestReloadOnSIGHUP: the signal reloads where watching is off.
func TestReloadOnSIGHUP(t *testing.T) {
	w := newWorld(t, strings.Replace(doorPolicy, "[policies]", "[policies]\nwatch = false", 1), map[string][]byte{"door.wasm": doorOpen})
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	before := w.gate.Revision()
	if err := replaceFile(filepath.Join(w.dir, "policies", "door.wasm"), doorShut); err != nil {
		t.Fatal(err)
	}
	if w.gate.Revision() != before {
		t.Fatal("swapped without being told to")
	}
	waitFor(t, "the swap", func() bool {
		// Again, as the program may not yet listen for the signal, which then
		// would end it: this test listens too.
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		return w.gate.Revision() != before
	})
}
