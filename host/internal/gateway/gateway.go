package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/mux"

	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// endpoints are the requests that are authenticated.
var endpoints = []endpoint{
	{http.MethodGet, "/_matrix/federation/v1/make_knock/{room}/{user}", abi.MakeKnock, "make_knock", (*Gateway).make},
	{http.MethodPut, "/_matrix/federation/v1/send_knock/{room}/{event}", abi.SendKnock, "send_knock", (*Gateway).send},
	{http.MethodGet, "/_matrix/federation/v1/make_leave/{room}/{user}", 0, "make_leave", (*Gateway).makeLeave},
	{http.MethodPut, "/_matrix/federation/v1/send_leave/{room}/{event}", 0, "send_leave", sendLeave(`[200,{}]`)},
	{http.MethodPut, "/_matrix/federation/v2/send_leave/{room}/{event}", 0, "send_leave", sendLeave(`{}`)},
}

// Endpoints are the names of the requests that are authenticated, as
// [Observer.Refused] has them.
func Endpoints() (names []string) {
	for _, e := range endpoints {
		if !slices.Contains(names, e.name) {
			names = append(names, e.name)
		}
	}
	return names
}

// endpoint is a kind of request that is authenticated.
type endpoint struct {
	method, path string
	// phase is the phase of a knock; 0: no knock, no policy is asked.
	phase  abi.Phase
	name   string
	answer func(*Gateway, context.Context, *http.Request, *request) ([]byte, error)
}

// Rooms finds a room as it is now. It fails with 404 M_NOT_FOUND for a room
// that this server is not in.
type Rooms interface {
	Room(ctx context.Context, id matrix.RoomID) (*knock.Room, error)
}

// Templates makes the bodies of a make_knock's and a make_leave's 200.
type Templates interface {
	// Template is made from the same snapshot that was judged.
	Template(ctx context.Context, r *knock.Room, user matrix.UserID) ([]byte, error)
	// LeaveTemplate fails if the room's rules do not let the user leave.
	LeaveTemplate(ctx context.Context, r *knock.Room, user matrix.UserID) ([]byte, error)
}

// Knocks takes signed knocks into a room, and leaves.
type Knocks interface {
	// Stored reports whether the event has been accepted in the room before.
	Stored(ctx context.Context, room matrix.RoomID, id matrix.EventID) (bool, error)
	// Check fails if the room's rules refuse the event.
	Check(ctx context.Context, r *knock.Room, ev *pdu.Event) error
	// Accept stores the event, durably, and returns the body of the 200.
	Accept(ctx context.Context, r *knock.Room, ev *pdu.Event) ([]byte, error)
	// Leave checks and stores a leave, durably.
	Leave(ctx context.Context, r *knock.Room, ev *pdu.Event) error
}

// Policies decides. It fills d, whatever happens.
type Policies interface {
	Decide(ctx context.Context, f *abi.Facts, d *plugins.Decision)
}

// Recorder keeps decisions. It does not block.
type Recorder interface {
	Record(r *decisionlog.Record)
}

// Observer is told of requests that have no record. It does not block.
type Observer interface {
	// Refused is told of a request to an endpoint, such as "make_knock", that the
	// protocol refused before a decision, or that failed: e is what its sender gets.
	Refused(endpoint string, e *matrix.Error)
}

// Stages is what a knock goes through in either mode. All fields but Permits are
// required.
type Stages struct {
	Auth     *xmatrix.Authenticator
	Events   *knock.Checker
	Policies Policies
	// Permits are asked where the policies deny; nil: there are none.
	Permits  Permits
	Recorder Recorder
	Observer Observer
	// Origins says who may ask, and how often.
	Origins *Origins
	// Reference tells a knocker who is refused the request ID.
	Reference bool
	Now       func() time.Time
	Log       *slog.Logger
}

// Options is what a gateway is made of. All fields are required.
type Options struct {
	Stages
	Rooms     Rooms
	Templates Templates
	Knocks    Knocks
	// KeyDocument returns the body of /_matrix/key/v2/server.
	KeyDocument func() []byte
	// Version is what /_matrix/federation/v1/version says of this program.
	Version string
}

// Gateway is the federation listener's handler of a server that keeps its rooms
// itself.
type Gateway struct {
	Options
	router *mux.Router
}

// New returns the handler of a federation listener.
func New(o Options) *Gateway {
	g := &Gateway{Options: o}
	// The encoded path decides the route, so that an identifier may hold '/';
	// nothing is cleaned, since a redirect would break the signature.
	r := mux.NewRouter().UseEncodedPath().SkipClean(true)
	r.NotFoundHandler = g.plain(func(*http.Request) ([]byte, error) { return nil, matrix.UnrecognizedEndpoint() })
	r.MethodNotAllowedHandler = g.plain(func(*http.Request) ([]byte, error) { return nil, matrix.UnrecognizedMethod() })
	for _, e := range endpoints {
		r.Handle(e.path, g.handle(&e)).Methods(e.method)
	}
	g.keyRoutes(r)
	r.Handle("/_matrix/federation/v1/version", g.plain(g.version)).Methods(http.MethodGet)
	g.router = r
	return g
}

// ServeHTTP answers one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.router.ServeHTTP(w, r) }

// version names this program.
//
// Spec: Server-Server API, "GET /_matrix/federation/v1/version".
func (g *Gateway) version(*http.Request) ([]byte, error) {
	return []byte(`{"server":{"name":"Knockgate","version":"` + g.Version + `"}}`), nil
}

// plain makes a handler of a function that needs nothing but the request.
func (g *Gateway) plain(answer func(*http.Request) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := answer(r)
		if err != nil {
			writeError(w, g.wire(r, err))
			return
		}
		writeJSON(w, http.StatusOK, body)
	})
}
