package admin

import (
	"context"
	"sync"
	"time"
)

// Check is one thing that must be right for the server to be ready.
type Check struct {
	// Name is one word, such as "store".
	Name string
	// Run returns what is so, in a few words, and fails where it is wrong. It ends
	// with ctx. Neither may hold anything secret.
	Run func(ctx context.Context) (string, error)
}

const (
	// checkTime bounds the checks, which run at the same time.
	checkTime = 3 * time.Second
	// maxAge is how long their outcome stands: who asks often costs no more.
	maxAge = time.Second
)

// Result is what came of a check.
type Result struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// report is the body of /readyz.
type report struct {
	Ready  bool     `json:"ready"`
	Checks []Result `json:"checks"`
}

// Readiness runs the checks and remembers what came of them for a second.
type Readiness struct {
	checks []Check
	now    func() time.Time

	mu    sync.Mutex // held while the checks run, so that they run once for all who wait
	last  report     // guarded by mu
	until time.Time  // guarded by mu
}

// NewReadiness returns the readiness that checks make, by a clock.
func NewReadiness(checks []Check, now func() time.Time) *Readiness {
	return &Readiness{checks: checks, now: now}
}

// Results returns what the checks say, in their order.
func (r *Readiness) Results() []Result { return r.report().Checks }

// report returns what the checks said within the last second.
func (r *Readiness) report() report {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); !now.Before(r.until) || now.Add(maxAge).Before(r.until) {
		r.last = r.run()
		r.until = r.now().Add(maxAge)
	}
	return r.last
}

func (r *Readiness) run() report {
	// Not the context of who asks: others wait for the same checks.
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	results := make([]Result, len(r.checks))
	var wg sync.WaitGroup
	for i, c := range r.checks {
		wg.Go(func() {
			text, err := c.Run(ctx)
			if err != nil {
				text = err.Error()
			}
			results[i] = Result{Name: c.Name, OK: err == nil, Text: text}
		})
	}
	wg.Wait()
	all := report{Ready: true, Checks: results}
	for _, c := range results {
		all.Ready = all.Ready && c.OK
	}
	return all
}
