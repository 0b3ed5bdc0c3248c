package doctor

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/serverkey"
)

const (
	// File announces a doctor to a running server, in its state folder.
	File = "doctor.json"
	// Origin is the server that probes claim to come from. Its keys can be fetched
	// by nobody: a server that takes a probe for a knock refuses it.
	Origin matrix.ServerName = "knockgate-doctor.invalid"
	// lifetime is how long an announcement stands.
	lifetime = 2 * time.Minute
	// mark stands before the token in a request-target.
	mark = "knockgate-doctor-"
	// tokenLen is the length of a token: 128 random bits and more, as [rand.Text]
	// makes them.
	tokenLen = 26
	// maxFile bounds the announcement.
	maxFile = 1 << 10
)

// announcement is what File holds.
type announcement struct {
	Token   string       `json:"token"`
	KeyID   matrix.KeyID `json:"key_id"`
	Key     string       `json:"key"` // public
	Expires int64        `json:"expires_ms"`
}

// session is an announced doctor.
type session struct {
	path  string
	token string
	key   *serverkey.SigningKey
}

// begin announces a new doctor, in place of one that there was.
func begin(stateDir string, now time.Time) (*session, error) {
	key, err := serverkey.Generate()
	if err != nil {
		return nil, err
	}
	s := &session{path: filepath.Join(stateDir, File), token: rand.Text(), key: key}
	public := key.Public()
	text, err := json.Marshal(announcement{s.token, key.KeyID(), base64.RawStdEncoding.EncodeToString(public[:]), now.Add(lifetime).UnixMilli()})
	if err != nil {
		return nil, err
	}
	// Replaced in one step, and never readable for others.
	tmp, err := os.CreateTemp(stateDir, File+".*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return nil, err
	}
	if err := sameOwner(tmp.Name(), stateDir); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp.Name(), s.path); err != nil {
		return nil, err
	}
	return s, nil
}

// end withdraws the announcement, unless another doctor has replaced it.
func (s *session) end() error {
	a, err := readAnnouncement(s.path)
	if err != nil || a.Token != s.token {
		return nil
	}
	return os.Remove(s.path)
}

func readAnnouncement(path string) (*announcement, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	var a announcement
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &a, nil
}

// announced returns the doctor in a state folder whose token stands in a
// request-target; nil for none. It looks at the disk only if there is a token.
func announced(stateDir, target string, now time.Time) *announcement {
	_, rest, ok := strings.Cut(target, mark)
	if !ok || len(rest) < tokenLen {
		return nil
	}
	a, err := readAnnouncement(filepath.Join(stateDir, File))
	if err != nil || len(a.Token) != tokenLen {
		return nil
	}
	left := time.UnixMilli(a.Expires).Sub(now)
	if subtle.ConstantTimeCompare([]byte(a.Token), []byte(rest[:tokenLen])) != 1 || left <= 0 || left > lifetime {
		return nil
	}
	return a
}
