package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

func testUndecided(i int) Undecided {
	return Undecided{
		Event: fmt.Sprintf("$%d", i), Room: "!r:x", User: "@u:y", Kind: "remote",
		At: time.UnixMicro(1_700_000_000_000_000).UTC(), SeenAt: time.UnixMicro(1_700_000_000_500_001).UTC(),
	}
}

func take(t *testing.T, s *Store, transaction string, knocks ...Undecided) []string {
	t.Helper()
	fresh, err := s.TakeTransaction(context.Background(), transaction, knocks)
	if err != nil {
		t.Fatal(err)
	}
	events := []string{}
	for _, k := range fresh {
		events = append(events, k.Event)
	}
	return events
}

// TestTakeTransaction: what was handed on is not undecided, an event counts once,
// and a transaction once, over restarts too.
func TestTakeTransaction(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	for range 2 { // a retry
		if err := s.HandedOn(ctx, "!r:x", "@u:y", "$1"); err != nil {
			t.Fatal(err)
		}
	}
	otherRoom, own := testUndecided(1), testUndecided(3)
	otherRoom.Room, own.Kind, own.User = "!other:x", "own", "@u:x"
	tests := []struct {
		name, transaction string
		knocks            []Undecided
		want              []string
	}{
		{"handed on", "1", []Undecided{testUndecided(1)}, []string{}},
		{"not handed on", "2", []Undecided{testUndecided(1), testUndecided(2), own}, []string{"$2", "$3"}},
		{"the same transaction", "2", []Undecided{testUndecided(4)}, []string{}},
		{"the same event", "3", []Undecided{testUndecided(2)}, []string{}},
		{"handed on, for another room", "0", []Undecided{otherRoom}, []string{"$1"}},
		{"nothing", "", nil, []string{}},
	}
	for _, tt := range tests {
		if got := take(t, s, tt.transaction, tt.knocks...); !cmp.Equal(got, tt.want) {
			t.Errorf("%s: new are %v, want %v", tt.name, got, tt.want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, s.Path())
	if got := take(t, s, "2", testUndecided(4)); len(got) > 0 {
		t.Errorf("after a restart the same transaction has new knocks: %v", got)
	}
	lists := []struct {
		filter UndecidedFilter
		want   []Undecided
	}{
		{UndecidedFilter{}, []Undecided{otherRoom, own, testUndecided(2)}},
		{UndecidedFilter{Limit: 1}, []Undecided{otherRoom}},
		{UndecidedFilter{Room: "!r:x"}, []Undecided{own, testUndecided(2)}},
		{UndecidedFilter{Origin: "x"}, []Undecided{own}},
		{UndecidedFilter{Origin: "y", Room: "!r:x"}, []Undecided{testUndecided(2)}},
		{UndecidedFilter{Origin: "%"}, nil},
	}
	for _, tt := range lists {
		got, err := s.UndecidedKnocks(ctx, tt.filter)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(Undecided{}, "ID")); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.filter, diff)
		}
	}
	totals, err := s.UndecidedTotals(ctx)
	if want := map[string]int64{"remote": 2, "own": 1}; err != nil || !cmp.Equal(totals, want) {
		t.Errorf("totals %v, %v; want %v", totals, err, want)
	}
}

// TestUndecidedIsBounded: the oldest rows go, and the totals stay.
func TestUndecidedIsBounded(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	const extra = 5
	knocks := make([]Undecided, maxUndecided+extra)
	for i := range knocks {
		knocks[i] = testUndecided(i)
	}
	if got := take(t, s, "1", knocks...); len(got) != len(knocks) {
		t.Errorf("%d are new, want %d", len(got), len(knocks))
	}
	list, err := s.UndecidedKnocks(ctx, UndecidedFilter{Limit: 2 * maxUndecided})
	if err != nil || len(list) != maxUndecided || list[len(list)-1].Event != knocks[extra].Event {
		t.Errorf("%d are kept, %v; want the last %d", len(list), err, maxUndecided)
	}
	if totals, err := s.UndecidedTotals(ctx); err != nil || totals["remote"] != int64(len(knocks)) {
		t.Errorf("totals %v, %v; want %d", totals, err, len(knocks))
	}
	for i := range maxTransactions + extra {
		take(t, s, fmt.Sprint("t", i))
	}
	var n int
	if err := s.readers.QueryRowContext(ctx, "SELECT count(*) FROM appservice_transactions").Scan(&n); err != nil || n != maxTransactions {
		t.Errorf("%d transactions are kept, %v; want %d", n, err, maxTransactions)
	}
}

// TestHandedIsBounded: with ids moved near the bound, the oldest row goes.
func TestHandedIsBounded(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	hand := func(event matrix.EventID) {
		t.Helper()
		if err := s.HandedOn(ctx, "!r:x", "@u:y", event); err != nil {
			t.Fatal(err)
		}
	}
	hand("$1")
	hand("$2")
	if _, err := s.writer.conn.ExecContext(ctx, "UPDATE handed_knocks SET id = ? WHERE event_id = '$2'", maxHanded); err != nil {
		t.Fatal(err)
	}
	hand("$3")
	if got := take(t, s, "1", testUndecided(1), testUndecided(2), testUndecided(3)); !cmp.Equal(got, []string{"$1"}) {
		t.Errorf("not handed on are %v, want the oldest", got)
	}
}

// TestStartAppservice: since when holds over starts, until one without.
func TestStartAppservice(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	first, later := time.UnixMicro(1_700_000_000_000_001).UTC(), time.UnixMicro(1_800_000_000_000_000).UTC()
	start := func(now, want time.Time) {
		t.Helper()
		if got, err := s.StartAppservice(ctx, now); err != nil || !got.Equal(want) {
			t.Errorf("started at %v: since %v, %v; want %v", now, got, err, want)
		}
	}
	start(first, first)
	start(later, first)
	for range 2 {
		if err := s.StopAppservice(ctx); err != nil {
			t.Fatal(err)
		}
	}
	start(later, later)
}
