package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fsnotify/fsnotify"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// killRounds names the variable that asks for the long form of the tests
// below: how many rounds, of 2,000 knocks each.
//
//	KNOCKGATE_KILL=50 go test -run TestKill -v -timeout 1h ./host
const killRounds = "KNOCKGATE_KILL"

// killConfig names the variable that makes TestKilledServe the program.
const killConfig = "KNOCKGATE_KILL_CONFIG"

// knockers is how many knock at a time.
const knockers = 32

// TestKilledServe is "knockgate serve" in a process of its own, for the tests
// that kill it.
func TestKilledServe(t *testing.T) {
	path := os.Getenv(killConfig)
	if path == "" {
		t.Skip("the program that other tests start")
	}
	os.Exit(run([]string{"serve", "--config", path}, os.Stdout, os.Stderr))
}

// killRoundsAndKnocks returns how many rounds are asked for, and how many
// knocks each has: the short form without the variable.
func killRoundsAndKnocks(t *testing.T) (rounds, knocks int) {
	t.Helper()
	text := os.Getenv(killRounds)
	if text == "" {
		return 2, 200
	}
	rounds, err := strconv.Atoi(text)
	if err != nil || rounds < 1 {
		t.Fatalf("%s=%q: must be a number of rounds", killRounds, text)
	}
	return rounds, 2000
}

// TestKill kills the program at a random point while 32 peers' users knock, and
// starts it again on the same state folder, again and again. After each kill
// every knock that was answered 200 is there, every other is there or is not,
// and the room is what its events make it.
func TestKill(t *testing.T) {
	rounds, knocks := killRoundsAndKnocks(t)
	w := newKillWorld(t)
	var accepted, unknown, found int
	for round := range rounds {
		s := w.start("allow")
		after := rand.IntN(knocks)
		tried := w.knockUntil(s, round, knocks, after)
		s.kill()

		// Policy would refuse now, so a 200 was given without asking it.
		s = w.start("deny")
		w.retry(tried)
		s.kill()
		for _, k := range tried {
			switch {
			case k.accepted:
				accepted++
			case k.retried == http.StatusOK:
				unknown, found = unknown+1, found+1
			default:
				unknown++
			}
		}
		w.checkStore(tried)
		if t.Failed() {
			t.Fatalf("round %d, killed after %d answers", round, after)
		}
	}
	if accepted == 0 {
		t.Errorf("no knock was accepted in %d rounds", rounds)
	}
	t.Logf("%d rounds: %d knocks answered 200 and all there; %d under way at the kill, %d of them there", rounds, accepted, unknown, found)
}

// TestKillFirstStart kills the program while it makes its state folder. The
// next start takes what is there and makes the rest.
func TestKillFirstStart(t *testing.T) {
	rounds, _ := killRoundsAndKnocks(t)
	early := 0
	for range rounds {
		w := newKillWorld(t)
		if w.killWhileMaking(1 + rand.IntN(60)) {
			early++
		}
		s := w.start("allow")
		room := s.room
		tried := w.knockUntil(s, 0, 8, 8)
		s.kill()
		s = w.start("deny")
		if s.room != room {
			t.Errorf("the room %s became %s", room, s.room)
		}
		w.retry(tried)
		s.kill()
		w.checkStore(tried)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d first starts, %d of them killed before they listened", rounds, early)
}

// killWorld is a state folder, the program on it, and a peer that knocks.
type killWorld struct {
	*world // for its peer and client; no server runs in this process
	room   matrix.RoomID
	*peer.Peer
}

func newKillWorld(t *testing.T) *killWorld {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), name: matrix.ServerName(freeAddress(t)), client: loopbackClient()}
	t.Cleanup(w.client.Close)
	return &killWorld{world: w, Peer: w.peer()}
}

func (w *killWorld) stateDir() string { return filepath.Join(w.dir, "state") }

