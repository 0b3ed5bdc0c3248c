package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Check reads the whole store in the file at path, beside a server that runs on it
// or not, and changes nothing. there is false where there is no file. It fails as
// [Open] does, and for a store whose pages do not fit each other.
func Check(ctx context.Context, path string) (there bool, err error) {
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("%s: %w", path, errors.Unwrap(err))
	} else if !info.Mode().IsRegular() {
		return false, fmt.Errorf("%s: not a regular file; name a file for the store", path)
	}
	isNew, err := inspect(ctx, path, busyTimeout)
	if err != nil {
		return false, explain(path, err)
	}
	if isNew {
		return true, nil
	}
	db, err := openPool(path, busyTimeout, look)
	if err != nil {
		return false, explain(path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return false, explain(path, err)
	}
	if found != "ok" {
		return false, fmt.Errorf("%s: a damaged store: %s; move it away, or restore a backup", path, found)
	}
	p, err := provider(db)
	if err != nil {
		return false, explain(path, err)
	}
	current, target, err := p.GetVersions(ctx)
	if err == nil && current > target {
		err = newer(current, target)
	}
	if err != nil {
		return false, explain(path, err)
	}
	return true, nil
}
