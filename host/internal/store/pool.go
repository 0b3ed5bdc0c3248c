package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"runtime"
	"time"

	"modernc.org/sqlite"
)

// access is what a connection may do.
type access int

const (
	readWrite access = iota
	readOnly
	// look only reads, and leaves no file behind as readOnly may: SQLite lets
	// only a connection that could write remove the write-ahead log.
	look
)

// openPool returns a pool of connections: one that writes, or several that
// read.
func openPool(path string, busy time.Duration, a access) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	q := url.Values{
		"mode":          {"rw"},
		"_busy_timeout": {fmt.Sprint(busy.Milliseconds())},
		"_foreign_keys": {"on"},
	}
	conns := 1
	switch a {
	case readWrite:
		q.Set("_journal_mode", "WAL")
		q.Set("_synchronous", "FULL")
		q.Set("_txlock", "immediate")
		q.Set("_pragma", "secure_delete(1)") // what is deleted is not to be read in the file
	case readOnly:
		q.Set("mode", "ro")
		q.Set("_query_only", "on")
		conns = max(4, runtime.GOMAXPROCS(0))
	case look:
		q.Set("_query_only", "on")
	}
	dsn := url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}
	c, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	if a == readWrite {
		c = asserting{c}
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// asserting is a connector that holds every connection to the settings that
// durability rests on.
type asserting struct{ driver.Connector }

func (a asserting) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := a.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range [...]struct{ name, want string }{{"journal_mode", "wal"}, {"synchronous", "2"}, {"foreign_keys", "1"}} {
		got, err := pragma(ctx, conn, p.name)
		if err == nil && got != p.want {
			err = fmt.Errorf("%s is %s, not %s; the file system may not support it: keep the store on a local disk", p.name, got, p.want)
		}
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// pragma returns a setting of a connection as text.
func pragma(ctx context.Context, conn driver.Conn, name string) (string, error) {
	q, ok := conn.(driver.QueryerContext)
	if !ok {
		return "", fmt.Errorf("%T cannot be asked for %s", conn, name)
	}
	rows, err := q.QueryContext(ctx, "PRAGMA "+name, nil)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err != nil {
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%s: no answer", name)
		}
		return "", err
	}
	return fmt.Sprint(row[0]), nil
}
