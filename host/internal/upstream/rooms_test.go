package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// source is a source in the form of a function.
type source func(context.Context, matrix.RoomID) (*Told, error)

func (source) Name() string { return "test" }

func (s source) Ask(ctx context.Context, room matrix.RoomID) (*Told, error) { return s(ctx, room) }

// named returns a source that knows all rooms by one name, and counts.
func named(name string, asked *int) source {
	return func(context.Context, matrix.RoomID) (*Told, error) {
		*asked++
		return &Told{Room: knock.Outline{Name: name}}, nil
	}
}

// TestSources: the first that knows a room tells of it; what fails or does not
// know is passed over, and the version that it still said is kept.
func TestSources(t *testing.T) {
	fails := source(func(context.Context, matrix.RoomID) (*Told, error) { return nil, errors.New("down") })
	half := source(func(context.Context, matrix.RoomID) (*Told, error) {
		return &Told{Room: knock.Outline{VersionID: "9", Name: "half"}}, errors.New("broke off")
	})
	knowsNot := source(func(context.Context, matrix.RoomID) (*Told, error) { return nil, nil })
	var asked int
	knows := named("Lobby", &asked)
	other := named("Other", new(int))
	for _, tt := range []struct {
		name    string
		sources []Source
		want    knock.Outline
		logged  int
	}{
		{"first", []Source{knows, other}, knock.Outline{Known: true, Name: "Lobby"}, 0},
		{"second", []Source{knowsNot, knows, other}, knock.Outline{Known: true, Name: "Lobby"}, 0},
		{"after a fault", []Source{fails, knows}, knock.Outline{Known: true, Name: "Lobby"}, 1},
		{"after half an answer", []Source{half, knows}, knock.Outline{Known: true, Name: "Lobby", VersionID: "9"}, 1},
		{"nobody knows", []Source{knowsNot, knowsNot}, knock.Outline{}, 0},
		{"all fail", []Source{fails, half}, knock.Outline{VersionID: "9"}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, c := newRooms(tt.sources...)
			var log bytes.Buffer
			r.Log = slog.New(slog.NewTextHandler(&log, nil))
			for range 3 { // the second and third are remembered
				if got := ask(t, r, "@u:b"); got != tt.want {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
				c.advance(time.Second)
				r.told[room].Room.At = c.now() // ask wants it of now
			}
			if n := strings.Count(log.String(), "level=WARN"); n != tt.logged {
				t.Errorf("%d warnings, want %d:\n%s", n, tt.logged, log.String())
			}
			asked = 0
			c.advance(5 * time.Second)
			ask(t, r, "@u:b")
			if tt.want.Known && asked != 1 {
				t.Errorf("asked %d times once it is too old, want once", asked)
			}
		})
	}
}

// TestSlowSource: each source has its share of the time, and what does not answer
// in it is passed over.
func TestSlowSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := source(func(ctx context.Context, _ matrix.RoomID) (*Told, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		r, _ := newRooms(hangs, named("Lobby", new(int)))
		start := time.Now()
		if got := ask(t, r, "@u:b"); !got.Known || time.Since(start) != askTime/2 {
			t.Errorf("%+v after %v, want what the second knows after %v", got, time.Since(start), askTime/2)
		}
		r, _ = newRooms(hangs, hangs)
		start = time.Now()
		if got := ask(t, r, "@u:b"); got.Known || time.Since(start) != askTime {
			t.Errorf("%+v after %v, want nothing after %v", got, time.Since(start), askTime)
		}
		// More rooms than are asked about at one time: the rest is not known either,
		// and nobody waits longer.
		r, _ = newRooms(hangs)
		start = time.Now()
		var wg sync.WaitGroup
		for i := range 3 * concurrency {
			wg.Go(func() { r.Outline(context.Background(), matrix.RoomID(fmt.Sprint("!", i, ":a")), "@u:b") })
		}
		wg.Wait()
		if took := time.Since(start); took != askTime {
			t.Errorf("a crowd waited %v, want %v", took, askTime)
		}
	})
}

// TestOutlineShared: many who ask at one time share a request, one who does not
// wait gets nothing, and does not end it for the others.
func TestOutlineShared(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := &stub{answers: map[string]answer{"summary": {body: botRoom}, "/state": {body: wholeRoom}}, wait: make(chan struct{})}
	t.Run("", func(t *testing.T) {
		r, _ := newRooms(NewBot(newAPI(t, s)))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if got := r.Outline(ctx, room, "@u:b"); got.Known {
			t.Errorf("%+v for one who left", got)
		}
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				want := []string{"ban", ""}[i%2]
				got := r.Outline(context.Background(), room, []matrix.UserID{"@u:b", "@new:b"}[i%2])
				if !got.Known || got.Membership != want {
					t.Errorf("%+v, want membership %q", got, want)
				}
			})
		}
		close(s.wait)
		wg.Wait()
		if asked := s.requests(t); len(asked) != 2 {
			t.Errorf("%d requests, want 2: %q", len(asked), asked)
		}
	})
}

