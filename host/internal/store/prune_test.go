package store

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// idsOf returns the IDs of all decisions, oldest first, those of the monitor too.
func idsOf(t *testing.T, s *Store) []int64 {
	t.Helper()
	ids, err := rowsOf(context.Background(), s, "SELECT id FROM decisions ORDER BY id", nil, func(id *int64) []any { return []any{id} })
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func from(first, last int64) (ids []int64) {
	for i := first; i <= last; i++ {
		ids = append(ids, i)
	}
	return ids
}

// TestPrune: the oldest go by age and by number, over more than one submission;
// what is young and few enough stays.
func TestPrune(t *testing.T) {
	const all = 2*pruneChunk + 200
	start := time.UnixMicro(1_700_000_000_000_000)
	tests := []struct {
		name   string
		before time.Time
		keep   int64
		left   []int64
	}{
		{"no bound", time.Time{}, 0, from(1, all)},
		{"none so old", start, 0, from(1, all)},
		{"older than the 1,100th", start.Add(1100 * time.Second), 0, from(1100, all)},
		{"all too old", start.Add(time.Hour), 0, nil},
		{"the newest 150", time.Time{}, 150, from(all-149, all)},
		{"one more than there are", time.Time{}, all + 1, from(1, all)},
		{"by number more than by age", start.Add(100 * time.Second), 600, from(all-599, all)},
		{"by age more than by number", start.Add(700 * time.Second), 600, from(700, all)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := openTest(t)
			for i := range all {
				d := testDecision(i)
				d.At = start.Add(time.Duration(i+1) * time.Second)
				if i%3 == 0 {
					d.Mode = "monitor"
				}
				for !s.AppendDecision(d) {
					if err := s.Flush(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			n, err := s.Prune(t.Context(), tt.before, tt.keep)
			if err != nil || n != all-int64(len(tt.left)) {
				t.Errorf("Prune = %d, %v; want %d", n, err, all-len(tt.left))
			}
			if diff := cmp.Diff(tt.left, idsOf(t, s)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPurgeUser: everything on one user goes, and cannot be read in the file
// afterwards; what is on others stays.
func TestPurgeUser(t *testing.T) {
	s := openTest(t)
	const n = pruneChunk + 50
	for i := range 2 * n {
		d := testDecision(i)
		d.User = "@other:there.example"
		if i%2 == 0 {
			d.User, d.Detail = "@purged:there.example", `{"reason":"a secret of theirs"}`
		}
		if !s.AppendDecision(d) {
			t.Fatal("a decision was not taken")
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.PurgeUser(t.Context(), "@purged:there.example"); err != nil || got != n {
		t.Errorf("PurgeUser = %d, %v; want %d", got, err, n)
	}
	if got, err := s.PurgeUser(t.Context(), "@purged:there.example"); err != nil || got != 0 {
		t.Errorf("again: PurgeUser = %d, %v; want 0", got, err)
	}
	if got := len(idsOf(t, s)); got != n {
		t.Errorf("%d decisions on others are left, want %d", got, n)
	}
	if err := s.Close(); err != nil { // the write-ahead log goes into the file
		t.Fatal(err)
	}
	file, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"@purged:there.example", "a secret of theirs"} {
		if bytes.Contains(file, []byte(secret)) {
			t.Errorf("%q can still be read in the file", secret)
		}
	}
}
