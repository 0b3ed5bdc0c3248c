package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// busyTimeout is how long a write waits for another process.
const busyTimeout = 5 * time.Second

// applicationID marks the file as one of ours: "KNCK".
const applicationID = 0x4B4E434B

// Open opens the store in the file at path, and makes it, mode 0600, if there
// is none; its folder must exist. An older schema is brought up to date.
//
// It fails if the file is not a store, is one of a newer version, or is locked
// by another process for more than 5 seconds. The error names the file and what
// to do; a file that this call made is removed again.
func Open(ctx context.Context, path string) (*Store, error) {
	return open(ctx, path, busyTimeout)
}

func open(ctx context.Context, path string, busy time.Duration) (_ *Store, err error) {
	made, err := makeFile(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path}
	defer func() {
		if err == nil {
			return
		}
		_ = s.Close()
		if made {
			for _, suffix := range []string{"", "-wal", "-shm"} {
				_ = os.Remove(path + suffix)
			}
		}
	}()
	isNew, err := inspect(ctx, path, busy)
	if err != nil {
		return nil, explain(path, err)
	}
	if s.writeDB, err = openPool(path, busy, readWrite); err != nil {
		return nil, explain(path, err)
	}
	if isNew {
		if _, err := s.writeDB.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return nil, explain(path, err)
		}
	}
	if err := migrate(ctx, s.writeDB); err != nil {
		return nil, explain(path, err)
	}
	if err := s.startWriter(ctx); err != nil {
		return nil, explain(path, err)
	}
	if err := s.openReaders(ctx, busy); err != nil {
		return nil, explain(path, err)
	}
	return s, nil
}

// makeFile makes an empty file, which SQLite takes as a new database, so that
// its mode is ours from the start. The files beside it get the same mode.
func makeFile(path string) (made bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return true, f.Close()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("%s: the folder %s does not exist; make it first", path, filepath.Dir(path))
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, fmt.Errorf("%s: the store cannot be made: %w", path, errors.Unwrap(err))
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, errors.Unwrap(err))
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("%s: not a regular file; name a file for the store", path)
	}
	return false, nil
}

// errForeign and errNewer are faults that explain has advice for.
var (
	errForeign = errors.New("a SQLite database of another program")
	errNewer   = errors.New("a newer version made it")
)

// inspect fails for a file that is no store of ours, and reports whether it is
// an empty one. It only reads: opening a file for writing would already turn
// another program's database into one with a write-ahead log.
func inspect(ctx context.Context, path string, busy time.Duration) (isNew bool, err error) {
	db, err := openPool(path, busy, look)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var id, tables int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return false, err
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return false, err
	}
	if id != applicationID && (id != 0 || tables != 0) {
		return false, errForeign
	}
	return id == 0, nil
}

// migrate brings the schema up to date.
func migrate(ctx context.Context, db *sql.DB) error {
	p, err := provider(db)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return err
	case current > target:
		return newer(current, target)
	case current == target:
		return nil
	}
	if _, err = p.Up(ctx); err == nil {
		return nil
	}
	// Another process may have been quicker.
	if current, target, again := p.GetVersions(ctx); again == nil && current == target {
		return nil
	}
	return err
}

// provider returns what knows the versions of the schema. It is not closed: that
// would close db.
func provider(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, dir,
		goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
}

func newer(current, target int64) error {
	return fmt.Errorf("%w: its schema is %d, this program knows up to %d", errNewer, current, target)
}

func (s *Store) startWriter(ctx context.Context) error {
	conn, err := s.writeDB.Conn(ctx)
	if err != nil {
		return err
	}
	w := newWriter(s.path, conn)
	for i, query := range writeSQL {
		if w.stmts[i], err = conn.PrepareContext(ctx, query); err != nil {
			_ = conn.Close()
			return err
		}
	}
	s.writer = w
	go w.run()
	return nil
}

func (s *Store) openReaders(ctx context.Context, busy time.Duration) (err error) {
	if s.readers, err = openPool(s.path, busy, readOnly); err != nil {
		return err
	}
	for i, query := range readSQL {
		if s.reads[i], err = s.readers.PrepareContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

// explain turns what SQLite says into what to do.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, errForeign):
		return fmt.Errorf("%s: %w; name another file for the store", path, err)
	case errors.Is(err, errNewer):
		return fmt.Errorf("%s: %w; run that version, or restore a backup from before it", path, err)
	}
	if known := explainFault(path, err); known != nil {
		return known
	}
	return fmt.Errorf("%s: the store cannot be opened: %w", path, err)
}

// explainFault says what to do where a store cannot be opened or written for a reason of its
// file; nil for another.
func explainFault(path string, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%s: not a store, or a damaged one: %w; move it away, or restore a backup", path, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%s: locked by another process: %w; stop that process", path, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%s: the file and its folder %s must be writable for this user: %w", path, filepath.Dir(path), err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%s: the disk is full: %w; make room on it", path, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("%s: the disk does not take it: %w; look for a full quota, a disk that fails, or one that has become read-only", path, err)
	}
	return nil
}
