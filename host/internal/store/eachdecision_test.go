package store

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestEachDecision: over several pages every decision comes once, in order, without those
// of monitor mode and those from before.
func TestEachDecision(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	const n = 2*decisionPage + 10
	want := 0
	for i := range n {
		d := testDecision(i)
		if i%7 == 0 {
			d.Mode = "monitor"
		} else if i >= 100 {
			want++
		}
		if !s.AppendDecision(d) {
			t.Fatal("a decision was not taken")
		}
		if i%500 == 0 {
			if err := s.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	since := testDecision(100).At
	var last int64
	got := 0
	err := s.EachDecision(ctx, since, func(d Decision) error {
		if d.ID <= last || d.Mode != "" || d.At.Before(since) {
			t.Fatalf("after %d comes %+v", last, d)
		}
		last, got = d.ID, got+1
		return nil
	})
	if err != nil || got != want {
		t.Errorf("%d decisions, %v; want %d", got, err, want)
	}
	if count, err := s.CountDecisions(ctx, since); err != nil || count != int64(want) {
		t.Errorf("CountDecisions = %d, %v; want %d", count, err, want)
	}
	if count, err := s.CountDecisions(ctx, time.Now()); err != nil || count != 0 {
		t.Errorf("CountDecisions of none = %d, %v", count, err)
	}
	enough := errors.New("enough")
	got = 0
	if err := s.EachDecision(ctx, time.Time{}, func(Decision) error { got++; return enough }); !errors.Is(err, enough) || got != 1 {
		t.Errorf("after an error %d more came, %v", got-1, err)
	}
}
