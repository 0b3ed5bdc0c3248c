package store

import (
	"context"
	"fmt"
	"time"
)

// pruneChunk is how many decisions one submission deletes, so that an accept does
// not wait for long behind it.
const pruneChunk = 500

// Prune deletes the oldest decisions: those that are of before the time given, and
// those beyond the newest keep. A zero time and a keep of 0 are no bound. It
// returns how many it deleted, also where it fails.
func (s *Store) Prune(ctx context.Context, before time.Time, keep int64) (deleted int64, err error) {
	var over int64
	if keep > 0 {
		if err := s.readers.QueryRowContext(ctx, "SELECT count(*) FROM decisions").Scan(&over); err != nil {
			return 0, s.wrap("counting the decisions", err)
		}
		over -= keep
	}
	for {
		// By their IDs they are in the order in which they were stored, which is
		// that of their times but for a moment, or a step of the clock.
		type oldest struct{ id, at int64 }
		ids, err := rowsOf(ctx, s, "SELECT id, at FROM decisions ORDER BY id LIMIT ?", []any{pruneChunk},
			func(o *oldest) []any { return []any{&o.id, &o.at} })
		if err != nil {
			return deleted, err
		}
		n := 0
		for n < len(ids) && (int64(n)+deleted < over || !before.IsZero() && ids[n].at < before.UnixMicro()) {
			n++
		}
		if n == 0 {
			return deleted, nil
		}
		last := ids[n-1].id
		err = s.Write(ctx, func(t *Tx) error {
			_, err := t.exec(stDropDecisions, last)
			return err
		})
		if err != nil {
			return deleted, s.wrap("deleting decisions", err)
		}
		deleted += int64(n)
	}
}

// PurgeUser deletes every decision on a user, and what policies in monitor mode
// said of them. It returns how many it deleted, also where it fails. The counts of
// decisions, which name no user, stay; those of refused servers are lowered, as a
// server may have but one user.
func (s *Store) PurgeUser(ctx context.Context, user string) (deleted int64, err error) {
	var after int64
	for {
		type decision struct {
			id, at int64
			Decision
		}
		list, err := rowsOf(ctx, s, "SELECT id, at, origin, mode, verdict FROM decisions WHERE user_id = ? AND id > ? ORDER BY id LIMIT ?",
			[]any{user, after, pruneChunk}, func(d *decision) []any { return []any{&d.id, &d.at, &d.Origin, &d.Mode, &d.Verdict} })
		if err != nil || len(list) == 0 {
			return deleted, err
		}
		err = s.Write(ctx, func(t *Tx) error {
			for i := range list {
				d := &list[i]
				there, err := t.changed(stDropDecision, d.id)
				if err != nil {
					return err
				}
				if !there || !refused(&d.Decision) {
					continue
				}
				if err := t.uncountOrigin(originKey{d.at / 1e6 / hourSpan * hourSpan, d.Origin}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return deleted, s.wrap("deleting decisions", err)
		}
		deleted += int64(len(list))
		after = list[len(list)-1].id
	}
}

// rowsOf returns all rows of a query.
func rowsOf[T any](ctx context.Context, s *Store, query string, args []any, columns func(*T) []any) ([]T, error) {
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err == nil {
		var list []T
		if list, err = collect(rows, columns); err == nil {
			return list, nil
		}
	}
	return nil, fmt.Errorf("%s: reading the decisions: %w", s.path, err)
}
