package serverkey

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// lockFile is what a rotation holds, so that there is one at a time.
const lockFile = "signing.key.lock"

// Rotate makes a new signing key in a state folder and moves the one there to
// the old keys, of which only the public half is kept: nothing can be signed
// with it any more. It returns the keys as they are then. A rotation that ends
// half-way leaves the key as it was.
//
// A key that is known to be compromised is replaced without being kept as an
// old one.
//
// It fails if there is no key, or if one of the files is faulty, and then
// changes nothing.
func Rotate(dir string, now func() time.Time) (*Keyset, error) {
	path, oldPath := filepath.Join(dir, SigningKeyFile), filepath.Join(dir, OldKeysFile)
	if _, err := os.Stat(path); err != nil {
		return nil, loadError(path, err)
	}
	unlock, err := lock(filepath.Join(dir, lockFile), path)
	if err != nil {
		return nil, fmt.Errorf("rotating the signing key in %s: %w", dir, err)
	}
	defer unlock()
	k, err := load(path)
	if err != nil {
		return nil, loadError(path, err)
	}
	old, err := loadOldKeys(oldPath)
	if err != nil {
		return nil, err
	}
	old = slices.DeleteFunc(old, func(o OldKey) bool { return o.ID == k.KeyID() })
	if len(old) >= maxOldKeys {
		return nil, fmt.Errorf("old keys %s: there are %d already, and more cannot be published: remove the oldest", oldPath, len(old))
	}
	next, err := generateUnlike(k, old)
	if err != nil {
		return nil, err
	}

	// The old key is kept before it is replaced, so that it is never lost. Then
	// it is written again with the time at which it was replaced: until then a
	// running server may have signed events with it. Of the millisecond in which
	// a key expires no event is valid, so it is the next one.
	retire := func() error {
		if compromised(k.Public()) {
			return replace(oldPath, formatOldKeys(old), path)
		}
		expired := OldKey{k.KeyID(), k.Public(), time.UnixMilli(now().UnixMilli() + 1)}
		kept := append(slices.Clone(old), expired)
		sortOldKeys(kept)
		return replace(oldPath, formatOldKeys(kept), path)
	}
	if err := retire(); err != nil {
		return nil, fmt.Errorf("old keys %s: %w", oldPath, err)
	}
	if err := replace(path, next.marshal(), path); err != nil {
		return nil, fmt.Errorf("signing key %s: %w", path, err)
	}
	if err := retire(); err != nil {
		return nil, fmt.Errorf("the signing key is %q now, but the time until when %q signed is a little early: old keys %s: %w", next.KeyID(), k.KeyID(), oldPath, err)
	}
	return LoadKeyset(dir)
}

// generateUnlike returns a new key under an ID that none had before.
func generateUnlike(k *SigningKey, old []OldKey) (*SigningKey, error) {
	taken := map[matrix.KeyID]bool{k.KeyID(): true}
	for _, o := range old {
		taken[o.ID] = true
	}
	for {
		next, err := Generate()
		if err != nil || !taken[next.KeyID()] {
			return next, err
		}
	}
}

// replace writes a file, mode 0600, in place of what is there: temporary file,
// fsync, rename, fsync of the folder. It belongs to the owner of like.
func replace(path string, data []byte, like string) error {
	return write(path, data, func(tmp *os.File, path string) error {
		if err := giveTo(tmp, like); err != nil {
			return err
		}
		return os.Rename(tmp.Name(), path)
	})
}
