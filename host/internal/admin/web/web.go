package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/plugins"
)

// Options is what the pages show and who may see them.
type Options struct {
	Server    admin.Server
	Policies  admin.Policies
	Decisions admin.Decisions
	// Knocks are those that wait; nil in gateway mode, where the homeserver has them.
	Knocks admin.Knocks
	// Token returns the secret to log in with. Nobody can while it fails or is empty,
	// and who logged in with another one is logged out.
	Token func() (string, error)
	// MaxModule is the largest module that can be uploaded, in bytes; 0 for
	// [plugins.MaxModule].
	MaxModule int64
	// Log is told who logs in, and of wrong tokens; nil for none. What is changed is for
	// who implements the interfaces to log.
	Log *slog.Logger
	// Now is the clock; nil for [time.Now].
	Now func() time.Time
}

// contentPolicy is what a page may load and where it may be shown: nothing but the files of
// this package, and nowhere. Pico has its signs as data URLs in its style sheet.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"

// site is the handler's state.
type site struct {
	Options
	pages    *pages
	sessions *sessions
	streams  chan struct{} // one in it for each live stream
}

// New returns the handler of the pages.
//
//	/                 how the server stands
//	/login, /logout   for the token
//	/decisions        what was decided; /decisions/{ref} is one, /decisions/stream has new ones
//	/policies         what is in force; below it are uploads, changes and their replay
//	/knocks           who waits
//	/playground       made-up facts
//	/static/          scripts and styles
//
// All but /login and /static/ are for who is logged in.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.MaxModule = cmp.Or(o.MaxModule, plugins.MaxModule)
	s := &site{Options: o, pages: newPages(), streams: make(chan struct{}, maxStreams)}
	s.sessions = newSessions(o.Token, o.Now)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/{name}", serveStatic)
	mux.HandleFunc("GET /login", s.showLogin)
	mux.HandleFunc("POST /login", s.login)
	read := func(pattern string, f func(*visit) error) { mux.HandleFunc("GET "+pattern, s.visit(f)) }
	read("/{$}", s.overview)
	read("/decisions", s.decisions)
	read("/decisions/stream", s.stream)
	read("/decisions/{ref}", s.decision)
	read("/policies", s.policies)
	read("/knocks", s.knocks)
	read("/playground", s.playground)
	write := func(pattern string, f func(*visit) error) { mux.HandleFunc("POST "+pattern, s.visit(withForm(f))) }
	write("/logout", s.logout)
	write("/policies/replay", s.replay)
	write("/policies/change", s.change)
	write("/policies/reload", s.reload)
	write("/knocks/decline", s.decline)
	write("/playground", s.playground)
	mux.HandleFunc("POST /policies/upload", s.visit(s.upload)) // reads its own form
	mux.HandleFunc("/", s.visit(func(*visit) error { return fmt.Errorf("no such page: %w", admin.ErrNotFound) }))

	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Log.Warn("admin pages: a request from another site was refused", "path", r.URL.Path, "origin", r.Header.Get("Origin"))
		http.Error(w, "a request from another site", http.StatusForbidden)
	}))
	return withHeaders(protection.Handler(mux))
}

// withHeaders sets what every answer has, also those to who is not logged in.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// visit is a request of somebody who is logged in.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	session session
}

func (v *visit) ctx() context.Context { return v.r.Context() }

// visit returns the handler that lets in who is logged in, and answers what f
// returns, if that is not nil, with a page that says it.
func (s *site) visit(f func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, ok := s.sessions.find(r)
		if !ok {
			s.askLogin(w, r)
			return
		}
		v := &visit{w: w, r: r, session: session}
		if err := f(v); err != nil {
			s.fail(v, err)
		}
	}
}

// errForm is a form without the session's token, or one that cannot be read.
var errForm = errors.New("the form is too old or not ours")

// errLarge is a form or an upload that is too large.
var errLarge = errors.New("too large")

// maxForm bounds a form without a file: settings and facts are the largest in it.
const maxForm = 1 << 20

// withForm hands on forms that have the session's token.
func withForm(f func(*visit) error) func(*visit) error {
	return func(v *visit) error {
		if err := readForm(v.w, v.r, maxForm); err != nil {
			return err
		}
		if !v.session.formIs(v.r.PostForm.Get("form")) {
			return fmt.Errorf("%w: go back, load the page anew and send it again", errForm)
		}
		return f(v)
	}
}

func readForm(w http.ResponseWriter, r *http.Request, most int64) error {
	if r.ContentLength > most {
		w.Header().Set("Connection", "close")
		return fmt.Errorf("%w: a form has at most %d bytes", errLarge, most)
	}
	r.Body = http.MaxBytesReader(w, r.Body, most)
	if err := r.ParseForm(); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return fmt.Errorf("%w: a form has at most %d bytes", errLarge, most)
		}
		return fmt.Errorf("%w: %v", errForm, err)
	}
	return nil
}

// fail answers with a page that says what is wrong.
func (s *site) fail(v *visit, err error) {
	status := statusOf(err)
	if status == http.StatusInternalServerError {
		s.Log.Error("admin pages: a page failed", "path", v.r.URL.Path, "err", err)
	}
	s.pages.write(v, status, "error", page{Title: http.StatusText(status), Data: err.Error()})
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, errForm):
		return http.StatusForbidden
	case errors.Is(err, errLarge):
		return http.StatusRequestEntityTooLarge
	}
	return admin.StatusOf(err)
}

// noDeadline lets an answer take longer than the listener's pages may.
func noDeadline(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // neither can fail over TCP
	_ = c.SetWriteDeadline(time.Time{})
}
