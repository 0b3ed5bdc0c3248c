package permits

import (
	"context"
	"log/slog"
	"time"

	"github.com/knockgate/knockgate/host/internal/store"
)

// Held is a permit that lets a knock in.
type Held struct {
	permits *Permits
	entry   *entry
}

// Permit returns what is held.
func (h Held) Permit() *store.Permit { return &h.entry.permit }

// Find returns a permit of a user for a room that lasts beyond now and is not used,
// and leaves it as it is.
func (p *Permits) Find(room, user string, now time.Time) (Held, bool) {
	for _, e := range (*p.live.Load())[key{room, user}] {
		if e.permit.Until.After(now) && e.state.Load() != used {
			return Held{p, e}, true
		}
	}
	return Held{}, false
}

// Claim is Find for a knock that would use the permit up: nobody else can claim it
// before it is given back. Call Use or GiveBack.
func (p *Permits) Claim(room, user string, now time.Time) (Held, bool) {
	for _, e := range (*p.live.Load())[key{room, user}] {
		if e.permit.Until.After(now) && e.state.CompareAndSwap(free, claimed) {
			return Held{p, e}, true
		}
	}
	return Held{}, false
}

// GiveBack makes a claimed permit one that can be claimed.
func (h Held) GiveBack() { h.entry.state.CompareAndSwap(claimed, free) }

// useTime is how long a use waits for the disk.
const useTime = 5 * time.Second

// Use ends a claimed permit, durably: the knock with this request ID got in. It
// waits for the disk. Where that fails, the permit lets nobody in all the same,
// and is tried again with the next look at the store.
func (h Held) Use(request string) {
	p, e := h.permits, h.entry
	e.request = request
	e.state.Store(used)
	ctx, cancel := context.WithTimeout(context.Background(), useTime)
	defer cancel()
	p.end(ctx, e)
	p.log.Info("permit used", append(attrs(&e.permit), slog.String("request", request))...)
}

// end writes that a permit is used.
func (p *Permits) end(ctx context.Context, e *entry) {
	if _, err := p.store.EndPermit(ctx, e.permit.ID, store.PermitUsed, e.request, p.now()); err != nil {
		p.again.Store(true)
		p.log.Error("a permit is used and that could not be stored; a restart before it is would make it good again",
			"permit", e.permit.ID, "request", e.request, "err", err)
	}
}

func attrs(p *store.Permit) []any {
	return []any{slog.Int64("permit", p.ID), slog.String("user", p.User), slog.String("room", p.Room), slog.String("by", p.By)}
}
