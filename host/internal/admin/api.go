package admin

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/knockgate/knockgate/plugins"
)

// prefix is where the API is.
const prefix = "/admin/v1"

const (
	maxBody      = 1 << 20  // of JSON; settings are at most 64 KiB
	maxSignature = 16 << 10 // of a .minisig file
	// uploadTime bounds an upload, and any other answer that goes on for longer than
	// others.
	uploadTime = 5 * time.Minute
)

//go:embed openapi.json
var openAPI []byte

// api answers under prefix.
type api struct {
	*Options
	listeners chan struct{} // one slot for each that may listen
	uploads   chan struct{} // the same for uploads
}

// route is one of the API. Paths are as in openapi.json.
type route struct {
	method, path string
	answer       func(w http.ResponseWriter, r *http.Request)
}

func (a *api) routes() []route {
	return []route{
		{"GET", "/status", a.status},
		{"POST", "/reload", a.reload},
		{"GET", "/policies", a.policies},
		{"POST", "/changes", a.change},
		{"GET", "/audit", a.audit},
		{"GET", "/modules", a.modules},
		{"POST", "/modules", a.upload},
		{"POST", "/replay", a.replay},
		{"POST", "/judge", a.judge},
		{"GET", "/decisions", a.decisions},
		{"GET", "/decisions/events", a.events},
		{"GET", "/decisions/{reference}", a.decision},
		{"GET", "/overview", a.overview},
		{"GET", "/rooms", a.rooms},
		{"GET", "/knocks", a.knocks},
		{"POST", "/knocks/decline", a.decline},
		{"GET", "/openapi.json", a.openAPI},
	}
}

func newAPI(o *Options) http.Handler {
	a := &api{Options: o, listeners: make(chan struct{}, maxListeners), uploads: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		mux.HandleFunc(r.method+" "+prefix+r.path, r.answer)
	}
	return mux
}

// fail answers with an error.
func fail(w http.ResponseWriter, status int, err error) {
	write(w, status, map[string]string{"error": err.Error()})
}

// StatusOf returns the status that an error is answered with.
func StatusOf(err error) int {
	large := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrConflict):
		return http.StatusConflict
	case errors.Is(err, ErrInvalid):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// answer answers with what came of a request.
func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		fail(w, StatusOf(err), err)
		return
	}
	write(w, http.StatusOK, v)
}

// body reads a body of JSON with the keys of v and no others, or answers why not.
func body(w http.ResponseWriter, r *http.Request, v any) bool {
	if !isType(w, r, "application/json") {
		return false
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil && dec.Decode(new(any)) != io.EOF {
		err = errors.New("text after the object")
	}
	if err != nil {
		if StatusOf(err) != http.StatusRequestEntityTooLarge {
			err = fmt.Errorf("%w: the body: %w", ErrInvalid, err)
		}
		fail(w, StatusOf(err), err)
	}
	return err == nil
}

// isType reports whether a body is of a media type, or answers that it is not.
func isType(w http.ResponseWriter, r *http.Request, want string) bool {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != want {
		fail(w, http.StatusUnsupportedMediaType, fmt.Errorf("the Content-Type must be %s", want))
		return false
	}
	return true
}

func (a *api) openAPI(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, json.RawMessage(openAPI))
}

func (a *api) status(w http.ResponseWriter, r *http.Request) {
	long(w, uploadTime) // the configured policies may have to be loaded to know of them
	s, err := a.Server.Status(r.Context())
	answer(w, s, err)
}

func (a *api) reload(w http.ResponseWriter, r *http.Request) {
	long(w, uploadTime)
	text, err := a.Server.Reload(r.Context())
	answer(w, map[string]string{"text": text}, err)
}

func (a *api) policies(w http.ResponseWriter, r *http.Request) {
	long(w, uploadTime)
	s, err := a.Server.Status(r.Context())
	if err != nil {
		answer(w, nil, err)
		return
	}
	write(w, http.StatusOK, orEmpty(s.Policies))
}

