package store

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWriterFaults: while the file does not take writes, each is answered with what is
// wrong and what to do, decisions are counted as dropped and said to be so, and reads are
// answered; when it takes them again, all goes on.
func TestWriterFaults(t *testing.T) {
	ctx := context.Background()
	// By the writer's connection, between its transactions.
	pragma := func(t *testing.T, s *Store, text string) {
		t.Helper()
		if _, err := s.writer.conn.ExecContext(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		begin func(t *testing.T, s *Store) (end func())
		want  []string
	}{
		{"a full disk", func(t *testing.T, s *Store) func() {
			pragma(t, s, "PRAGMA max_page_count = 1") // which SQLite takes as: no more than there are
			return func() { pragma(t, s, "PRAGMA max_page_count = 1000000") }
		}, []string{"the disk is full", "make room"}},
		{"read-only", func(t *testing.T, s *Store) func() {
			pragma(t, s, "PRAGMA query_only = on")
			return func() { pragma(t, s, "PRAGMA query_only = off") }
		}, []string{"must be writable"}},
		{"locked by another process", func(t *testing.T, s *Store) func() {
			pragma(t, s, "PRAGMA busy_timeout = 10")
			other := rawOpen(t, s.Path())
			other.SetMaxOpenConns(1)
			if _, err := other.Exec("BEGIN IMMEDIATE"); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := other.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}, []string{"locked by another process", "stop that process"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := openAt(t, filepath.Join(t.TempDir(), "store.db"))
			makeRoom(t, s, testRoom)
			storeDecisions(t, s, []Decision{testDecision(0)})
			end := tt.begin(t, s)

			var lost []int
			var why error
			s.ObserveLost(func(n int, err error) { lost, why = append(lost, n), err })
			large := testDecision(1)
			large.Detail = strings.Repeat("x", 1<<20)
			for range 3 {
				if !s.AppendDecision(large) {
					t.Fatal("a decision was not taken")
				}
			}
			// A ticket of its own: the writer is asked until the decisions are through.
			for s.DecisionsDropped() < 3 {
				_ = s.Flush(ctx)
			}
			big := event(testRoom, 1)
			big.JSON = []byte(large.Detail)
			err := s.Write(ctx, func(tx *Tx) error { return tx.Append(big) })
			for _, part := range append(tt.want, s.Path()) {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("a write: %v, want %q in it", err, part)
				}
				if why == nil || !strings.Contains(why.Error(), part) {
					t.Errorf("decisions are lost with %v, want %q in it", why, part)
				}
			}
			all := 0
			for _, n := range lost {
				all += n
			}
			if all != 3 || s.DecisionsDropped() != 3 {
				t.Errorf("told of %v, counted %d; want 3", lost, s.DecisionsDropped())
			}
			if list, err := s.Decisions(ctx, DecisionFilter{}); err != nil || len(list) != 1 {
				t.Errorf("%d decisions, %v; want the one from before", len(list), err)
			}

			end()
			if err := s.Write(ctx, func(tx *Tx) error { return tx.Append(big) }); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			storeDecisions(t, s, []Decision{large})
			if err := s.CheckWritable(ctx); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			if list, err := s.Decisions(ctx, DecisionFilter{}); err != nil || len(list) != 2 || s.DecisionsDropped() != 3 {
				t.Errorf("afterwards %d decisions, %d dropped, %v; want 2 and 3", len(list), s.DecisionsDropped(), err)
			}
			counts, err := s.DecisionCounts(ctx, time.Unix(0, 0), time.Hour)
			if err != nil || len(counts) != 1 || counts[0].Number != 2 {
				t.Errorf("afterwards the counts are %v, %v; want 2 of one kind: what is not stored is not counted", counts, err)
			}
		})
	}
}

// TestOpenBesideAWriter: a store that another process writes to at the moment opens once
// that is done, and else says so.
func TestOpenBesideAWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	makeOld(t, path, 1)
	other := rawOpen(t, path)
	other.SetMaxOpenConns(1)
	if _, err := other.Exec("PRAGMA journal_mode = wal; BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	s, err := open(context.Background(), path, 20*time.Millisecond)
	if err == nil {
		s.Close()
		t.Fatal("an old store is brought up to date beside another process's transaction")
	}
	if parts := []string{path, "locked by another process", "stop that process"}; slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(err.Error(), p) }) {
		t.Errorf("the error %q does not say all of %q", err, parts)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
}
