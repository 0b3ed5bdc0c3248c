package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

const (
	// minToken is the shortest token, in bytes, and maxToken the most of a file that
	// is read.
	minToken = 32
	maxToken = 4 << 10
)

// Token is the secret of the API and the pages, in a file that may be replaced at
// any time.
type Token struct{ path string }

// TokenAt returns the token in a file, which is looked at when it is asked.
func TokenAt(path string) *Token { return &Token{path} }

// OpenToken returns the token in a file, and makes one where the file is missing:
// 32 random bytes as hex, mode 0600. It fails where the file is no token.
func OpenToken(path string) (t *Token, made bool, err error) {
	t = &Token{path}
	_, err = t.Read()
	if !errors.Is(err, fs.ErrNotExist) {
		return t, false, err
	}
	if err := makeToken(path); err != nil {
		return t, false, err
	}
	return t, true, nil
}

// makeToken writes a new token in one step: a kill leaves no part of one at its place.
func makeToken(path string) error {
	partial := path + ".new"
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	_, err = fmt.Fprintf(f, "%s\n", hex.EncodeToString(secret))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	return os.Rename(partial, path)
}

// Read returns the token as it is now. Its error never has any of it.
func (t *Token) Read() (string, error) {
	info, err := os.Stat(t.path) // before it is opened: a named pipe would wait
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: not a file", t.path)
	}
	f, err := os.Open(t.path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	switch {
	case len(text) > maxToken:
		return "", fmt.Errorf("%s: more than %d bytes, which is no token", t.path, maxToken)
	case len(token) < minToken:
		return "", fmt.Errorf("%s: a token of %d bytes; at least %d, as \"openssl rand -hex 32\" makes it", t.path, len(token), minToken)
	case strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return "", fmt.Errorf("%s: white space or a character beyond ASCII in the token; one word, as \"openssl rand -hex 32\" makes it", t.path)
	}
	return token, nil
}

// Right reports whether a token that was given is the one in the file. It takes the
// same time wherever they differ.
func (t *Token) Right(given string) (bool, error) {
	token, err := t.Read()
	if err != nil {
		return false, err
	}
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1, nil
}
