package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Bounds of what is asked of the admin API.
const (
	maxRooms    = 1000            // remembered at one time
	askTime     = 3 * time.Second // for both requests on a room; then it is not known
	maxSummary  = 256 << 10
	maxMembers  = 1000 // joined, of a room whose member events are read
	maxState    = 2 << 20
	maxToken    = 4 << 10
	concurrency = 8 // rooms asked about at one time
)

// AdminOptions says where Synapse's admin API is.
type AdminOptions struct {
	URL *url.URL
	// Token returns the access token of an administrator.
	Token func() (string, error)
	// Upstream lends its connections.
	Upstream *Upstream
	// MaxAge is how long an answer, or that there was none, is good for.
	MaxAge time.Duration
	Now    func() time.Time
	Log    *slog.Logger
}

// Admin tells of rooms what Synapse's admin API says. It is safe for concurrent
// use.
//
// It is two requests for a room: the summary and, where that has at most
// maxMembers joined members, the member events; the admin API has no request for
// the membership of one user who is not of the server.
type Admin struct {
	AdminOptions
	flights singleflight.Group
	slots   chan struct{}

	mu    sync.Mutex
	rooms map[matrix.RoomID]*entry // guarded by mu
}

// entry is what was last heard of a room. It never changes once made.
type entry struct {
	outline knock.Outline
	members map[matrix.UserID]string
}

// NewAdmin returns the room facts of an admin API.
func NewAdmin(o AdminOptions) *Admin {
	return &Admin{AdminOptions: o, slots: make(chan struct{}, concurrency), rooms: map[matrix.RoomID]*entry{}}
}

// TokenFile returns a function that reads the token in a file, each time anew, so
// that it can be replaced.
func TokenFile(path string) func() (string, error) {
	return func() (string, error) {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxToken))
		token := strings.TrimSpace(string(b))
		if err == nil && (token == "" || strings.ContainsAny(token, " \t\r\n")) {
			err = fmt.Errorf("%s: is not one token on one line", path)
		}
		return token, err
	}
}

// Outline returns what is known of a room, for a user who knocks on it. It does
// not fail: a room that nothing could be learnt of is not known, and the log says
// why.
func (a *Admin) Outline(ctx context.Context, room matrix.RoomID, user matrix.UserID) *knock.Outline {
	e := a.lookup(room)
	if e == nil {
		flight := a.flights.DoChan(string(room), func() (any, error) {
			// Others may wait for this too, so it does not end with its first caller.
			return a.ask(context.WithoutCancel(ctx), room), nil
		})
		select {
		case result := <-flight:
			e = result.Val.(*entry)
		case <-ctx.Done():
			return &knock.Outline{ID: room}
		}
	}
	outline := e.outline
	outline.Membership = e.members[user]
	return &outline
}

// lookup returns what is remembered of a room and young enough, or nil.
func (a *Admin) lookup(room matrix.RoomID) *entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.rooms[room]; e != nil && a.Now().Sub(e.outline.At) < a.MaxAge {
		return e
	}
	return nil
}

// ask asks and remembers the answer, or that there was none.
func (a *Admin) ask(ctx context.Context, room matrix.RoomID) *entry {
	if e := a.lookup(room); e != nil {
		return e // of a flight that has just ended
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	e := &entry{outline: knock.Outline{ID: room, At: a.Now()}}
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
		if err := a.fill(ctx, e); err != nil {
			e.outline.Known, e.members = false, nil
			a.Log.WarnContext(ctx, "nothing is known of a room: the admin API", "room", string(room), "err", err)
		}
	case <-ctx.Done():
		a.Log.WarnContext(ctx, "nothing is known of a room: too many are asked about at one time", "room", string(room))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.rooms) >= maxRooms {
		a.forget()
	}
	a.rooms[room] = e
	return e
}

// forget drops what is too old and, where that frees nothing, any. The caller
// holds mu.
func (a *Admin) forget() {
	now := a.Now()
	for room, e := range a.rooms {
		if now.Sub(e.outline.At) >= a.MaxAge {
			delete(a.rooms, room)
		}
	}
	for room := range a.rooms {
		if len(a.rooms) < maxRooms {
			return
		}
		delete(a.rooms, room)
	}
}

// summary is the part of /rooms/{id} that is told. Synapse has null for what the
// room does not have.
type summary struct {
	RoomID     string  `json:"room_id"`
	Version    string  `json:"version"`
	Name       *string `json:"name"`
	Alias      *string `json:"canonical_alias"`
	Topic      *string `json:"topic"`
	JoinRules  *string `json:"join_rules"`
	Encryption *string `json:"encryption"`
	Joined     *int64  `json:"joined_members"`
}

// fill asks for the summary and the members of e's room.
func (a *Admin) fill(ctx context.Context, e *entry) error {
	o := &e.outline
	path := "/_synapse/admin/v1/rooms/" + url.PathEscape(string(o.ID))
	var s summary
	found, err := a.get(ctx, path, maxSummary, &s)
	if err != nil || !found {
		return err // a room that is not there is no fault
	}
	if s.RoomID != string(o.ID) || s.Version == "" || s.Joined == nil {
		return errors.New("what it answered is no summary of the room")
	}
	o.Known, o.VersionID, o.Joined = true, s.Version, *s.Joined
	o.Name, o.Alias, o.Topic, o.JoinRule = or(s.Name), or(s.Alias), or(s.Topic), or(s.JoinRules)
	o.Encrypted = s.Encryption != nil
	if o.Joined > maxMembers {
		return nil
	}
	var state struct {
		State []struct {
			Type     string `json:"type"`
			StateKey string `json:"state_key"`
			Content  struct {
				Membership any `json:"membership"`
			} `json:"content"`
		} `json:"state"`
	}
	switch _, err := a.get(ctx, path+"/state?type=m.room.member", maxState, &state); {
	case errors.Is(err, errTooLong):
		return nil // too many have left, or were banned
	case err != nil:
		return err
	}
	e.members = make(map[matrix.UserID]string, len(state.State))
	for _, m := range state.State {
		if membership, ok := m.Content.Membership.(string); ok && m.Type == "m.room.member" {
			e.members[matrix.UserID(m.StateKey)] = membership
		}
	}
	return nil
}

func or(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

var errTooLong = errors.New("it answered with more")

// get asks for a path of the admin API and decodes the answer into v. It reports
// whether there is such a thing.
func (a *Admin) get(ctx context.Context, path string, most int64, v any) (found bool, err error) {
	token, err := a.Token()
	if err != nil {
		return false, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL.Scheme+"://"+a.URL.Host+path, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := a.Upstream.transport.RoundTrip(r)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	switch {
	case err != nil:
		return false, err
	case response.StatusCode == http.StatusNotFound && (&Answer{Body: body}).Errcode() == "M_NOT_FOUND":
		return false, nil
	case response.StatusCode != http.StatusOK:
		said := strings.ReplaceAll(string(body), token, "[the token]") // for the log, which has none
		return false, fmt.Errorf("%s: it answered %d: %.200q", path, response.StatusCode, said)
	case int64(len(body)) > most:
		return false, fmt.Errorf("%s: %w than %d bytes", path, errTooLong, most)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
}
