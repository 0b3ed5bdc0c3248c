package gateway

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/gorilla/mux"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// keyRoutes adds the endpoints under which anyone may read our keys. The forms
// that name a key ID are deprecated, and answered with all keys, as they may be.
//
// Spec: Server-Server API, "Publishing Keys", "Querying Keys Through Another
// Server".
func (g *Gateway) keyRoutes(r *mux.Router) {
	r.Handle("/_matrix/key/v2/server", g.plain(g.serverKey)).Methods(http.MethodGet)
	r.Handle("/_matrix/key/v2/server/{key:[^/]*}", g.plain(g.serverKey)).Methods(http.MethodGet)
	r.Handle("/_matrix/key/v2/query", g.plain(g.queryKeys)).Methods(http.MethodPost)
	r.Handle("/_matrix/key/v2/query/{server}", g.plain(g.queryServer)).Methods(http.MethodGet)
	r.Handle("/_matrix/key/v2/query/{server}/{key:[^/]*}", g.plain(g.queryServer)).Methods(http.MethodGet)
}

// serverKey publishes our keys.
//
// Spec: Server-Server API, "GET /_matrix/key/v2/server".
func (g *Gateway) serverKey(*http.Request) ([]byte, error) { return g.KeyDocument(), nil }

// queryServer answers as a notary server that has the keys of one server, which
// is ourselves.
//
// Spec: Server-Server API, "GET /_matrix/key/v2/query/{serverName}".
func (g *Gateway) queryServer(r *http.Request) ([]byte, error) {
	text, err := url.PathUnescape(mux.Vars(r)["server"])
	if err != nil {
		return nil, matrix.InvalidParam("the path is not percent-encoded text")
	}
	name, err := matrix.ParseServerName(text)
	if err != nil {
		return nil, matrix.InvalidParam("%v", err)
	}
	if until := r.URL.Query().Get("minimum_valid_until_ts"); until != "" {
		if _, err := strconv.ParseInt(until, 10, 64); err != nil {
			return nil, matrix.InvalidParam("minimum_valid_until_ts %.40q: is not a time in milliseconds", until)
		}
	}
	return g.notaryAnswer(name == g.Auth.Server), nil
}

// queryKeys answers like queryServer for several servers.
//
// Spec: Server-Server API, "POST /_matrix/key/v2/query".
func (g *Gateway) queryKeys(r *http.Request) ([]byte, error) {
	q := requests.Get().(*request)
	defer q.free()
	if _, err := q.readBody(r); err != nil {
		return nil, err
	}
	ours, err := asksFor(q.doc.Root(), g.Auth.Server)
	if err != nil {
		return nil, err
	}
	return g.notaryAnswer(ours), nil
}

// asksFor reports whether a key query names the server. It fails with 400 if it
// is malformed.
func asksFor(query canonicaljson.Value, server matrix.ServerName) (bool, error) {
	servers := query.Get("server_keys")
	if !servers.Exists() {
		return false, matrix.MissingParam("server_keys is missing")
	}
	if !servers.IsObject() {
		return false, matrix.BadJSON("server_keys is not an object")
	}
	for name, keys := range servers.Members() {
		if !keys.IsObject() {
			return false, matrix.BadJSON("server_keys of %.255q is not an object", name)
		}
		for id, criteria := range keys.Members() {
			until := criteria.Get("minimum_valid_until_ts")
			if _, isTime := until.Int(); !criteria.IsObject() || until.Exists() && !isTime {
				return false, matrix.BadJSON("what is asked of the key %.255q is not an object with a time", id)
			}
		}
	}
	return servers.Get(string(server)).Exists(), nil
}

// notaryAnswer returns our own document, which our signature makes a notary's
// too, or none: of other servers we keep no documents for others.
func (g *Gateway) notaryAnswer(ours bool) []byte {
	body := []byte(`{"server_keys":[`)
	if ours {
		body = append(body, g.KeyDocument()...)
	}
	return append(body, "]}"...)
}
