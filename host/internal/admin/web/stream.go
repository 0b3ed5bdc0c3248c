package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// maxStreams is how many pages can be live at one time.
	maxStreams = 16
	// streamEvery is how often a stream looks for new decisions.
	streamEvery = time.Second
	// streamMost is how many it takes in one look: of more, the oldest are left out.
	streamMost = 500
	// streamSend is how long a browser may take to take them.
	streamSend = 10 * time.Second
	// streamQuiet is after how long without any a line shows that the stream lives.
	streamQuiet = 20
)

// stream sends new decisions as rows of the table, as they come, while the session
// lasts.
func (s *site) stream(v *visit) error {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		http.Error(v.w, "too many pages are live", http.StatusServiceUnavailable)
		return nil
	}
	_, f, err := filter(v.r.URL.Query(), s.Now())
	if err != nil {
		return err
	}
	if last := v.r.Header.Get("Last-Event-ID"); last != "" {
		if _, err := fmt.Sscan(last, &f.After); err != nil {
			return fmt.Errorf("Last-Event-ID %q: %w", last, errForm)
		}
	}
	f.Before, f.Limit = 0, streamMost
	noDeadline(v.w)
	control := http.NewResponseController(v.w)
	v.w.Header().Set("Content-Type", "text/event-stream")
	send := func(text string) error {
		_ = control.SetWriteDeadline(time.Now().Add(streamSend)) // cannot fail over TCP
		if _, err := v.w.Write([]byte(text)); err != nil {
			return err
		}
		return control.Flush()
	}
	if err := send("retry: 5000\n\n"); err != nil {
		return nil
	}
	every := time.NewTicker(streamEvery)
	defer every.Stop()
	for quiet := 0; ; quiet++ {
		list, err := s.Decisions.Decisions(v.ctx(), f)
		if err != nil {
			return nil // the browser comes again, and is told on the page
		}
		var b strings.Builder
		for _, d := range slices.Backward(list) {
			row, err := s.pages.part("decisions", "row", d)
			if err != nil {
				return nil
			}
			fmt.Fprintf(&b, "id: %d\ndata: %s\n\n", d.ID, strings.Join(strings.Fields(row), " "))
		}
		if len(list) > 0 {
			f.After, quiet = list[0].ID, 0
		} else if quiet%streamQuiet == streamQuiet-1 {
			b.WriteString(": nothing new\n\n")
		}
		if b.Len() > 0 {
			if err := send(b.String()); err != nil {
				return nil
			}
		}
		select {
		case <-v.ctx().Done():
			return nil
		case <-every.C:
		}
		if _, ok := s.sessions.find(v.r); !ok {
			return nil
		}
	}
}
