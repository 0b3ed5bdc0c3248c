package store

import (
	"context"
	"time"
)

// decisionPage is how many decisions one read transaction of EachDecision takes: a long
// one would keep the write-ahead log from being copied back.
const decisionPage = 2000

// EachDecision hands every decision that was made at since or later to each, in order,
// until each fails. What policies in monitor mode would have said is not among them.
func (s *Store) EachDecision(ctx context.Context, since time.Time, each func(Decision) error) error {
	for last := int64(0); ; {
		list, err := s.DecisionsAfter(ctx, last, since)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, d := range list {
			if err := each(d); err != nil {
				return err
			}
		}
		last = list[len(list)-1].ID
	}
}

// CountDecisions returns how many decisions EachDecision would hand over.
func (s *Store) CountDecisions(ctx context.Context, since time.Time) (n int64, err error) {
	err = s.readers.QueryRowContext(ctx, "SELECT count(*) FROM decisions WHERE mode = '' AND at >= ?", since.UnixMicro()).Scan(&n)
	if err != nil {
		return 0, s.wrap("counting the decisions", err)
	}
	return n, nil
}

// DecisionsAfter returns what was decided after the decision with an ID, at since or later,
// oldest first: at most 2,000. What policies in monitor mode would have said is not among
// them.
func (s *Store) DecisionsAfter(ctx context.Context, id int64, since time.Time) ([]Decision, error) {
	rows, err := s.readers.QueryContext(ctx, "SELECT id, "+decisionColumns+
		" FROM decisions WHERE mode = '' AND id > ? AND at >= ? ORDER BY id LIMIT ?", id, since.UnixMicro(), decisionPage)
	if err != nil {
		return nil, s.wrap("reading the decisions", err)
	}
	defer rows.Close()
	list := make([]Decision, 0, decisionPage)
	for rows.Next() {
		d, err := scanDecision(rows)
		if err != nil {
			return nil, s.wrap("reading the decisions", err)
		}
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return nil, s.wrap("reading the decisions", err)
	}
	return list, nil
}
