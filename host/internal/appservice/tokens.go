package appservice

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// What the state folder holds, mode 0600: a token on a line each.
const (
	// ASTokenFile is what this server proves itself to the homeserver with.
	ASTokenFile = "appservice_as.token"
	// HSTokenFile is what the homeserver proves itself to this server with.
	HSTokenFile = "appservice_hs.token"
)

// maxToken is the longest token, in bytes.
const maxToken = 512

// Tokens are the secrets that the homeserver and this server share.
type Tokens struct{ AS, HS string }

// OpenTokens returns the tokens in a folder, and makes those that are not there.
func OpenTokens(dir string) (t Tokens, made bool, err error) {
	t.AS, made, err = openToken(filepath.Join(dir, ASTokenFile))
	if err != nil {
		return Tokens{}, false, err
	}
	var madeHS bool
	t.HS, madeHS, err = openToken(filepath.Join(dir, HSTokenFile))
	if err != nil {
		return Tokens{}, false, err
	}
	return t, made || madeHS, nil
}

// RotateTokens puts new tokens into a folder. The files stay whose they are.
func RotateTokens(dir string) (Tokens, error) {
	if _, _, err := OpenTokens(dir); err != nil && !errors.Is(err, errNoToken) {
		return Tokens{}, err
	}
	t := Tokens{AS: rand.Text(), HS: rand.Text()}
	if err := overwrite(filepath.Join(dir, ASTokenFile), t.AS); err != nil {
		return Tokens{}, err
	}
	if err := overwrite(filepath.Join(dir, HSTokenFile), t.HS); err != nil {
		return Tokens{}, err
	}
	return t, nil
}

// errNoToken says that a file holds no token.
var errNoToken = errors.New("is not one token on one line; \"knockgate appservice --rotate\" makes a new one")

// ReadToken returns the token in a file.
func ReadToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if len(b) == 0 || len(b) > maxToken {
		return "", fmt.Errorf("%s: %w", path, errNoToken)
	}
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return "", fmt.Errorf("%s: %w", path, errNoToken)
		}
	}
	return string(b), nil
}

// openToken returns the token in a file, and makes the file if it is not there.
func openToken(path string) (token string, made bool, err error) {
	token, err = ReadToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, false, err
	}
	token = rand.Text()
	err = create(path, token)
	if errors.Is(err, fs.ErrExist) { // another process was quicker
		token, err = ReadToken(path)
		return token, false, err
	}
	return token, err == nil, err
}

// create makes a file that holds a token, at once whole. It fails with
// [fs.ErrExist] if there is one.
func create(path, token string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".token-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		tmp.Close()
		os.Remove(tmp.Name())
	}()
	if _, err := tmp.WriteString(token + "\n"); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	err = os.Link(tmp.Name(), path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = os.Rename(tmp.Name(), path) // a file system without links
	}
	return err
}

// overwrite puts a token into a file. Who reads it meanwhile may find none.
func overwrite(path, token string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(token + "\n"); err != nil {
		return err
	}
	return f.Sync()
}
