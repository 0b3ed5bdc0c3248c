//go:build unix

package rejudge

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
)

// BenchmarkReplay judges 100,000 decisions of a store again with a small module whose
// outcome is another for a tenth of them: from the file to the summary.
func BenchmarkReplay(b *testing.B) {
	const n = 100_000
	list := record(b, load(b, plugins.PolicySpec{Name: "gate", Module: filepath.Join("..", "..", "..", "plugins", "testdata", "allow.wasm")}, plugins.EngineOptions{Record: true}), n)
	st, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	for i, d := range list {
		if !st.AppendDecision(d) {
			b.Fatal("a decision was not taken")
		}
		if i%1000 == 999 {
			if err := st.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	c := load(b, small(), plugins.EngineOptions{})
	begin, judged := processor(b), int64(0)
	for b.Loop() {
		s, err := Run(b.Context(), c, func(ctx context.Context, each func(store.Decision) error) error {
			return st.EachDecision(ctx, time.Time{}, each)
		}, nil)
		if err != nil || s.Decisions != n || s.Verdicts["allow -> deny"] < n/10 {
			b.Fatalf("%+v, %v", s, err)
		}
		judged += s.Decisions
		b.ReportMetric(float64(s.Decisions)/s.Took.Seconds(), "decisions/s")
	}
	b.ReportMetric(float64((processor(b)-begin).Microseconds())/float64(judged), "cpu-us/decision")
}

// processor returns the processor time of this process so far, which other work on the
// machine leaves alone.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
