package web

import (
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/knockgate/knockgate/host/internal/admin"
)

type knocksData struct {
	Resident bool
	Room     string
	Rooms    []admin.Room
	Pending  []admin.Pending
}

func (s *site) knocks(v *visit) error {
	data := knocksData{Resident: s.Knocks != nil, Room: v.r.URL.Query().Get("room")}
	if s.Knocks != nil {
		var err error
		if data.Rooms, err = s.Knocks.Rooms(v.ctx()); err != nil {
			return err
		}
		if data.Pending, err = s.Knocks.Pending(v.ctx(), data.Room); err != nil {
			return err
		}
	}
	s.pages.write(v, http.StatusOK, "knocks", page{Title: "Knocks", Section: "/knocks", Data: data})
	return nil
}

// maxReason is the longest reason to decline with, in bytes.
const maxReason = 500

func (s *site) decline(v *visit) error {
	if s.Knocks == nil {
		return fmt.Errorf("the homeserver has the knocks that wait: %w", admin.ErrNotFound)
	}
	form := v.r.PostForm
	reason := form.Get("reason")
	// Quoted, since a browser would change what cannot be seen in them.
	room, err := strconv.Unquote(form.Get("room"))
	if err != nil {
		return fmt.Errorf("%w: room", errForm)
	}
	user, err := strconv.Unquote(form.Get("user"))
	if err != nil {
		return fmt.Errorf("%w: user", errForm)
	}
	if len(reason) > maxReason || !utf8.ValidString(reason) {
		return fmt.Errorf("the reason: must be text of at most %d bytes: %w", maxReason, admin.ErrInvalid)
	}
	if err := s.Knocks.Decline(v.ctx(), room, user, reason); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, "/knocks", http.StatusSeeOther)
	return nil
}
