package store

import (
	"context"
	"database/sql"

	"modernc.org/sqlite"
)

// openOther connects to another database through the same checks.
func openOther(dsn string) (*sql.Conn, error) {
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(asserting{c})
	defer db.Close()
	return db.Conn(context.Background())
}
