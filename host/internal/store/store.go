package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrConflict says that a room is not at the head that a write builds on:
// another process, or an earlier write that failed, came between. Read the
// room again.
var ErrConflict = errors.New("the room has moved on")

// ErrClosed says that the store is closed or closing.
var ErrClosed = errors.New("the store is closed")

// Store is an open store. Its methods are safe for concurrent use.
type Store struct {
	path    string
	writer  *writer
	writeDB *sql.DB
	readers *sql.DB
	reads   [readCount]*sql.Stmt

	close struct {
		once sync.Once
		err  error
	}
}

// Path returns the file's path as it was given.
func (s *Store) Path() string { return s.path }

// Close waits until everything submitted is committed or refused, writes the
// decisions that are queued and closes the file. Later writes fail with
// [ErrClosed]. Closing again returns the same error.
func (s *Store) Close() error {
	s.close.once.Do(func() {
		if s.writer != nil {
			s.writer.close()
		}
		// The readers go first, so that the last connection to close is one
		// that can write: it folds the write-ahead log into the file.
		for _, st := range s.reads {
			if st != nil {
				_ = st.Close()
			}
		}
		var errs []error
		if s.readers != nil {
			errs = append(errs, s.readers.Close())
		}
		if s.writeDB != nil {
			errs = append(errs, s.writeDB.Close())
		}
		if err := errors.Join(errs...); err != nil {
			s.close.err = s.wrap("closing", err)
		}
	})
	return s.close.err
}

// Write runs do in a transaction and returns once it is committed. If do
// fails, what it wrote is undone and its error returned. If ctx ends first,
// the error says so, and whether the write happens is not known.
func (s *Store) Write(ctx context.Context, do func(*Tx) error) error {
	slot, err := s.Reserve(ctx)
	if err != nil {
		return err
	}
	return slot.Submit(do, nil).Wait(ctx)
}

// Observe has f told how long each further transaction took and whether it was
// committed. f runs on the writer's goroutine: it must be short and must not write.
func (s *Store) Observe(f func(took time.Duration, committed bool)) { s.writer.observer.Store(&f) }

// ObserveLost has f told of further decisions that are lost because they could not be written,
// and why; and, with 0 and nil, after each transaction that has stored some. f runs on the writer's goroutine: it must be short and must not write.
func (s *Store) ObserveLost(f func(number int, err error)) { s.writer.lost.Store(&f) }

// Flush returns once everything that was queued before the call is committed,
// decisions included.
func (s *Store) Flush(ctx context.Context) error {
	return s.Write(ctx, func(*Tx) error { return nil })
}

// wrap names the file in an error of the database.
func (s *Store) wrap(doing string, err error) error {
	return fmt.Errorf("%s: %s: %w", s.path, doing, err)
}
