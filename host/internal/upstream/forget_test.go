package upstream

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// renamed answers as an admin API of a room whose name a test sets, and hands the
// test each request for the summary, to be answered when it says so.
type renamed struct{ asked chan chan string }

func (s *renamed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/state") {
		_, _ = io.WriteString(w, state)
		return
	}
	name := make(chan string)
	select {
	case s.asked <- name:
		_, _ = io.WriteString(w, strings.Replace(whole, "Lobby", <-name, 1))
	case <-r.Context().Done():
	}
}

// TestForget: what was remembered, and what is being asked at the time, is not told
// to who asks afterwards; other rooms stay.
func TestForget(t *testing.T) {
	s := &renamed{asked: make(chan chan string)}
	a, _ := newAdmin(t, s)
	outline := func() <-chan string {
		told := make(chan string, 1)
		go func() { told <- a.Outline(context.Background(), room, "@u:b").Name }()
		return told
	}
	check := func(what string, told <-chan string, want string) {
		t.Helper()
		if got := <-told; got != want {
			t.Errorf("%s: told %q, want %q", what, got, want)
		}
	}
	first := outline()
	<-s.asked <- "one"
	check("asked", first, "one")
	check("remembered", outline(), "one")
	a.Forget("!other:a.test")
	check("after another room was forgotten", outline(), "one")

	a.Forget(room)
	before := outline()
	slow := <-s.asked
	a.Forget(room) // while it is asked
	after := outline()
	quick := <-s.asked // and not the question from before
	quick <- "three"
	check("asked after it was forgotten", after, "three")
	slow <- "two"
	check("asked before it was forgotten", before, "two")
	check("remembered of both", outline(), "three")
	if len(a.asking) != 0 {
		t.Errorf("%d questions are left", len(a.asking))
	}
}