func (a *api) change(w http.ResponseWriter, r *http.Request) {
	var c Change
	if !body(w, r, &c) {
		return
	}
	long(w, uploadTime) // a module is compiled
	revision, err := a.Policies.Apply(r.Context(), c)
	answer(w, map[string]string{"revision": revision}, err)
}

func (a *api) audit(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, a.Audit.Entries())
}

func (a *api) modules(w http.ResponseWriter, r *http.Request) {
	list, err := a.Policies.Staged(r.Context())
	answer(w, orEmpty(list), err)
}

// upload takes a module as the body, and the text of its .minisig file in base64 in
// the header X-Signature.
func (a *api) upload(w http.ResponseWriter, r *http.Request) {
	if !isType(w, r, "application/wasm") {
		return
	}
	if r.ContentLength > plugins.MaxModule {
		w.Header().Set("Connection", "close")
		fail(w, http.StatusRequestEntityTooLarge, fmt.Errorf("a module of %d bytes; at most %d", r.ContentLength, plugins.MaxModule))
		return
	}
	select {
	case a.uploads <- struct{}{}:
		defer func() { <-a.uploads }()
	default:
		busy(w, "another upload is under way")
		return
	}
	var signature []byte
	if text := r.Header.Get("X-Signature"); text != "" {
		var err error
		if signature, err = base64.StdEncoding.DecodeString(text); err != nil || len(signature) > maxSignature {
			fail(w, http.StatusBadRequest, fmt.Errorf("%w: X-Signature must be a .minisig file in base64", ErrInvalid))
			return
		}
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(uploadTime))
	long(w, uploadTime+time.Minute)
	module, err := io.ReadAll(http.MaxBytesReader(w, r.Body, plugins.MaxModule))
	if err != nil {
		if StatusOf(err) != http.StatusRequestEntityTooLarge {
			err = fmt.Errorf("%w: the body: %w", ErrInvalid, err)
		}
		fail(w, StatusOf(err), err)
		return
	}
	m, err := a.Policies.Stage(r.Context(), module, signature)
	answer(w, m, err)
}

// judging is the body of a judgement.
type judging struct {
	Facts  json.RawMessage `json:"facts"`
	Event  json.RawMessage `json:"event,omitempty"`
	Change *Change         `json:"change,omitempty"`
}

func (a *api) judge(w http.ResponseWriter, r *http.Request) {
	var in judging
	if !body(w, r, &in) {
		return
	}
	long(w, uploadTime)
	j, err := a.Policies.Judge(r.Context(), in.Facts, in.Event, in.Change)
	answer(w, j, err)
}

func (a *api) rooms(w http.ResponseWriter, r *http.Request) {
	if a.resident(w) {
		list, err := a.Knocks.Rooms(r.Context())
		answer(w, orEmpty(list), err)
	}
}

func (a *api) knocks(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r)
	room := q.text("room")
	if q.failed(w) || !a.resident(w) {
		return
	}
	list, err := a.Knocks.Pending(r.Context(), room)
	answer(w, orEmpty(list), err)
}

// declining is the body of a refusal.
type declining struct {
	Room   string `json:"room_id"`
	User   string `json:"user_id"`
	Reason string `json:"reason,omitempty"`
}

func (a *api) decline(w http.ResponseWriter, r *http.Request) {
	var in declining
	if !body(w, r, &in) || !a.resident(w) {
		return
	}
	answer(w, struct{}{}, a.Knocks.Decline(r.Context(), in.Room, in.User, in.Reason))
}

func (a *api) resident(w http.ResponseWriter) bool {
	if a.Knocks == nil {
		fail(w, http.StatusNotFound, fmt.Errorf("%w: in gateway mode the rooms are the homeserver's", ErrNotFound))
	}
	return a.Knocks != nil
}

// long gives an answer more time than others have.
func long(w http.ResponseWriter, d time.Duration) {
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Now().Add(d))
	_ = c.SetReadDeadline(time.Time{}) // else it ends the request's context
}

// busy answers that what is bounded has no room.
func busy(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "5")
	fail(w, http.StatusServiceUnavailable, errors.New(why))
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
