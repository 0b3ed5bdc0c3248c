package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testDecision(i int) Decision {
	return Decision{
		RequestID: fmt.Sprint(i), At: time.UnixMicro(1_700_000_000_000_001 + int64(i)).UTC(), Phase: "send_knock",
		Room: "!r:x", User: "@u:y", Origin: "y", Event: "$e", Verdict: "deny", Policy: "p", Revision: "abc",
		Fault: "trap", Message: "no", Note: "n\x00\"", Code: "c", Status: 403, Errcode: "M_FORBIDDEN",
		Auth: time.Microsecond, Protocol: 2 * time.Microsecond, Policies: 3 * time.Millisecond, Act: 0, Total: time.Second,
		Detail: `{"steps":[]}`,
	}
}

func TestDecisions(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	var all []Decision
	for i := range 10 {
		d := testDecision(i)
		if i%2 == 1 {
			d.Room = "!other:x"
		}
		if i%3 == 0 {
			d.Verdict, d.Origin = "allow", "z"
		}
		if i%5 == 4 {
			d.Mode = "monitor"
		}
		if i%4 == 2 {
			d.User, d.Policy, d.Code, d.Fault, d.RequestID = "@v:y", "q", "d", "", "R"+d.RequestID
		}
		if !s.AppendDecision(d) {
			t.Fatal("a decision was not taken")
		}
		d.ID = int64(i + 1)
		all = append([]Decision{d}, all...) // newest first
	}
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		filter DecisionFilter
		take   func(d *Decision) bool
	}{
		{"all", DecisionFilter{}, func(d *Decision) bool { return true }},
		{"monitored", DecisionFilter{Monitor: true}, func(d *Decision) bool { return true }},
		{"monitored of a room", DecisionFilter{Monitor: true, Room: "!other:x"}, func(d *Decision) bool { return d.Room == "!other:x" }},
		{"three", DecisionFilter{Limit: 3}, func(d *Decision) bool { return d.ID > 6 }},
		{"room", DecisionFilter{Room: "!other:x"}, func(d *Decision) bool { return d.Room == "!other:x" }},
		{"verdict", DecisionFilter{Verdict: "allow"}, func(d *Decision) bool { return d.Verdict == "allow" }},
		{"user", DecisionFilter{User: "@v:y"}, func(d *Decision) bool { return d.User == "@v:y" }},
		{"policy and code", DecisionFilter{Policy: "q", Code: "d"}, func(d *Decision) bool { return d.Policy == "q" }},
		{"faults", DecisionFilter{Faults: true}, func(d *Decision) bool { return d.Fault != "" }},
		{"since", DecisionFilter{Since: testDecision(6).At}, func(d *Decision) bool { return d.ID >= 7 }},
		{"phase", DecisionFilter{Phase: "send_knock"}, func(d *Decision) bool { return d.Phase == "send_knock" }},
		{"another phase", DecisionFilter{Phase: "make_knock"}, func(*Decision) bool { return false }},
		{"after", DecisionFilter{After: 7}, func(d *Decision) bool { return d.ID > 7 }},
		{"before", DecisionFilter{Before: 4}, func(d *Decision) bool { return d.ID < 4 }},
		{"a page of a user", DecisionFilter{User: "@u:y", After: 1, Before: 6}, func(d *Decision) bool { return d.User == "@u:y" && d.ID > 1 && d.ID < 6 }},
		{"since after all", DecisionFilter{Since: testDecision(60).At}, func(*Decision) bool { return false }},
		{"faults of an origin since", DecisionFilter{Faults: true, Origin: "z", Since: testDecision(6).At},
			func(d *Decision) bool { return d.Fault != "" && d.Origin == "z" && d.ID >= 7 }},
		{"a user in a room with a verdict", DecisionFilter{User: "@u:y", Room: "!other:x", Verdict: "deny", Policy: "p", Origin: "y"},
			func(d *Decision) bool {
				return d.User == "@u:y" && d.Room == "!other:x" && d.Verdict == "deny" && d.Origin == "y"
			}},
		{"request", DecisionFilter{Request: "7"}, func(d *Decision) bool { return d.RequestID == "7" }},
		{"the beginning of a request", DecisionFilter{Request: "R"}, func(d *Decision) bool { return d.RequestID[0] == 'R' }},
		{"no beginning of a request", DecisionFilter{Request: "%"}, func(*Decision) bool { return false }},
		{"all filters", DecisionFilter{Room: "!r:x", Verdict: "allow", Origin: "z", Limit: 1}, func(d *Decision) bool { return d.ID == 7 }},
		{"none", DecisionFilter{Room: "' OR 1=1 --"}, func(*Decision) bool { return false }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Decisions(ctx, tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			var want []Decision
			for i := range all {
				if (all[i].Mode == "monitor") == tt.filter.Monitor && tt.take(&all[i]) {
					want = append(want, all[i])
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestDecisionsNeverWait: with the writer held up, decisions beyond the queue
// are dropped and counted, and the rest is there in the end.
func TestDecisionsNeverWait(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	hold, held := make(chan struct{}), make(chan struct{})
	slot, err := s.Reserve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ticket := slot.Submit(func(*Tx) error { close(held); <-hold; return nil }, nil)
	<-held
	const extra = 10
	taken := 0
	for i := range decisionQueueSize + extra {
		if s.AppendDecision(testDecision(i)) {
			taken++
		}
	}
	if taken != decisionQueueSize || s.DecisionsDropped() != extra {
		t.Errorf("%d taken, %d dropped; want %d and %d", taken, s.DecisionsDropped(), decisionQueueSize, extra)
	}
	close(hold)
	if err := ticket.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := s.Decisions(ctx, DecisionFilter{Limit: 2 * decisionQueueSize})
	if err != nil || len(got) != taken {
		t.Errorf("%d decisions stored, %v; want %d", len(got), err, taken)
	}
}

// TestCloseWritesDecisions: a decision taken before Close is stored.
func TestCloseWritesDecisions(t *testing.T) {
	s := openTest(t)
	for i := range 100 {
		s.AppendDecision(testDecision(i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := openAt(t, s.Path()).Decisions(context.Background(), DecisionFilter{Limit: 1000})
	if err != nil || len(got) != 100 || s.DecisionsDropped() != 0 {
		t.Errorf("%d decisions, %d dropped, %v; want 100", len(got), s.DecisionsDropped(), err)
	}
}

// TestFlushWritesDecisions: a decision taken before Flush is stored after it, whoever else
// writes.
func TestFlushWritesDecisions(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for round := range 50 {
				request := fmt.Sprint(w, "-", round)
				for range 20 {
					d := testDecision(0)
					d.RequestID = request
					s.AppendDecision(d)
				}
				if err := s.Flush(ctx); err != nil {
					t.Error(err)
				}
				got, err := s.Decisions(ctx, DecisionFilter{Request: request, Limit: 100})
				if err != nil || len(got) != 20 {
					t.Errorf("%s: %d decisions are stored after Flush, %v; want 20", request, len(got), err)
				}
			}
		})
	}
	writers.Wait()
}

// TestDecisionsAreBoundedInBytes: with the writer held up, large details are
// dropped before they fill the memory, and there is room again afterwards.
func TestDecisionsAreBoundedInBytes(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	hold, held := make(chan struct{}), make(chan struct{})
	slot, err := s.Reserve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ticket := slot.Submit(func(*Tx) error { close(held); <-hold; return nil }, nil)
	<-held
	large := testDecision(1)
	large.Detail = strings.Repeat("x", decisionQueueBytes/4)
	for i := range 6 {
		if taken := s.AppendDecision(large); taken != (i < 4) {
			t.Errorf("detail %d of a quarter of the most: taken %v", i+1, taken)
		}
	}
	close(hold)
	if err := ticket.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second begins after the first batch is accounted for
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if !s.AppendDecision(large) {
		t.Error("what is written still takes room")
	}
}
