package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// countsStart is a whole hour.
var countsStart = time.Unix(1_700_000_000/hourSpan*hourSpan, 0).UTC()

// variedDecision is the i-th decision of those that counts are tested with: two seconds
// after the one before, of few kinds.
func variedDecision(i int) Decision {
	random := rand.New(rand.NewPCG(1, uint64(i)))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	d := testDecision(i)
	d.At = countsStart.Add(time.Duration(i) * 2 * time.Second)
	d.Phase, d.Verdict, d.Mode = pick("make_knock", "send_knock"), pick("allow", "deny", "incompatible"), pick("", "", "monitor")
	d.Policy, d.Fault, d.Origin = pick("", "p", "q"), pick("", "", "trap"), pick("a.example", "b.example", "b.example", "c.example")
	d.Total, d.Policies = time.Duration(random.ExpFloat64()*float64(20*time.Millisecond)), time.Duration(random.IntN(1_000_000))
	return d
}

func storeDecisions(t testing.TB, s *Store, list []Decision) {
	t.Helper()
	for _, d := range list {
		for !s.AppendDecision(d) {
			if err := s.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// fullCount counts decisions one by one.
func fullCount(list []Decision, since time.Time, step time.Duration) []DecisionCount {
	counts := map[DecisionCount]*DecisionCount{}
	for _, d := range list {
		if d.At.Before(since) {
			continue
		}
		c := DecisionCount{At: d.At.Truncate(step), Phase: d.Phase, Verdict: d.Verdict, Mode: d.Mode, Policy: d.Policy, Faults: d.Fault != ""}
		if counts[c] == nil {
			n := c
			counts[c] = &n
		}
		n, took := counts[c], d.Total
		if d.Mode == "monitor" {
			took = d.Policies
		}
		n.Number++
		for i := range n.Took {
			if i == len(latencyBounds) || took.Truncate(time.Microsecond) <= latencyBounds[i] {
				n.Took[i]++
				break
			}
		}
	}
	var all []DecisionCount
	for _, c := range counts {
		all = append(all, *c)
	}
	return all
}

var anyOrder = cmpopts.SortSlices(func(a, b DecisionCount) bool { return fmt.Sprint(a) < fmt.Sprint(b) })

// TestDecisionCounts: the counts are those of the decisions one by one, whatever the
// step, by the writer and by the migration of a store from before there were counts.
func TestDecisionCounts(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	var list []Decision
	for i := range 4000 { // a little over two hours
		list = append(list, variedDecision(i))
	}
	storeDecisions(t, s, list)
	check := func(t *testing.T, s *Store) {
		for _, tt := range []struct {
			since, step time.Duration
			from        time.Duration // what counting begins with
		}{
			{0, time.Minute, 0}, {90*time.Minute + 30*time.Second, time.Minute, 90 * time.Minute}, {20 * time.Minute, 10 * time.Minute, 20 * time.Minute},
			{0, time.Hour, 0}, {70 * time.Minute, time.Hour, time.Hour}, {0, 24 * time.Hour, 0}, {5 * time.Hour, time.Minute, 5 * time.Hour},
		} {
			got, err := s.DecisionCounts(ctx, countsStart.Add(tt.since), tt.step)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fullCount(list, countsStart.Add(tt.from), tt.step), got, anyOrder, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("since %s by %s (-want +got):\n%s", tt.since, tt.step, diff)
			}
			if !slices.IsSortedFunc(got, func(a, b DecisionCount) int { return a.At.Compare(b.At) }) {
				t.Errorf("since %s by %s: not in the order of time", tt.since, tt.step)
			}
		}
		want := map[string]int64{}
		for _, d := range list {
			if d.Mode == "" && d.Verdict != "allow" && !d.At.Before(countsStart.Add(time.Hour)) {
				want[d.Origin]++
			}
		}
		origins, err := s.OriginCounts(ctx, countsStart.Add(80*time.Minute), 2)
		if err != nil || len(origins) != 2 || origins[0] != (OriginCount{"b.example", want["b.example"]}) || origins[1].Number != want[origins[1].Origin] {
			t.Errorf("the two most refused are %v, %v; want of %v", origins, err, want)
		}
	}
	t.Run("written", func(t *testing.T) { check(t, s) })
	for _, step := range []time.Duration{0, -time.Minute, time.Second, 90 * time.Second} {
		if _, err := s.DecisionCounts(ctx, countsStart, step); err == nil {
			t.Errorf("a step of %s is taken", step)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	rawSQL(t, path, dropCounts)
	t.Run("migrated", func(t *testing.T) { check(t, openAt(t, path)) })
}

// dropCounts takes a store back to before there were counts.
const dropCounts = `DROP TABLE decision_counts; DROP TABLE refused_origins; DROP INDEX decisions_user; DROP INDEX decisions_origin;
	DROP INDEX decisions_policy; DROP INDEX decisions_verdict; DROP INDEX decisions_at; DROP INDEX decisions_faults;
	DELETE FROM goose_db_version WHERE version_id = 7`

// TestOriginsAreBounded: an hour counts 200 names; those that come later are counted
// together, and those that are there go on by name. The migration does the same with
// those of the highest counts.
func TestOriginsAreBounded(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	var list []Decision
	add := func(origin string) {
		d := testDecision(len(list))
		d.At, d.Origin = countsStart, origin
		list = append(list, d)
	}
	for i := range maxOrigins + 50 {
		add(fmt.Sprintf("s%d.example", i))
		storeDecisions(t, s, list[len(list)-1:])
	}
	add("s0.example")
	add("s0.example")
	storeDecisions(t, s, list[len(list)-2:])
	for range 2 {
		got, err := s.OriginCounts(ctx, countsStart, 1000)
		if err != nil || len(got) != maxOrigins+1 || got[0] != (OriginCount{"", 50}) || got[1] != (OriginCount{"s0.example", 3}) || got[2].Number != 1 {
			t.Errorf("%d origins, first %v, %v; want %d, 50 without a name and 3 of s0.example", len(got), got[:min(3, len(got))], err, maxOrigins+1)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		rawSQL(t, path, dropCounts)
		s = openAt(t, path)
	}
}

// TestPruneCounts: counts go by age, minutes after two days, and never by a purge or a
// bound in number; a purge of a user takes the user's refusals from the user's server.
func TestPruneCounts(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	var list []Decision
	for i := range 6 {
		d := testDecision(i)
		d.At, d.User, d.Origin = countsStart.Add(time.Duration(i)*24*time.Hour), fmt.Sprintf("@u%d:y", i), fmt.Sprintf("s%d.example", i)
		list = append(list, d)
	}
	allowed := list[5]
	allowed.Verdict = "allow"
	storeDecisions(t, s, append(list, list[5], allowed))
	numbers := func(step time.Duration) (n int64) {
		t.Helper()
		counts, err := s.DecisionCounts(ctx, time.Unix(0, 0), step)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range counts {
			n += c.Number
		}
		return n
	}
	check := func(after string, minutes, hours int64, origins ...OriginCount) {
		t.Helper()
		if m, h := numbers(time.Minute), numbers(time.Hour); m != minutes || h != hours {
			t.Errorf("after %s: %d by the minute and %d by the hour, want %d and %d", after, m, h, minutes, hours)
		}
		got, err := s.OriginCounts(ctx, time.Unix(0, 0), 3)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(origins, got); diff != "" {
			t.Errorf("origins after %s (-want +got):\n%s", after, diff)
		}
	}
	most := []OriginCount{{"s5.example", 2}, {"s0.example", 1}, {"s1.example", 1}}
	check("nothing", 8, 8, most...)
	if _, err := s.Prune(ctx, time.Time{}, 3); err != nil {
		t.Fatal(err)
	}
	check("a bound in number", 8, 8, most...)
	now := list[5].At.Add(time.Hour)
	if err := s.PruneCounts(ctx, now, time.Time{}); err != nil {
		t.Fatal(err)
	}
	check("two days", 4, 8, most...)
	if err := s.PruneCounts(ctx, now, list[2].At.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	check("an age", 4, 6, OriginCount{"s5.example", 2}, OriginCount{"s2.example", 1}, OriginCount{"s3.example", 1})
	if n, err := s.PurgeUser(ctx, "@u5:y"); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	check("a purge", 4, 6, OriginCount{"s2.example", 1}, OriginCount{"s3.example", 1}, OriginCount{"s4.example", 1})
}

// TestCountsOfTwoProcesses: what two stores on one file write is in the counts of both.
func TestCountsOfTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	one, two := openAt(t, path), openAt(t, path)
	var list []Decision
	for i := range 400 {
		d := variedDecision(i)
		list = append(list, d)
		if s := [...]*Store{one, two}[i%2]; !s.AppendDecision(d) {
			t.Fatal("a decision was not taken")
		}
	}
	for _, s := range []*Store{one, two} {
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*Store{one, two} {
		if s.DecisionsDropped() != 0 {
			t.Errorf("%d decisions dropped", s.DecisionsDropped())
		}
		got, err := s.DecisionCounts(t.Context(), countsStart, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fullCount(list, countsStart, time.Minute), got, anyOrder); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestQuantile(t *testing.T) {
	var l Latencies
	if d, ok := l.Quantile(0.5); d != 0 || ok {
		t.Errorf("of none: %s, %v", d, ok)
	}
	for _, took := range []time.Duration{0, 500 * time.Microsecond, 501 * time.Microsecond, 15 * time.Millisecond, 5 * time.Second, time.Minute} {
		l.note(took)
	}
	for _, tt := range []struct {
		q    float64
		want time.Duration
		ok   bool
	}{{0, 500 * time.Microsecond, true}, {0.33, 500 * time.Microsecond, true}, {0.5, time.Millisecond, true}, {0.6, 20 * time.Millisecond, true},
		{0.8, 5 * time.Second, true}, {0.99, 5 * time.Second, false}, {1, 5 * time.Second, false}} {
		if got, ok := l.Quantile(tt.q); got != tt.want || ok != tt.ok {
			t.Errorf("Quantile(%g) = %s, %v; want %s, %v", tt.q, got, ok, tt.want, tt.ok)
		}
	}
	if l.Add(l); l[0] != 4 {
		t.Errorf("added to itself: %v", l)
	}
}
