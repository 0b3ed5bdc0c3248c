package permits

import (
	"context"
	"log/slog"
	"time"

	"github.com/knockgate/knockgate/host/internal/store"
)

// Refresh reads the live permits from the store, and logs which came and went. It
// leaves them as they were if it fails.
func (p *Permits) Refresh(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	rows, err := p.store.LivePermits(ctx)
	if err != nil {
		return err
	}
	live, known := table{}, make(map[int64]*entry, len(rows))
	mark, next := store.PermitsMark{}, time.Time{}
	expired, retry := false, p.again.Swap(false)
	for i := range rows {
		row := &rows[i]
		e := p.known[row.ID]
		if e == nil {
			e = &entry{permit: *row}
		}
		if !row.Until.After(now) {
			expired = true
			if !p.opened {
				p.log.Info("permit expired", attrs(row)...)
			}
			continue
		}
		if retry && e.state.Load() == used {
			p.end(ctx, e)
		}
		if p.opened && p.known[row.ID] == nil {
			p.log.Info("permit given", append(attrs(row), slog.Time("until", row.Until), slog.String("note", row.Note))...)
		}
		known[row.ID] = e
		where := key{row.Room, row.User}
		live[where] = append(live[where], e)
		mark.Count++
		mark.Sum += row.ID
		if next.IsZero() || row.Until.Before(next) {
			next = row.Until
		}
	}
	if !p.opened && len(known) > 0 {
		p.log.Info("permits are live; knockgate allow --list lists them", "number", len(known))
	}
	p.logEnded(known, now)
	p.live.Store(&live)
	p.known, p.mark, p.next, p.opened = known, mark, next, true
	if expired {
		return p.store.ExpirePermits(ctx, now)
	}
	return nil
}

// logEnded logs the permits that are live no more. Those that were used have been.
func (p *Permits) logEnded(known map[int64]*entry, now time.Time) {
	for id, e := range p.known {
		switch {
		case known[id] != nil || e.state.Load() == used:
		case e.permit.Until.After(now):
			p.log.Info("permit revoked", attrs(&e.permit)...)
		default:
			p.log.Info("permit expired", attrs(&e.permit)...)
		}
	}
}

// look refreshes if other permits are live than before, or a use is to be stored
// again.
func (p *Permits) look(ctx context.Context) error {
	mark, err := p.store.PermitsMark(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	same := mark == p.mark && (p.next.IsZero() || p.next.After(p.now()))
	p.mu.Unlock()
	if same && !p.again.Load() {
		return nil
	}
	return p.Refresh(ctx)
}

// Watch takes up what other processes gave and revoked at each tick, until ctx is
// done. What it cannot read it tries again, and logs once.
func (p *Permits) Watch(ctx context.Context, tick <-chan time.Time) {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		err := p.look(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			p.log.Error("permits cannot be read; those before stay", "err", err)
		}
		failing = err != nil
	}
}
