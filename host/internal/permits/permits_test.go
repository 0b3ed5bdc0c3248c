package permits

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	room = "!r:here.example"
	user = "@ada:there.example"
)

// process is a program that has the store open.
type process struct {
	*Permits
	t     *testing.T
	store *store.Store
	clock *atomic.Int64
	log   *bytes.Buffer
}

var begin = time.UnixMicro(1_700_000_000_000_000).UTC()

func open(t *testing.T, path string) *process {
	t.Helper()
	st, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	p := &process{t: t, store: st, clock: new(atomic.Int64), log: &bytes.Buffer{}}
	p.Permits = New(st, p.at, slog.New(slog.NewTextHandler(p.log, nil)))
	if err := p.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) at() time.Time { return begin.Add(time.Duration(p.clock.Load())) }

// give gives a permit for an hour.
func (p *process) give() store.Permit {
	p.t.Helper()
	permit, err := p.Give(p.t.Context(), Spec{User: user, Room: room, For: time.Hour, Note: "by mail", By: "root"})
	if err != nil {
		p.t.Fatal(err)
	}
	return permit
}

func (p *process) finds(want bool) {
	p.t.Helper()
	if _, ok := p.Find(room, user, p.at()); ok != want {
		p.t.Errorf("a permit is found: %v, want %v", ok, want)
	}
}

// TestLife: a permit lets one knock in, is given back, and is used up for good.
func TestLife(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	p := open(t, path)
	p.finds(false)
	permit := p.give()
	if permit.ID != 1 || !permit.Until.Equal(begin.Add(time.Hour)) {
		t.Errorf("given: %+v", permit)
	}
	p.finds(true)
	for _, other := range []struct{ room, user string }{{room, "@bob:there.example"}, {"!other:here.example", user}, {"", ""}} {
		if _, ok := p.Claim(other.room, other.user, p.at()); ok {
			t.Errorf("a permit for %s in %s", other.user, other.room)
		}
	}
	held, ok := p.Claim(room, user, p.at())
	if !ok || held.Permit().ID != 1 {
		t.Fatalf("claimed: %v", ok)
	}
	p.finds(true) // it lasts while a knock is under way
	if _, ok := p.Claim(room, user, p.at()); ok {
		t.Error("claimed twice")
	}
	held.GiveBack()
	held, ok = p.Claim(room, user, p.at())
	if !ok {
		t.Fatal("given back, and cannot be claimed")
	}
	held.Use("REQ1")
	p.finds(false)
	held.GiveBack() // too late
	p.finds(false)
	if err := p.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.finds(false)
	again := open(t, path)
	again.finds(false)
	list, err := again.List(t.Context(), 10)
	if err != nil || len(list) != 1 || list[0].End != store.PermitUsed || list[0].Request != "REQ1" || list[0].By != "root" || list[0].Note != "by mail" {
		t.Errorf("listed: %+v, err %v", list, err)
	}
	if log := p.log.String(); strings.Count(log, `msg="permit given"`) != 1 || strings.Count(log, `msg="permit used"`) != 1 || strings.Count(log, "\n") != 2 {
		t.Errorf("the log:\n%s", log)
	}
}

// TestTwo: two permits are two knocks.
func TestTwo(t *testing.T) {
	p := open(t, filepath.Join(t.TempDir(), "store.db"))
	p.give()
	p.give()
	for i := range 3 {
		held, ok := p.Claim(room, user, p.at())
		if ok != (i < 2) {
			t.Fatalf("claim %d: %v", i, ok)
		}
		if ok {
			held.Use("REQ")
		}
	}
}

// TestExpiry: a permit counts until its time, whenever the store is looked at.
func TestExpiry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	p := open(t, path)
	p.give()
	p.clock.Store(int64(time.Hour - 1))
	p.finds(true)
	p.clock.Store(int64(time.Hour))
	p.finds(false)
	if err := p.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log := p.log.String(); strings.Count(log, `msg="permit expired"`) != 1 {
		t.Errorf("the log:\n%s", log)
	}
	live, err := p.ListLive(t.Context())
	if err != nil || len(live) != 0 {
		t.Errorf("live: %+v, err %v", live, err)
	}
	if _, err := p.Revoke(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "permit 1 is expired since") {
		t.Errorf("revoked: %v", err)
	}
}

