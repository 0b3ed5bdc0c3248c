// Package rejudge judges many stored decisions again and says which come out otherwise.
package rejudge

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
)

// batch is how many decisions go to a worker at once.
const batch = 128

// Source hands every decision to each, in the order that they were made, until each
// fails. It hands over what it will not change.
type Source func(ctx context.Context, each func(store.Decision) error) error

// Change is a decision that comes out otherwise.
type Change struct {
	ID        int64
	RequestID string
	At        time.Time
	Phase     string
	Room      string
	User      string
	Origin    string
	// Was and Is are the verdicts, with the class of a fault: "deny (fault: trap)".
	Was, Is string
	// WasBy and IsBy are the policies that decided, "" the chain's default.
	WasBy, IsBy string
	// Message and Code are what the policy says now.
	Message, Code string
	// Differences are all that is not the same, in words.
	Differences []plugins.Difference
}

// Verdict reports whether the verdict is another, and not only who gave it, its words,
// or what was asked of the host.
func (c *Change) Verdict() bool { return c.Was != c.Is }

// Summary is what became of all of them.
type Summary struct {
	Decisions int64 // that were looked at
	Same      int64
	// NoFacts were stored without what a replay needs, or by a version that wrote it
	// otherwise.
	NoFacts int64
	// Verdicts counts those with another verdict by "was -> is"; Others are the
	// changes that leave the verdict.
	Verdicts map[string]int64
	Others   int64
	// Changes are the decisions that come out otherwise, in order.
	Changes []Change
	Took    time.Duration

	keep int // the most changes; 0 for all
}

// Run judges the decisions of a source with the policies of a chain, on every processor.
// done counts those that are through; it may be nil. It fails if the source does, a
// decision is damaged, or ctx ends.
func Run(ctx context.Context, chain *plugins.Chain, source Source, done *atomic.Int64) (*Summary, error) {
	return RunNewest(ctx, chain, source, done, 0)
}

// RunNewest is [Run] whose Changes are the newest of those with another verdict, so
// that what it holds is bounded. With keep 0 they are all changes.
func RunNewest(ctx context.Context, chain *plugins.Chain, source Source, done *atomic.Int64, keep int) (*Summary, error) {
	begin := time.Now()
	if done == nil {
		done = new(atomic.Int64)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan []store.Decision, 2*runtime.GOMAXPROCS(0))
	parts := make([]Summary, runtime.GOMAXPROCS(0))
	var workers sync.WaitGroup
	for i := range parts {
		parts[i].Verdicts, parts[i].keep = map[string]int64{}, keep
		workers.Go(func() {
			var d plugins.Decision
			for list := range work {
				for j := range list {
					if err := parts[i].judge(ctx, chain, &list[j], &d); err != nil {
						cancel(err)
						return
					}
				}
				done.Add(int64(len(list)))
			}
		})
	}
	err := feed(ctx, source, work)
	close(work)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return nil, err
	}
	s := merge(parts)
	if s.keep = keep; keep > 0 {
		s.trim(keep)
	}
	s.Took = time.Since(begin)
	return s, nil
}

// feed sends the decisions of a source to the workers.
func feed(ctx context.Context, source Source, work chan<- []store.Decision) error {
	list := make([]store.Decision, 0, batch)
	send := func() error {
		select {
		case work <- list:
			list = make([]store.Decision, 0, batch)
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := source(ctx, func(d store.Decision) error {
		if list = append(list, d); len(list) < batch {
			return nil
		}
		return send()
	})
	if err == nil && len(list) > 0 {
		err = send()
	}
	return err
}

func merge(parts []Summary) *Summary {
	s := &Summary{Verdicts: map[string]int64{}}
	for i := range parts {
		p := &parts[i]
		s.Decisions += p.Decisions
		s.Same += p.Same
		s.NoFacts += p.NoFacts
		s.Others += p.Others
		for key, n := range p.Verdicts {
			s.Verdicts[key] += n
		}
		s.Changes = append(s.Changes, p.Changes...)
	}
	slices.SortFunc(s.Changes, func(a, b Change) int { return int(a.ID - b.ID) })
	return s
}

// judge judges one decision again.
func (s *Summary) judge(ctx context.Context, chain *plugins.Chain, row *store.Decision, d *plugins.Decision) error {
	s.Decisions++
	was, err := decisionlog.Restore(row)
	if errors.Is(err, decisionlog.ErrNoFacts) || errors.Is(err, plugins.ErrOtherFacts) {
		s.NoFacts++
		return nil
	} else if err != nil {
		return err
	}
	differences := chain.Replay(ctx, was, d)
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if len(differences) == 0 {
		s.Same++
		return nil
	}
	c := Change{
		ID: row.ID, RequestID: row.RequestID, At: row.At, Phase: row.Phase, Room: row.Room, User: row.User, Origin: row.Origin,
		Was: outcome(was.Verdict.String(), was.Fault), Is: outcome(d.Verdict.String(), d.Fault), WasBy: was.Policy, IsBy: strings.Clone(d.Policy),
		Message: d.Message, Code: d.Code, Differences: differences,
	}
	if c.Verdict() {
		s.Verdicts[c.Was+" -> "+c.Is]++
	} else {
		s.Others++
	}
	if s.keep > 0 && !c.Verdict() {
		return nil
	}
	s.Changes = append(s.Changes, c)
	if s.keep > 0 && len(s.Changes) >= 2*s.keep {
		s.trim(s.keep)
	}
	return nil
}

// trim leaves the newest changes, which are in order.
func (s *Summary) trim(keep int) {
	if n := len(s.Changes) - keep; n > 0 {
		s.Changes = slices.Delete(s.Changes, 0, n)
	}
}

func outcome(verdict string, f plugins.Fault) string {
	if f.Class == plugins.FaultNone {
		return verdict
	}
	return fmt.Sprintf("%s (fault: %s)", verdict, f.Class)
}
