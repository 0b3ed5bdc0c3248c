package serverkey

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxKeyFile is the largest signing key file, in bytes.
const maxKeyFile = 4096

// Load returns the signing key in the file at path. The format is Synapse's:
// one line "ed25519 a_abcd seed", the seed in base64.
//
// It fails if the file is missing, is not a file, can be written by its group
// or by others, or holds anything but one key, and for a key that is known to
// be compromised. Its errors name the file and what to do.
func Load(path string) (*SigningKey, error) {
	k, err := load(path)
	if err == nil {
		err = refuseCompromised(k)
	}
	if err != nil {
		return nil, loadError(path, err)
	}
	return k, nil
}

func loadError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("signing key %s: there is no such file: \"knockgate serve\" creates it, or copy the signing key you have there: %w", path, fs.ErrNotExist)
	}
	return fmt.Errorf("signing key %s: %w", path, err)
}

// LoadOrCreate returns the signing key in the file at path, and creates the
// file with a new key, mode 0600, if it does not exist. The file appears whole
// and on disk, or not at all; if another process creates it at the same time,
// both return the same key.
func LoadOrCreate(path string) (k *SigningKey, created bool, err error) {
	k, err = Load(path)
	if err == nil {
		return k, false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	if k, err = Generate(); err != nil {
		return nil, false, err
	}
	err = create(path, k.marshal())
	if errors.Is(err, fs.ErrExist) {
		k, err = Load(path)
		return k, false, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("signing key %s: %w", path, err)
	}
	return k, true, nil
}

func load(path string) (*SigningKey, error) {
	data, err := readOwn(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	return parseSigningKey(data)
}

// readOwn returns a file of at most limit bytes that nobody but its owner can
// write.
func readOwn(path string, limit int64) ([]byte, error) {
	// Looked at before it is opened, because opening a FIFO waits.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("can be written by others (mode %04o): chmod 600 it, and make sure that what is in it is yours", mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("is larger than %d bytes, and so not what should be there", limit)
	}
	return data, nil
}

// create writes a new file: temporary file, fsync, link to its name, fsync of
// the directory. A link and not a rename, since a rename replaces a key that
// another process has just created. It fails with fs.ErrExist, wrapped, if the
// file exists.
func create(path string, data []byte) error {
	return write(path, data, func(tmp *os.File, path string) error {
		err := os.Link(tmp.Name(), path)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			err = os.Rename(tmp.Name(), path) // a file system without links
		}
		return err
	})
}

// write writes a temporary file, mode 0600, syncs it, has put move it to path,
// and syncs the directory.
func write(path string, data []byte, put func(tmp *os.File, path string) error) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".signing-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		tmp.Close()
		os.Remove(tmp.Name())
	}()
	if _, err := tmp.Write(data); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := put(tmp, path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
