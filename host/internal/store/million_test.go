package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// millionEnv names how many decisions BenchmarkMillion stores.
const millionEnv = "KNOCKGATE_STORE_DECISIONS"

// fillDecisions stores n decisions: a minute apart 400, by a user each but for one in ten,
// of 5,000 servers, one of which sends a third; the newest last.
func fillDecisions(b *testing.B, s *Store, n int) {
	detail := `{"facts":"` + strings.Repeat("x", 900) + `"}`
	end := time.Now()
	for i := range n {
		d := testDecision(i)
		d.RequestID, d.At, d.Detail, d.Mode, d.Fault = fmt.Sprintf("%026d", i), end.Add(time.Duration(i-n)*2500*time.Millisecond), detail, "", ""
		d.User, d.Origin, d.Room = fmt.Sprintf("@u%d:y", i*7919%(n*9/10+1)), fmt.Sprintf("s%d.example", i*31%5000), fmt.Sprintf("!r%d:x", i%50)
		if i%3 == 0 {
			d.Origin = "most.example"
		}
		d.Policy, d.Total = fmt.Sprintf("p%d", i%4), time.Duration(i%50)*time.Millisecond
		switch {
		case i%4 == 1:
			d.Mode, d.Policy = "monitor", "watching"
		case i%10 == 0:
			d.Verdict, d.Policy = "allow", ""
		case i < 10:
			d.Verdict, d.Policy, d.Fault = "incompatible", "rare", "trap"
		}
		for !s.AppendDecision(d) {
			if err := s.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkMillion asks a store with many decisions for what the overview and the list
// show. The worst of each: filters that few or no decisions meet.
func BenchmarkMillion(b *testing.B) {
	n := 10_000
	if v := os.Getenv(millionEnv); v != "" {
		if _, err := fmt.Sscan(v, &n); err != nil {
			b.Fatal(err)
		}
	}
	ctx, s := context.Background(), openAt(b, filepath.Join(b.TempDir(), "store.db"))
	begin := time.Now()
	fillDecisions(b, s, n)
	b.Logf("%d decisions stored in %s, %.1f us each", n, time.Since(begin), float64(time.Since(begin).Microseconds())/float64(n))
	counts := func(since, step time.Duration) func() error {
		return func() error { _, err := s.DecisionCounts(ctx, time.Now().Add(-since), step); return err }
	}
	list := func(f DecisionFilter) func() error {
		return func() error { _, err := s.Decisions(ctx, f); return err }
	}
	middle := int64(n / 2)
	for _, bb := range []struct {
		name string
		do   func() error
	}{
		{"counts of an hour by minutes", counts(time.Hour, time.Minute)},
		{"counts of two days by minutes", counts(48*time.Hour, time.Minute)},
		{"counts of 30 days by hours", counts(30*24*time.Hour, time.Hour)},
		{"counts of 30 days by days", counts(30*24*time.Hour, 24*time.Hour)},
		{"origins of a day", func() error { _, err := s.OriginCounts(ctx, time.Now().Add(-24*time.Hour), 20); return err }},
		{"origins of 30 days", func() error { _, err := s.OriginCounts(ctx, time.Now().Add(-30*24*time.Hour), 20); return err }},
		{"list", list(DecisionFilter{})},
		{"list, from the middle", list(DecisionFilter{Before: middle})},
		{"list of a user", list(DecisionFilter{User: "@u5:y"})},
		{"list of no user", list(DecisionFilter{User: "@nobody:y"})},
		{"list of an origin", list(DecisionFilter{Origin: "s7.example"})},
		{"list of the most frequent origin, from the middle", list(DecisionFilter{Origin: "most.example", Before: middle})},
		{"list of a policy", list(DecisionFilter{Policy: "p1", Before: middle})},
		{"list of a rare policy", list(DecisionFilter{Policy: "rare"})},
		{"list of a policy that only watches", list(DecisionFilter{Policy: "watching"})},
		{"list of a verdict", list(DecisionFilter{Verdict: "allow"})},
		{"list of a rare verdict", list(DecisionFilter{Verdict: "incompatible"})},
		{"list of no verdict", list(DecisionFilter{Verdict: "none"})},
		{"list of the monitor", list(DecisionFilter{Monitor: true, Before: middle})},
		{"list of the monitor, of an origin", list(DecisionFilter{Monitor: true, Origin: "most.example"})},
		{"list of faults", list(DecisionFilter{Faults: true})},
		{"list since a minute", list(DecisionFilter{Since: time.Now().Add(-time.Minute)})},
		{"list since a week, of a verdict", list(DecisionFilter{Since: time.Now().Add(-7 * 24 * time.Hour), Verdict: "allow"})},
		{"list of an origin with a rare verdict", list(DecisionFilter{Origin: "s7.example", Verdict: "incompatible"})},
		{"list of the most frequent origin with a rare verdict", list(DecisionFilter{Origin: "most.example", Verdict: "incompatible"})},
		{"list of a policy with a rare verdict", list(DecisionFilter{Policy: "p1", Verdict: "incompatible"})},
		{"list of a code", list(DecisionFilter{Code: "none"})},
	} {
		b.Run(strings.ReplaceAll(bb.name, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				if err := bb.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
