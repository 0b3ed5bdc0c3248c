package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	sessionTime = 12 * time.Hour
	maxSessions = 64 // the oldest ends where there is one more
	// 5 wrong tokens are told so, and then one in 5 seconds, of all together; the others
	// are only answered that they are too many. A right one is never refused for those of
	// others, who could keep everybody out.
	loginBurst = 5
	loginEvery = 5 * time.Second
	maxToken   = 4 << 10
)

// session is somebody who is logged in.
type session struct {
	until time.Time
	token [sha256.Size]byte // of the token that it was opened with
	form  string            // stands in each of its forms
}

func (s session) formIs(token string) bool {
	return s.form != "" && subtle.ConstantTimeCompare([]byte(s.form), []byte(token)) == 1
}

// sessions are those who are logged in, in memory only.
type sessions struct {
	token func() (string, error)
	now   func() time.Time
	tries *rate.Limiter

	mu   sync.Mutex
	open map[[sha256.Size]byte]session // guarded by mu; by the cookie's SHA-256
}

func newSessions(token func() (string, error), now func() time.Time) *sessions {
	return &sessions{
		token: token, now: now,
		tries: rate.NewLimiter(rate.Every(loginEvery), loginBurst),
		open:  map[[sha256.Size]byte]session{},
	}
}

// current returns the SHA-256 of the token.
func (s *sessions) current() ([sha256.Size]byte, error) {
	token, err := s.token()
	if err == nil && token == "" {
		err = errors.New("the token is empty")
	}
	return sha256.Sum256([]byte(token)), err
}

var (
	errTries = errors.New("too many wrong tokens; wait a while")
	errWrong = errors.New("that is not the token")
)

// login opens a session for who knows the token, and returns its cookie's value.
func (s *sessions) login(token string) (string, error) {
	now := s.now()
	want, err := s.current()
	if err != nil {
		return "", err
	}
	got := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		if !s.tries.AllowN(now, 1) {
			return "", errTries
		}
		return "", errWrong
	}
	id := rand.Text() + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, old := range s.open {
		if !now.Before(old.until) {
			delete(s.open, key)
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, s.oldest())
	}
	s.open[sha256.Sum256([]byte(id))] = session{until: now.Add(sessionTime), token: want, form: rand.Text()}
	return id, nil
}

// oldest is for who holds mu.
func (s *sessions) oldest() (key [sha256.Size]byte) {
	var first time.Time
	for k, v := range s.open {
		if first.IsZero() || v.until.Before(first) {
			key, first = k, v.until
		}
	}
	return key
}

// find returns the session of a request's cookie, if it has one that is open.
func (s *sessions) find(r *http.Request) (session, bool) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return session{}, false
	}
	s.mu.Lock()
	found, ok := s.open[sha256.Sum256([]byte(cookie.Value))]
	s.mu.Unlock()
	if !ok || !s.now().Before(found.until) {
		return session{}, false
	}
	token, err := s.current()
	if err != nil || subtle.ConstantTimeCompare(token[:], found.token[:]) != 1 {
		return session{}, false
	}
	return found, true
}

func (s *sessions) end(r *http.Request) {
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		s.mu.Lock()
		delete(s.open, sha256.Sum256([]byte(cookie.Value)))
		s.mu.Unlock()
	}
}

// cookieName is a name that browsers take over TLS alone, where there is TLS.
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-knockgate"
	}
	return "knockgate"
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: int(age / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}

// askLogin answers who is not logged in.
func (s *site) askLogin(w http.ResponseWriter, r *http.Request) {
	// The body of whatever was sent is not read.
	w.Header().Set("Connection", "close")
	to := "/login?next=" + url.QueryEscape(r.URL.RequestURI())
	switch {
	case r.Header.Get("HX-Request") != "":
		w.Header().Set("HX-Redirect", "/login")
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodGet && r.URL.Path != "/decisions/stream":
		http.Redirect(w, r, to, http.StatusSeeOther)
	default:
		s.loginPage(w, r, http.StatusUnauthorized, "Log in first.")
	}
}

type loginData struct{ Next, Error string }

func (s *site) showLogin(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.sessions.find(r); ok {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.loginPage(w, r, http.StatusOK, "")
}

func (s *site) loginPage(w http.ResponseWriter, r *http.Request, status int, text string) {
	next := r.URL.Query().Get("next")
	s.pages.write(&visit{w: w, r: r}, status, "login", page{Title: "Log in", Data: loginData{Next: ownPath(next), Error: text}})
}

// ownPath returns a target within these pages, "/" for any other.
func ownPath(target string) string {
	for _, section := range sections {
		if target == section.Path || section.Path != "/" && (strings.HasPrefix(target, section.Path+"/") || strings.HasPrefix(target, section.Path+"?")) {
			if u, err := url.Parse(target); err == nil && u.Host == "" && !slices.ContainsFunc([]byte(target), notInTarget) {
				return target
			}
		}
	}
	return "/"
}

func notInTarget(c byte) bool { return c <= ' ' || c >= 0x7f || c == '\\' }

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	if err := readForm(w, r, maxToken); err != nil {
		s.loginPage(w, r, statusOf(err), err.Error())
		return
	}
	id, err := s.sessions.login(strings.TrimSpace(r.PostForm.Get("token")))
	switch {
	case err == nil:
		s.Log.Info("admin pages: logged in", "remote", r.RemoteAddr)
		s.sessions.end(r)
		setCookie(w, r, id, sessionTime)
		http.Redirect(w, r, ownPath(r.PostForm.Get("next")), http.StatusSeeOther)
	case errors.Is(err, errTries):
		s.Log.Warn("admin pages: too many wrong tokens", "remote", r.RemoteAddr)
		s.loginPage(w, r, http.StatusTooManyRequests, "There were too many wrong tokens. Wait some seconds.")
	case errors.Is(err, errWrong):
		s.Log.Warn("admin pages: a wrong token", "remote", r.RemoteAddr)
		s.loginPage(w, r, http.StatusUnauthorized, "That is not the token.")
	default:
		s.Log.Error("admin pages: nobody can log in", "err", err)
		s.loginPage(w, r, http.StatusServiceUnavailable, "Nobody can log in now: the token cannot be read. The log says why.")
	}
}

func (s *site) logout(v *visit) error {
	s.sessions.end(v.r)
	setCookie(v.w, v.r, "", -time.Second)
	http.Redirect(v.w, v.r, "/login", http.StatusSeeOther)
	return nil
}
