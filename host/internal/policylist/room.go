package policylist

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Rooms tells of rooms of a homeserver's.
type Rooms interface {
	// State returns the state of a room as it is now, as JSON: a list of events, or an
	// object that has one as its "state". It fails if nobody of the homeserver's is in
	// the room. The caller closes what is returned.
	State(ctx context.Context, room matrix.RoomID) (io.ReadCloser, error)
}

// roomSource is a list of the rules in a policy room. Its last good copy is kept in a
// file, whose first line says which room it is from.
type roomSource struct {
	name  string
	room  matrix.RoomID
	rooms Rooms
	copy  string // the file
	log   *slog.Logger
	// digest is the SHA-256 of the text that was last taken; zero: none was.
	digest [sha256.Size]byte
}

// from returns what the copy's first line is.
func (s *roomSource) from() string { return fmt.Sprintf("# from %s ", s.room) }

// fetch implements origin.
func (s *roomSource) fetch(ctx context.Context) (*set, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	text, t, err := s.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("room %s: %w", s.room, err)
	}
	digest := sha256.Sum256(text)
	if digest == s.digest {
		now := time.Now() // the copy's time is when the room last had it
		return nil, errors.Join(errUnchanged, os.Chtimes(s.copy, now, now))
	}
	list, leftOut, err := parseRules(slices.Clone(text))
	if err != nil {
		return nil, fmt.Errorf("room %s: %w", s.room, err)
	}
	if t.faulty+t.other+leftOut > 0 {
		s.log.Warn("rules of a room not taken", "list", s.name, "room", string(s.room), "faulty", t.faulty, "of_other_recommendation", t.other, "globs_too_many", leftOut)
	}
	if err := replace(s.copy, slices.Concat([]byte(s.from()+"\n"), text)); err != nil {
		return nil, err
	}
	s.digest, list.modified = digest, time.Now()
	return list, nil
}

func (s *roomSource) read(ctx context.Context) (text []byte, t tally, err error) {
	body, err := s.rooms.State(ctx, s.room)
	if err != nil {
		return nil, t, err
	}
	defer body.Close()
	return readState(body)
}

// load implements origin.
func (s *roomSource) load() (*set, error) {
	_, text, modified, err := openCopy(s.copy, s.from())
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(text)
	list, _, err := parseRules(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.copy, err)
	}
	s.digest, list.modified = digest, modified
	return list, nil
}
