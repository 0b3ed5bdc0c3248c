package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	minuteSpan, hourSpan = 60, 3600 // seconds
	// minutesKept is how long counts by the minute are kept.
	minutesKept = 24 * time.Hour
	// maxCounts is the most rows of each span, and of refused origins, that a prune
	// leaves. The newest stay.
	maxCounts = 200_000
	// maxOrigins is how many refused origins of one hour are counted by name, so
	// that somebody with many names does not fill the store.
	maxOrigins = 200
)

// DecisionCount is how many decisions there were of one kind in one step of time.
type DecisionCount struct {
	// At is when the step begins; steps begin at whole multiples of their length
	// since the Unix epoch.
	At time.Time
	// Phase, Verdict, Mode and Policy are as those of [Decision].
	Phase, Verdict, Mode, Policy string
	// Faults says that a policy failed.
	Faults bool
	Number int64
	// Took is from the request's arrival to its answer; in monitor mode, the
	// policy's own time.
	Took Latencies
}

// DecisionCounts returns how many decisions there were since a time, by steps, the oldest
// first. They are counts of what was decided: a purge does not lower them, and neither
// does a bound in the number of decisions. step is a whole number of minutes. If it is
// of whole hours, counting begins with the hour that since is in, and goes back as far as
// decisions are kept by age; else with since's minute, and goes back 24 hours.
func (s *Store) DecisionCounts(ctx context.Context, since time.Time, step time.Duration) ([]DecisionCount, error) {
	if step <= 0 || step%time.Minute != 0 {
		return nil, fmt.Errorf("steps of %s: must be a whole number of minutes", step)
	}
	span := int64(minuteSpan)
	if step%time.Hour == 0 {
		span = hourSpan
	}
	seconds := int64(step / time.Second)
	rows, err := s.readers.QueryContext(ctx, selectCounts, seconds, seconds, span, since.Unix()/span*span)
	if err != nil {
		return nil, s.wrap("reading the counts of decisions", err)
	}
	list, err := collect(rows, func(c *countRow) []any {
		columns := []any{&c.at, &c.Mode, &c.Phase, &c.Verdict, &c.Policy, &c.Faults, &c.Number}
		for i := range c.Took {
			columns = append(columns, &c.Took[i])
		}
		return columns
	})
	if err != nil {
		return nil, s.wrap("reading the counts of decisions", err)
	}
	counts := make([]DecisionCount, len(list))
	for i, c := range list {
		counts[i] = c.DecisionCount
		counts[i].At = time.Unix(c.at, 0).UTC()
	}
	return counts, nil
}

type countRow struct {
	at int64
	DecisionCount
}

// OriginCount is how many decisions refused a server.
type OriginCount struct {
	// Origin is empty for those that are not counted by name: the servers that came
	// after the first 200 of an hour.
	Origin string
	Number int64
}

// OriginCounts returns the servers that were refused most since the hour that a time is
// in, at most limit. A refusal is a decision that did not allow.
func (s *Store) OriginCounts(ctx context.Context, since time.Time, limit int) ([]OriginCount, error) {
	rows, err := s.readers.QueryContext(ctx, `SELECT origin, sum(number) AS all_of_it FROM refused_origins WHERE hour >= ?
		GROUP BY origin ORDER BY all_of_it DESC, origin LIMIT ?`, since.Unix()/hourSpan*hourSpan, max(limit, 0))
	if err == nil {
		var list []OriginCount
		if list, err = collect(rows, func(c *OriginCount) []any { return []any{&c.Origin, &c.Number} }); err == nil {
			return list, nil
		}
	}
	return nil, s.wrap("reading the refused servers", err)
}

// PruneCounts deletes counts that are too old: those of before the hour of a time, unless it
// is zero, those by the minute that are 24 hours old, and the oldest of too many.
func (s *Store) PruneCounts(ctx context.Context, now, before time.Time) error {
	return s.Write(ctx, func(t *Tx) error {
		horizon := int64(0)
		if !before.IsZero() {
			horizon = before.Unix() / hourSpan * hourSpan
		}
		for _, c := range [...]struct {
			drop, trim writeStmt
			args       []any
			from       int64
		}{
			{stDropCounts, stTrimCounts, []any{minuteSpan}, max(horizon, now.Add(-minutesKept).Unix())},
			{stDropCounts, stTrimCounts, []any{hourSpan}, horizon},
			{stDropOrigins, stTrimOrigins, nil, horizon},
		} {
			if _, err := t.exec(c.drop, append(c.args[:len(c.args):len(c.args)], c.from)...); err != nil {
				return fmt.Errorf("deleting old counts: %w", err)
			}
			if _, err := t.exec(c.trim, append(c.args[:len(c.args):len(c.args)], append(c.args, maxCounts)...)...); err != nil {
				return fmt.Errorf("deleting old counts: %w", err)
			}
		}
		return nil
	})
}