// TestForget: what is forgotten is asked for anew, and nothing else is.
func TestForget(t *testing.T) {
	var asked int
	r, _ := newRooms(named("Lobby", &asked))
	for _, step := range []struct {
		forget matrix.RoomID
		want   int
	}{{"!another:a", 1}, {"", 1}, {room, 2}, {"", 2}, {room, 3}} {
		r.Forget(step.forget)
		if got := ask(t, r, "@u:b"); got.Name != "Lobby" || asked != step.want {
			t.Errorf("forgot %q: %+v, asked %d times, want %d", step.forget, got, asked, step.want)
		}
	}
}

// TestForgetKeepsTheLater: of two answers under way, the one that was asked for
// before the room was forgotten is not remembered, even where it comes last; who
// asks afterwards does not wait for it.
func TestForgetKeepsTheLater(t *testing.T) {
	first, second := make(chan string), make(chan string)
	asked := make(chan struct{})
	n := 0
	r, _ := newRooms(source(func(context.Context, matrix.RoomID) (*Told, error) {
		answers := []chan string{first, second}[n]
		n++
		asked <- struct{}{}
		return &Told{Room: knock.Outline{Name: <-answers}}, nil
	}))
	var wg sync.WaitGroup
	wg.Go(func() { r.Outline(context.Background(), room, "@u:b") })
	<-asked
	r.Forget(room)
	done := make(chan struct{})
	go func() {
		r.Outline(context.Background(), room, "@u:b")
		close(done)
	}()
	<-asked
	second <- "new"
	<-done
	first <- "old"
	wg.Wait()
	if got := r.Outline(context.Background(), room, "@u:b").Name; got != "new" {
		t.Errorf("told %q, want %q", got, "new")
	}
}

// TestForgetHammer: rooms are asked for and forgotten from many sides.
func TestForgetHammer(t *testing.T) {
	r, _ := newRooms(source(func(_ context.Context, room matrix.RoomID) (*Told, error) {
		return &Told{Room: knock.Outline{Name: string(room)}, members: map[matrix.UserID]member{"@a:b": {}, "@c:d": {}}}, nil
	}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 500 {
				id := matrix.RoomID(fmt.Sprint("!", k%7, ":a"))
				if i%4 == 0 {
					r.Forget(id)
				} else if got := r.Outline(context.Background(), id, "@u:b"); got.Name != string(id) || got.ID != id {
					t.Errorf("asked for %s, told of %+v", id, got)
				}
			}
		})
	}
	wg.Wait()
	if len(r.asking) != 0 || r.members != 2*len(r.told) {
		t.Errorf("%d questions are left; %d members of %d rooms", len(r.asking), r.members, len(r.told))
	}
}

// TestRoomsBounded: a flood of rooms, or of members, takes no more than its share
// of memory.
func TestRoomsBounded(t *testing.T) {
	size := 0
	r, c := newRooms(source(func(context.Context, matrix.RoomID) (*Told, error) {
		t := &Told{members: map[matrix.UserID]member{}}
		for i := range size {
			t.members[matrix.UserID(fmt.Sprint("@", i, ":b"))] = member{}
		}
		return t, nil
	}))
	for i := range maxRooms + 50 {
		r.Outline(context.Background(), matrix.RoomID(fmt.Sprintf("!%d:a", i)), "@u:b")
		if i == maxRooms/2 {
			c.advance(4 * time.Second)
		}
	}
	if n := len(r.told); n != maxRooms {
		t.Errorf("%d rooms are remembered, want %d", n, maxRooms)
	}
	c.advance(2 * time.Second)
	r.Outline(context.Background(), "!last:a", "@u:b")
	if n := len(r.told); n > maxRooms/2+50 {
		t.Errorf("%d rooms are remembered, of which half are too old", n)
	}
	size = maxMembersKept / 4
	for i := range 9 {
		id := matrix.RoomID(fmt.Sprintf("!large%d:a", i))
		r.Outline(context.Background(), id, "@u:b")
		if r.members > maxMembersKept || r.told[id] == nil {
			t.Errorf("%d members are remembered, want %d at most and the last room's among them", r.members, maxMembersKept)
		}
	}
}

func TestTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	token := TokenFile(file)
	if _, err := token(); err == nil {
		t.Error("no file: no error")
	}
	for text, want := range map[string]string{"syt_a\n": "syt_a", " syt_b ": "syt_b", "": "", "a b": "", "a\nb": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := token()
		if (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

// TestToken: without a token nobody is asked.
func TestToken(t *testing.T) {
	s := &stub{}
	api := newAPI(t, s)
	api.Token = func() (string, error) { return "", errors.New("no token") }
	r, _ := newRooms(NewAdmin(api), NewBot(api))
	if got := ask(t, r, "@u:b"); got.Known || len(s.requests(t)) != 0 {
		t.Errorf("%+v after %q", got, s.requests(t))
	}
}

func TestVersionsBounded(t *testing.T) {
	var v Versions
	v.Put("!r:a", "11")
	v.Put("!none:a", "")
	v.Put("!long:a", strings.Repeat("1", 33))
	if got := v.Get("!r:a") + v.Get("!none:a") + v.Get("!long:a"); got != "11" {
		t.Errorf("%q, want what was put in and nothing else", got)
	}
	for i := range 2 * maxVersions {
		v.Put(matrix.RoomID(fmt.Sprint("!", i, ":a")), "11")
	}
	if len(v.m) != maxVersions {
		t.Errorf("%d rooms, want %d", len(v.m), maxVersions)
	}
}
