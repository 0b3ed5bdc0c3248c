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

// result is what came of a check.
type result struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// report is the body of /readyz.
type report struct {
	Ready  bool     `json:"ready"`
	Checks []result `json:"checks"`
}

// readiness runs the checks and remembers what came of them.
type readiness struct {
	checks []Check
	now    func() time.Time

	mu    sync.Mutex // held while the checks run, so that they run once for all who wait
	last  report     // guarded by mu
	until time.Time  // guarded by mu
}

// report returns what the checks said within the last second.
func (r *readiness) report() report {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); !now.Before(r.until) || now.Add(maxAge).Before(r.until) {
		r.last = r.run()
		r.until = r.now().Add(maxAge)
	}
	return r.last
}

func (r *readiness) run() report {
	// Not the context of who asks: others wait for the same checks.
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	results := make([]result, len(r.checks))
	var wg sync.WaitGroup
	for i, c := range r.checks {
		wg.Go(func() {
			text, err := c.Run(ctx)
			if err != nil {
				text = err.Error()
			}
			results[i] = result{Name: c.Name, OK: err == nil, Text: text}
		})
	}
	wg.Wait()
	all := report{Ready: true, Checks: results}
	for _, c := range results {
		all.Ready = all.Ready && c.OK
	}
	return all
}
