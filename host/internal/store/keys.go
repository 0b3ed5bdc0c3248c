package store

import (
	"context"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// LoadKeys returns the last saved body of a server's key document and when it
// was fetched, and false if there is none.
func (s *Store) LoadKeys(ctx context.Context, server matrix.ServerName) (body []byte, fetchedAt time.Time, ok bool, err error) {
	var at int64
	err = s.reads[rdKeys].QueryRowContext(ctx, string(server)).Scan(&body, &at)
	if ok = err == nil; ok {
		fetchedAt = time.UnixMilli(at).UTC()
	}
	return body, fetchedAt, ok, s.found("reading a server's keys", err)
}

// SaveKeys keeps the body of a server's key document, in place of an earlier
// one. The time is kept to the millisecond, rounded down.
func (s *Store) SaveKeys(ctx context.Context, server matrix.ServerName, body []byte, fetchedAt time.Time) error {
	return s.Write(ctx, func(t *Tx) error {
		_, err := t.exec(stSaveKeys, string(server), string(body), fetchedAt.UnixMilli())
		return err
	})
}