// TestOtherProcess: what another process gives and revokes is seen at the next
// tick, and logged by the one that watches.
func TestOtherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	server, command := open(t, path), open(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	tick, ended := make(chan time.Time), make(chan struct{})
	go func() { defer close(ended); server.Watch(ctx, tick) }()
	look := func() { tick <- time.Time{}; tick <- time.Time{} } // the second comes when the first is done
	permit := command.give()
	look()
	server.finds(true)
	if _, err := command.Revoke(t.Context(), permit.ID); err != nil {
		t.Fatal(err)
	}
	look()
	server.finds(false)
	command.give()
	look()
	server.finds(true)
	held, _ := server.Claim(room, user, server.at())
	held.Use("REQ")
	if _, err := command.Revoke(t.Context(), 2); err == nil || !strings.Contains(err.Error(), "permit 2 is used since") {
		t.Errorf("revoked a used one: %v", err)
	}
	if _, err := command.Revoke(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "there is no permit 3") {
		t.Errorf("revoked none: %v", err)
	}
	look()
	cancel()
	<-ended
	for _, want := range []struct {
		text  string
		times int
	}{{`msg="permit given"`, 2}, {`msg="permit revoked"`, 1}, {`msg="permit used"`, 1}, {"\n", 4}} {
		if got := strings.Count(server.log.String(), want.text); got != want.times {
			t.Errorf("%q is in the log %d times, want %d:\n%s", want.text, got, want.times, server.log)
		}
	}
}

// TestUseIsStoredLater: a use that the store did not take lets nobody in again, and
// is stored with the next look.
func TestUseIsStoredLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	p := open(t, path)
	p.give()
	held, _ := p.Claim(room, user, p.at())
	// A store that is closed takes nothing.
	good := p.Permits.store
	bad, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "other.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := bad.Close(); err != nil {
		t.Fatal(err)
	}
	p.Permits.store = bad
	held.Use("REQ")
	p.Permits.store = good
	p.finds(false)
	if !strings.Contains(p.log.String(), "level=ERROR") {
		t.Errorf("the log:\n%s", p.log)
	}
	if err := p.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.finds(false)
	if permit, _, err := good.Permit(t.Context(), 1); err != nil || permit.End != store.PermitUsed || permit.Request != "REQ" {
		t.Errorf("stored: %+v, err %v", permit, err)
	}
}

// TestBounds: what no permit is given for.
func TestBounds(t *testing.T) {
	p := open(t, filepath.Join(t.TempDir(), "store.db"))
	for _, tt := range []struct {
		name string
		spec Spec
		want string // "": it is given
	}{
		{"the default", Spec{User: user, Room: room, By: "root"}, ""},
		{"the longest", Spec{User: user, Room: room, By: "root", For: MaxFor, Note: strings.Repeat("é", MaxNote/2)}, ""},
		{"too long", Spec{User: user, Room: room, By: "root", For: MaxFor + 1}, "at most 30 days"},
		{"negative", Spec{User: user, Room: room, By: "root", For: -1}, "at most 30 days"},
		{"a long note", Spec{User: user, Room: room, By: "root", Note: strings.Repeat("x", MaxNote+1)}, "the note"},
		{"a note of two lines", Spec{User: user, Room: room, By: "root", Note: "a\nb"}, "the note"},
		{"a note that is no text", Spec{User: user, Room: room, By: "root", Note: "\xff"}, "the note"},
		{"by nobody", Spec{User: user, Room: room}, "given by"},
		{"no user", Spec{User: "ada", Room: room, By: "root"}, "ada"},
		{"no room", Spec{User: user, Room: "#r:here.example", By: "root"}, "#r:here.example"},
	} {
		permit, err := p.Give(t.Context(), tt.spec)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		case tt.spec.For == 0 && err == nil && permit.Until.Sub(permit.Given) != DefaultFor:
			t.Errorf("%s: until %s", tt.name, permit.Until)
		}
	}
}

// TestHammer: of many that claim one permit at once one gets it, also while the
// permits are read anew; one that is given back another gets.
func TestHammer(t *testing.T) {
	p := open(t, filepath.Join(t.TempDir(), "store.db"))
	for round := range 10 {
		p.give()
		var got atomic.Int32
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				for range 20 {
					p.Find(room, user, begin)
					held, ok := p.Claim(room, user, begin)
					if !ok {
						continue
					}
					if i%2 == 0 {
						held.GiveBack()
						continue
					}
					got.Add(1)
					held.Use("REQ")
				}
			})
		}
		all.Go(func() {
			for range 5 {
				if err := p.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
		all.Wait()
		if held, ok := p.Claim(room, user, begin); ok { // those of even numbers were last
			got.Add(1)
			held.Use("REQ")
		}
		if got.Load() != 1 {
			t.Fatalf("round %d: %d knocks used one permit", round, got.Load())
		}
	}
}

// TestLookAllocates: a look allocates nothing, whether it finds a permit or not.
func TestLookAllocates(t *testing.T) {
	p := open(t, filepath.Join(t.TempDir(), "store.db"))
	look := func() {
		p.Find(room, user, begin)
		if held, ok := p.Claim(room, user, begin); ok {
			held.GiveBack()
		}
	}
	for range 2 {
		if n := testing.AllocsPerRun(100, look); n != 0 {
			t.Errorf("%v allocations a look", n)
		}
		p.give()
	}
}
