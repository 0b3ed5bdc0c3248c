package appservice

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/store"
)

// The kinds of knocks without a decision.
const (
	// OwnUser is a user of the homeserver, who knocked with its client API.
	OwnUser = "own_user"
	// OtherServer is a user of another server, which is in the room itself or sent
	// the knock by way of one that is.
	OtherServer = "other_server"
)

// Facts remembers what was learnt of rooms.
type Facts interface {
	// Forget has the next question about a room asked anew.
	Forget(room matrix.RoomID)
}

// Store keeps transactions and knocks.
type Store interface {
	// TakeTransaction notes a transaction, keeps those of its knocks that were not
	// handed on, and returns those that are new.
	TakeTransaction(ctx context.Context, transaction string, knocks []store.Undecided) ([]store.Undecided, error)
}

// Options is what a receiver is made of. All fields but Facts are required.
type Options struct {
	// Server is the homeserver's name.
	Server matrix.ServerName
	// Token returns the token that the homeserver proves itself with.
	Token func() (string, error)
	Facts Facts
	Store Store
	// Since is the start of the time in which each knock that is handed on is
	// noted. Earlier ones are history.
	Since time.Time
	Now   func() time.Time
	Log   *slog.Logger
}

// Receiver is the handler of an application service's listener. It takes one
// transaction at a time.
type Receiver struct {
	Options
	router *mux.Router
	turn   chan struct{} // holds one token while a transaction is taken
	// live reports that the homeserver's past is over; guarded by turn.
	live bool
	// pushed reports that there was a transaction; guarded by turn.
	pushed bool
}

// New returns the handler of an application service's listener.
func New(o Options) *Receiver {
	a := &Receiver{Options: o, turn: make(chan struct{}, 1)}
	r := mux.NewRouter().UseEncodedPath().SkipClean(true)
	r.NotFoundHandler = a.answer(func(http.ResponseWriter, *http.Request) error { return matrix.UnrecognizedEndpoint() })
	r.MethodNotAllowedHandler = a.answer(func(http.ResponseWriter, *http.Request) error { return matrix.UnrecognizedMethod() })
	// The paths before the specification had versions come without a prefix.
	for _, prefix := range []string{"/_matrix/app/v1", ""} {
		r.Handle(prefix+"/transactions/{id}", a.answer(a.transaction)).Methods(http.MethodPut)
		r.Handle(prefix+"/users/{id}", a.answer(a.absent)).Methods(http.MethodGet)
		r.Handle(prefix+"/rooms/{id}", a.answer(a.absent)).Methods(http.MethodGet)
	}
	r.Handle("/_matrix/app/v1/ping", a.answer(a.ping)).Methods(http.MethodPost)
	a.router = r
	return a
}

// ServeHTTP answers one request.
func (a *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.router.ServeHTTP(w, r) }

// answer makes a handler that answers {}, or with the error of do.
func (a *Receiver) answer(do func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := do(w, r)
		var e *matrix.Error
		if err != nil && !errors.As(err, &e) {
			e = matrix.Internal(err)
		}
		if e == nil {
			write(w, http.StatusOK, []byte("{}"))
			return
		}
		level := slog.LevelWarn
		switch {
		case r.Context().Err() != nil || e.Status == http.StatusUnauthorized || e.Status == http.StatusNotFound:
			level = slog.LevelDebug // the homeserver left; or anyone can make these
		case e.Status >= 500:
			level = slog.LevelError
		}
		a.Log.LogAttrs(r.Context(), level, "application service: refused", slog.String("method", r.Method), slog.String("path", r.URL.Path),
			slog.Int("status", e.Status), slog.String("err", e.Error()))
		body := canonicaljson.AppendString([]byte(`{"errcode":`), e.Code)
		body = canonicaljson.AppendString(append(body, `,"error":`...), e.Message)
		write(w, e.Status, append(body, '}'))
	})
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// The homeserver may be gone; it tries again.
	_, _ = w.Write(body)
}

// authorize fails unless the homeserver's token came with the request. One in the
// query, as it was before version 1.4 of the specification, does not do, and must
// be the same if it is there.
//
// Spec: Application Service API, "Authorization".
func (a *Receiver) authorize(r *http.Request) error {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return matrix.Unauthorized("No access token in the Authorization header")
	}
	own, err := a.Token()
	if err != nil {
		return err
	}
	want := sha256.Sum256([]byte(own))
	for _, token := range append(r.URL.Query()["access_token"], token) {
		got := sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			return matrix.Forbidden("This is not the homeserver's access token")
		}
	}
	return nil
}

// absent answers the question for a user or an alias of ours: there are none.
func (a *Receiver) absent(_ http.ResponseWriter, r *http.Request) error {
	if err := a.authorize(r); err != nil {
		return err
	}
	return matrix.NotFound("There is nothing of this name here")
}

// ping says that this server can be reached.
func (a *Receiver) ping(_ http.ResponseWriter, r *http.Request) error {
	return a.authorize(r)
}

// transaction takes a transaction, or does nothing new with one that was taken
// before.
func (a *Receiver) transaction(w http.ResponseWriter, r *http.Request) error {
	if err := a.authorize(r); err != nil {
		return err
	}
	id, err := url.PathUnescape(mux.Vars(r)["id"])
	if err != nil || len(id) > 255 {
		return matrix.InvalidParam("The transaction ID is not percent-encoded text of at most 255 bytes")
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
	t := taker{Receiver: a, live: a.live, now: a.Now()}
	switch err := readEvents(http.MaxBytesReader(w, r.Body, MaxBody), t.take); {
	case errors.As(err, new(*http.MaxBytesError)):
		return matrix.TooLarge("The transaction is over %d bytes", MaxBody)
	case err != nil:
		return err
	}
	// Events were taken, and so must the transaction be, if the homeserver waits for
	// it or not.
	fresh, err := a.Store.TakeTransaction(context.WithoutCancel(r.Context()), id, t.knocks)
	if err != nil {
		return err
	}
	a.live = t.live
	a.report(r.Context(), &t, id, fresh)
	return nil
}

// report logs what came with a transaction.
func (a *Receiver) report(ctx context.Context, t *taker, id string, fresh []store.Undecided) {
	if !a.pushed {
		a.pushed = true
		a.Log.InfoContext(ctx, "the homeserver pushes its events here", "transaction", id)
	}
	a.Log.DebugContext(ctx, "transaction", "transaction", id, "events", t.events, "knocks", len(t.knocks))
	if t.malformed > 0 {
		a.Log.WarnContext(ctx, "the homeserver pushed events that make no sense", "transaction", id, "events", t.malformed)
	}
	for _, k := range fresh {
		level, text := slog.LevelWarn, "a knock came round the policies"
		if k.Kind == OwnUser {
			level, text = slog.LevelInfo, "a user of the homeserver knocked without the policies"
		}
		a.Log.LogAttrs(ctx, level, text, slog.String("user", k.User), slog.String("room", k.Room), slog.String("event", k.Event))
	}
}