// countKey is what decisions are counted by.
type countKey struct {
	span, at                     int64
	mode, phase, verdict, policy string
	faults                       bool
}

type originKey struct {
	hour   int64
	origin string
}

// tally counts the decisions of one transaction, so that each kind of them costs one
// statement.
type tally struct {
	counts  map[countKey]*Latencies
	origins map[originKey]int64
}

func newTally(list []Decision) *tally {
	t := &tally{map[countKey]*Latencies{}, map[originKey]int64{}}
	for i := range list {
		d := &list[i]
		took := d.Total
		if d.Mode != "" {
			took = d.Policies
		}
		for _, span := range [...]int64{minuteSpan, hourSpan} {
			key := countKey{span, d.At.Unix() / span * span, d.Mode, d.Phase, d.Verdict, d.Policy, d.Fault != ""}
			l := t.counts[key]
			if l == nil {
				l = new(Latencies)
				t.counts[key] = l
			}
			l.note(took)
		}
		if refused(d) {
			t.origins[originKey{d.At.Unix() / hourSpan * hourSpan, d.Origin}]++
		}
	}
	return t
}

// refused reports whether a decision counts against its origin.
func refused(d *Decision) bool { return d.Mode == "" && d.Verdict != "allow" }

// count adds a tally to the counts; run by the writer, with the decisions themselves.
func (t *Tx) count(all *tally) error {
	for k, took := range all.counts {
		args := []any{k.span, k.at, k.mode, k.phase, k.verdict, k.policy, k.faults, int64(0)}
		var number int64
		for _, n := range took {
			number += n
			args = append(args, n)
		}
		args[7] = number
		if _, err := t.exec(stCountDecisions, args...); err != nil {
			return err
		}
	}
	for k, n := range all.origins {
		if err := t.countOrigin(k, n); err != nil {
			return err
		}
	}
	return nil
}

// countOrigin adds n refusals to an origin's hour, by its name while there is place.
func (t *Tx) countOrigin(k originKey, n int64) error {
	there, err := t.changed(stAddOrigin, n, k.hour, k.origin)
	if err != nil || there {
		return err
	}
	isNew, err := t.changed(stInsertOrigin, k.hour, k.origin, n, k.hour, maxOrigins)
	if err != nil || isNew {
		return err
	}
	_, err = t.exec(stCountOtherOrigin, k.hour, n)
	return err
}

// uncountOrigin takes a refusal from an origin's hour, and the origin with the last.
func (t *Tx) uncountOrigin(k originKey) error {
	if _, err := t.exec(stAddOrigin, -1, k.hour, k.origin); err != nil {
		return err
	}
	_, err := t.exec(stDropOrigin, k.hour, k.origin)
	return err
}

// changed runs a statement and reports whether it changed a row.
func (t *Tx) changed(st writeStmt, args ...any) (bool, error) {
	result, err := t.exec(st, args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

var selectCounts, upsertCount = countSQL()

// countSQL returns the statements that read and add counts, with a column for each
// latency.
func countSQL() (read, add string) {
	var sums, names, marks, adds strings.Builder
	for i := range len(Latencies{}) {
		fmt.Fprintf(&sums, ", sum(took_%d)", i)
		fmt.Fprintf(&names, ", took_%d", i)
		fmt.Fprintf(&adds, ", took_%d = decision_counts.took_%[1]d + excluded.took_%[1]d", i)
		marks.WriteString(", ?")
	}
	read = "SELECT at / ? * ? AS start, mode, phase, verdict, policy, faults, sum(number)" + sums.String() +
		" FROM decision_counts WHERE span = ? AND at >= ? GROUP BY start, mode, phase, verdict, policy, faults"
	add = "INSERT INTO decision_counts (span, at, mode, phase, verdict, policy, faults, number" + names.String() +
		") VALUES (?, ?, ?, ?, ?, ?, ?, ?" + marks.String() +
		") ON CONFLICT (span, at, mode, phase, verdict, policy, faults) DO UPDATE SET number = decision_counts.number + excluded.number" + adds.String()
	return read, add
}
