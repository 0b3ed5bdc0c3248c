package serverkey

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Names of the files that hold our own keys.
const (
	// SigningKeyFile is the key to sign with, in Synapse's format.
	SigningKeyFile = "signing.key"
	// OldKeysFile is the public halves of those before.
	OldKeysFile = "old-signing.keys"
)

// Keyset is the keys of a server at one moment. It does not change.
type Keyset struct {
	// Key is the key to sign with.
	Key *SigningKey
	// Old are the keys of before, for events only.
	Old []OldKey
}

// document returns the keys as a document that says nothing of its validity.
func (s *Keyset) document(server matrix.ServerName) *Document {
	d := &Document{
		Server: server,
		Keys:   map[matrix.KeyID]matrix.PublicKey{s.Key.KeyID(): s.Key.Public()},
		Old:    make(map[matrix.KeyID]OldKey, len(s.Old)),
	}
	for _, old := range s.Old {
		d.Old[old.ID] = old
	}
	return d
}

// LoadKeyset returns the keys in a state folder. It fails as [Load] does, and if
// the file of old keys is there and is faulty.
func LoadKeyset(dir string) (*Keyset, error) {
	k, err := Load(filepath.Join(dir, SigningKeyFile))
	if err != nil {
		return nil, err
	}
	old, err := loadOldKeys(filepath.Join(dir, OldKeysFile))
	if err != nil {
		return nil, err
	}
	return &Keyset{k, old}, nil
}

// Own is the keys in a state folder, as they are now: it reads them again when
// one of its files has changed. It is safe for concurrent use.
type Own struct {
	dir string
	log *slog.Logger

	current atomic.Pointer[ownState]
	mu      sync.Mutex // held to read the files
}

// ownState is the keys and the files they were read from.
type ownState struct {
	keys  *Keyset
	files ownFiles
}

// OpenOwn returns the keys in dir, and makes a key if there is none, which
// created tells. It fails like [LoadKeyset]. A nil log is none.
func OpenOwn(dir string, log *slog.Logger) (o *Own, created bool, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	o = &Own{dir: dir, log: log}
	if _, created, err = LoadOrCreate(filepath.Join(dir, SigningKeyFile)); err != nil {
		return nil, false, err
	}
	files := statOwn(dir)
	keys, err := LoadKeyset(dir)
	if err != nil {
		return nil, false, err
	}
	o.current.Store(&ownState{keys, files})
	return o, created, nil
}

// Keys returns the keys as the files have them now. Files that cannot be read,
// or hold no key, leave the keys as they were, and the log says so once. It
// costs two looks at the file system, so that a key is not used after another
// program has replaced it.
func (o *Own) Keys() *Keyset {
	files := statOwn(o.dir)
	c := o.current.Load()
	if files.same(c.files) {
		return c.keys
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c = o.current.Load()
	if files = statOwn(o.dir); files.same(c.files) {
		return c.keys
	}
	next := &ownState{c.keys, files}
	keys, err := LoadKeyset(o.dir)
	switch {
	case err != nil:
		o.log.Error("the signing key has changed and cannot be used; the one before is still used", "key", c.keys.Key.KeyID(), "err", err)
	default:
		o.log.Info("keys read again", "key", keys.Key.KeyID(), "was", c.keys.Key.KeyID(), "old", len(keys.Old))
		next.keys = keys
	}
	o.current.Store(next)
	return next.keys
}

// ownFiles is what the file system says of the two files; nil for one that is
// not there.
type ownFiles [2]fs.FileInfo

func statOwn(dir string) (f ownFiles) {
	for i, name := range [...]string{SigningKeyFile, OldKeysFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			f[i] = info
		}
	}
	return f
}

func (f ownFiles) same(g ownFiles) bool {
	for i, a := range f {
		b := g[i]
		if (a == nil) != (b == nil) {
			return false
		}
		if a != nil && (!os.SameFile(a, b) || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) || a.Mode() != b.Mode()) {
			return false
		}
	}
	return true
}

// refuseCompromised fails for a key whose private half is known to others.
func refuseCompromised(k *SigningKey) error {
	if compromised(k.Public()) {
		return fmt.Errorf("others know the key %q, and no server takes a signature under it: make another with \"knockgate key rotate\"", k.KeyID())
	}
	return nil
}
