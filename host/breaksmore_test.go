package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/policies"
)

// serveFails starts the program and holds it to one line with all of the words, and exit
// code 1.
func serveFails(t *testing.T, dir string, words ...string) {
	t.Helper()
	var out, errs strings.Builder
	code := runContext(t.Context(), []string{"serve", "--config", filepath.Join(dir, "config.toml")}, &out, &errs)
	if code != exitFailed || strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("exit code %d, want %d and one line:\n%s", code, exitFailed, &errs)
	}
	for _, w := range words {
		if !strings.Contains(errs.String(), w) {
			t.Errorf("the error does not say %q:\n%s", w, &errs)
		}
	}
}

// TestStartReadOnly: a start whose state folder cannot be written to names the folder and
// what to do, whether there is a state already or not.
func TestStartReadOnly(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first bool // there was a start before
	}{{"empty", false}, {"used", true}} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStarter(t, allowAll)
			state := filepath.Join(s.dir, "state")
			root := os.Geteuid() == 0
			if root {
				mountTmpfs(t, state, "size=16m")
			} else if err := os.Mkdir(state, 0o700); err != nil {
				t.Fatal(err)
			}
			if tt.first {
				s.mustStart("")
			}
			s.write("config.toml", []byte(s.text))
			if root {
				if err := syscall.Mount("", state, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
					t.Fatal(err)
				}
			} else {
				if err := os.Chmod(state, 0o500); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.Chmod(state, 0o700) })
			}
			serveFails(t, s.dir, state, "writable for this user")
		})
	}
}

// TestStartLocked: a start beside another process that writes for longer than a start waits
// says so, and the next one works.
func TestStartLocked(t *testing.T) {
	if testing.Short() {
		t.Skip("the start waits for 5 seconds")
	}
	s := newStarter(t, allowAll)
	s.mustStart("")
	s.text += "[[room]]\nalias = \"lobby\"\n" // something to write
	s.write("config.toml", []byte(s.text))
	unlock := lockStore(t, filepath.Join(s.dir, "state", storeFile))
	serveFails(t, s.dir, storeFile, "locked by another process", "stop that process")
	unlock()
	s.mustStart("")
}

// TestListenerLost: a listener that ends under the server ends the program, with the name
// of the listener, so that a service manager starts it again.
func TestListenerLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   func(*system) net.Listener
	}{
		{"federation listener", func(s *system) net.Listener { return s.listener }},
		{"admin listener", func(s *system) net.Listener { return s.adminListener }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := newStarter(t, adminAnywhere+allowAll)
			st.write("config.toml", []byte(st.text))
			cfg, err := config.Load(filepath.Join(st.dir, "config.toml"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := openSystem(t.Context(), cfg, nil, time.Now, slog.New(slog.NewTextHandler(st.log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			ended := make(chan error, 1)
			go func() { ended <- s.Run(context.Background()) }()
			if err := tt.of(s).Close(); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err == nil || !strings.HasPrefix(err.Error(), tt.name+" lost: ") {
					t.Errorf("Run ends with %v, want that the %s is lost", err, tt.name)
				}
			case <-time.After(time.Minute):
				t.Fatal("the server runs on")
			}
		})
	}
}

// TestClockJumps: whatever the clock jumps by, knocks are answered, decisions are listed in
// the order in which they fell, and a limit that is used up is free again after its time.
func TestClockJumps(t *testing.T) {
	module, err := policies.FS.ReadFile("rate_limit/rate_limit.wasm")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, adminAnywhere+`
[policies]
default = "allow"
[[policy]]
name = "rate"
module = "rate_limit.wasm"
grants = ["kv"]
[policy.settings]
limits = [ { by = "user", phase = "make_knock", window = 600, count = 2 }, { by = "room", phase = "make_knock", per = 60, burst = 20 } ]
`, map[string][]byte{"rate_limit.wasm": module})
	p, room := w.peer(), w.room("11", "knock")
	target := peer.MakeTarget(room, p.User("ada"), nil)
	asked := 0
	ask := func(when string, want int) {
		t.Helper()
		asked++
		if x := w.do(t, p, http.MethodGet, target, nil); x.Status != want {
			t.Errorf("%s: %d %s, want %d", when, x.Status, x.Body, want)
		}
	}
	useUp := func(when string) {
		t.Helper()
		ask(when, 200)
		ask(when, 200)
		ask(when, 403)
	}
	useUp("at first")
	w.clock.Advance(6 * time.Hour)
	useUp("6 hours ahead")
	w.mustKnock(p, w.knock(p, "bob", room), peer.Allowed)
	asked += 2
	w.clock.Advance(-12 * time.Hour)
	ask("back by 12 hours", 403) // the limits of before are still used up
	asked++
	w.do(t, p, http.MethodGet, peer.MakeTarget(room, p.User("max"), nil), nil) // meets the room's limit
	w.clock.Advance(21 * time.Minute)
	useUp("back by 12 hours and both limits' time later")
	w.mustKnock(p, w.knock(p, "eve", room), peer.Allowed)
	asked += 2
	w.prune(t.Context())
	if status, wrong := w.readyz(); status != 200 {
		t.Errorf("readyz: %d %v", status, wrong)
	}
	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := w.store.Decisions(t.Context(), store.DecisionFilter{})
	if err != nil || len(list) != asked {
		t.Fatalf("%d decisions, %v; want %d", len(list), err, asked)
	}
	if oldest := list[len(list)-1]; !list[0].At.Before(oldest.At) {
		t.Errorf("the newest decision is of %s and the oldest of %s: want the newest first by when it fell, which was before by the clock", list[0].At, oldest.At)
	}
	counts, err := w.store.DecisionCounts(t.Context(), w.now().Add(-time.Hour), time.Minute)
	n := int64(0)
	for _, c := range counts {
		n += c.Number
	}
	if err != nil || n != int64(asked) {
		t.Errorf("%d decisions are counted, %v; want %d", n, err, asked)
	}
}