// command returns the program, not started. fallback is what the empty chain of
// policies answers.
func (w *killWorld) command(fallback string) *exec.Cmd {
	w.t.Helper()
	path := filepath.Join(w.dir, fallback+".toml")
	text := fmt.Sprintf("server_name = %q\nstate_dir = %q\n[listen]\nfederation = %q\n", w.name, w.stateDir(), w.name) +
		strings.Replace(testFederation, `"debug"`, `"error"`, 1) +
		"[[room]]\nalias = \"#lobby\"\nname = \"Lobby\"\n[policies]\ndefault = \"" + fallback + "\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledServe$")
	cmd.Env = append(os.Environ(), killConfig+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// served is the program while it runs.
type served struct {
	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{} // closed once its output has ended
	room matrix.RoomID // its one room
}

// start starts the program and returns once it listens.
func (w *killWorld) start(fallback string) *served {
	w.t.Helper()
	return w.startCommand(w.command(fallback))
}

// startCommand is start for a command of a test's own.
func (w *killWorld) startCommand(cmd *exec.Cmd) *served {
	w.t.Helper()
	s := &served{t: w.t, cmd: cmd, done: make(chan struct{})}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.kill)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) > 1 && words[0] == "room" {
			s.room = matrix.RoomID(words[1])
		}
		if len(words) > 0 && words[0] == "listening" {
			go func() {
				defer close(s.done)
				_, _ = io.Copy(io.Discard, stdout)
			}()
			w.room = s.room
			return s
		}
	}
	close(s.done)
	w.t.Fatalf("the program did not start on the state of the one that was killed: %v", s.cmd.Wait())
	return nil
}

// kill ends the program with SIGKILL, as far as it is not over, and waits for
// it.
func (s *served) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
	_ = s.cmd.Wait() // says that it was killed
}

// killWhileMaking starts the program and kills it after so many changes in its
// state folder, or once it listens. It reports whether the changes came first.
func (w *killWorld) killWhileMaking(changes int) bool {
	w.t.Helper()
	if err := os.Mkdir(w.stateDir(), 0o700); err != nil {
		w.t.Fatal(err)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		w.t.Fatal(err)
	}
	defer watcher.Close()
	if err := watcher.Add(w.stateDir()); err != nil {
		w.t.Fatal(err)
	}
	cmd := w.command("allow")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	said := make(chan struct{})
	go func() {
		defer close(said)
		_, _ = stdout.Read(make([]byte, 1)) // what it says begins when it listens
	}()
	early := false
	for seen := 0; seen < changes; seen++ {
		select {
		case <-watcher.Events:
			early = seen+1 == changes
			continue
		case <-said:
		}
		break
	}
	_ = cmd.Process.Kill()
	<-said
	_ = cmd.Wait()
	return early
}

// tried is a knock that was sent.
type tried struct {
	*peer.Result
	user     matrix.UserID
	accepted bool // it was answered 200 before the kill
	retried  int  // the status of the same request after it
}

// knockUntil knocks from many goroutines and kills the program once so many are
// accepted, while the others are under way. It returns the knocks that got as
// far as being sent.
func (w *killWorld) knockUntil(s *served, round, knocks, after int) (list []*tried) {
	w.t.Helper()
	var mu sync.Mutex // guards list
	var next, answers atomic.Int64
	var wg sync.WaitGroup
	for range knockers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= knocks {
					return
				}
				k := w.knock(w.Peer, fmt.Sprintf("user%d-%d", round, i), w.room)
				r, err := w.Knock(context.Background(), k)
				accepted := err == nil && r.Outcome() == peer.Allowed
				if r.EventID != "" {
					mu.Lock()
					list = append(list, &tried{Result: r, user: k.User, accepted: accepted})
					mu.Unlock()
				}
				if err != nil {
					return // killed
				}
				if !accepted {
					w.t.Errorf("knock of %s: %s, want it accepted", k.User, lastWords(r))
					return
				}
				if answers.Add(1) == int64(after) {
					_ = s.cmd.Process.Kill()
				}
			}
		})
	}
	if after == 0 {
		_ = s.cmd.Process.Kill()
	}
	wg.Wait()
	return list
}

// retry sends each knock again, as a server does that lost the answer.
func (w *killWorld) retry(list []*tried) {
	w.t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range knockers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(list) {
					return
				}
				k := list[i]
				x, err := w.Do(context.Background(), w.name, http.MethodPut, peer.SendTarget(w.room, k.EventID), k.Event)
				if err != nil {
					w.t.Errorf("%s again: %v", k.EventID, err)
					return
				}
				k.retried = x.Status
				if want := http.StatusOK; k.accepted && x.Status != want {
					w.t.Errorf("%s was answered 200, and after the kill %d %s", k.EventID, x.Status, x.Body)
				} else if !k.accepted && x.Status != want && x.Status != http.StatusForbidden {
					w.t.Errorf("%s was not answered, and after the kill %d %s; want 200 or 403", k.EventID, x.Status, x.Body)
				}
			}
		})
	}
	wg.Wait()
}
