//go:build goexperiment.jsonv2

package differential

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/json/jsontext"
	jsonv2 "encoding/json/v2"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.mau.fi/util/exhttp"
	"go.mau.fi/util/glob"
	mautrixjson "maunium.net/go/mautrix/crypto/canonicaljson"
	"maunium.net/go/mautrix/federation"
	"maunium.net/go/mautrix/federation/eventauth"
	mautrixpdu "maunium.net/go/mautrix/federation/pdu"
	"maunium.net/go/mautrix/id"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

func init() { others = append(others, mautrix) }

// mautrix is mautrix-go, the library of bridges and of Meowlnir.
var mautrix = implementation{
	name: "mautrix",
	canonical: func(src string) string {
		out := jsontext.Value(src)
		err := mautrixjson.Canonicalize(&out)
		return answer(err, func() string { return string(out) })
	},
	event: func(version, src string) string {
		e, err := mautrixEvent(src)
		if err != nil {
			return refused
		}
		eventID, err := e.GetEventID(id.RoomVersion(version))
		if err != nil {
			return refused
		}
		redacted, err := mautrixjson.Marshal(e.Clone().Redact(id.RoomVersion(version)))
		return answer(err, func() string { return eventText(string(eventID), e.VerifyContentHash(), string(redacted)) })
	},
	sign: func(version, src string) string {
		e, err := mautrixEvent(src)
		if err != nil {
			return refused
		}
		err = e.Sign(id.RoomVersion(version), string(peer), id.KeyID(current), privateKey(peer, current))
		return answer(err, func() string { return e.Signatures[string(peer)][id.KeyID(current)] })
	},
	signed: func(version, src string) string {
		e, err := mautrixEvent(src)
		if err != nil {
			return refused
		}
		err = e.VerifySignature(id.RoomVersion(version), e.Sender.Homeserver(), mautrixKey)
		return answer(err, func() string { return yes })
	},
	knock: func(r room) string {
		auth := []*mautrixpdu.PDU{}
		for _, src := range r.state() {
			e, err := mautrixEvent(src)
			if err != nil {
				return refused
			}
			if e.Type == "m.room.create" && roomVersion(r.version).HashRoomID {
				continue // it is found by the room ID
			}
			auth = append(auth, e)
		}
		return mautrixAuthorize(r, auth)
	},
	listed: func(r room) string { return mautrixAuthorize(r, nil) },
	request: func(r request) (*http.Request, error) {
		key := &federation.SigningKey{ID: id.KeyID(current), Pub: mautrixPublic(peer, current), Priv: privateKey(peer, current)}
		client := federation.NewClient(string(peer), key, federation.NoopCache, exhttp.SensibleClientSettings)
		var sent *http.Request
		client.HTTP.Transport = transport(func(out *http.Request) (*http.Response, error) {
			var err error
			sent, err = received(request{out.Method, out.URL.RequestURI(), string(bodyOf(out))}, out.Header.Get("Authorization"))
			return nil, errors.Join(err, errSent)
		})
		// The client makes the target from its segments and the query.
		path, query, _ := strings.Cut(r.target, "?")
		var segments []any
		for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/_matrix/federation/"), "/") {
			plain, err := url.PathUnescape(segment)
			if err != nil {
				return nil, err
			}
			segments = append(segments, plain)
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			return nil, err
		}
		params := federation.RequestParams{ServerName: string(resident), Method: r.method, Path: federation.URLPath(segments), Query: values, Authenticate: true}
		if r.content != "" {
			params.RequestJSON = json.RawMessage(r.content)
		}
		_, _, err = client.MakeFullRequest(context.Background(), params)
		if !errors.Is(err, errSent) {
			return nil, fmt.Errorf("the request was not sent: %w", err)
		}
		return sent, nil
	},
	authenticate: func(r *http.Request) string {
		auth := federation.NewServerAuth(nil, mautrixKeys{}, func(federation.XMatrixAuth) string { return string(resident) })
		if _, err := auth.Authenticate(r); err != nil {
			return refused
		}
		return federation.ParseXMatrixAuth(r.Header.Get("Authorization")).Origin
	},
	glob:  func(pattern, s string) string { return fmt.Sprint(glob.Compile(pattern).Match(s)) },
	blind: func(canonicaljson.Value) string { return "" },
}

func mautrixEvent(src string) (*mautrixpdu.PDU, error) {
	var e mautrixpdu.PDU
	return &e, jsonv2.Unmarshal([]byte(src), &e)
}

// mautrixAuthorize asks about the knock of r. With nil for auth the library
// looks up the events that the knock lists.
func mautrixAuthorize(r room, auth []*mautrixpdu.PDU) string {
	e, err := mautrixEvent(r.knock)
	if err != nil {
		return refused
	}
	version := id.RoomVersion(r.version)
	byID := map[id.EventID]*mautrixpdu.PDU{}
	for _, src := range append(r.state(), r.listed...) {
		found, err := mautrixEvent(src)
		if err != nil {
			return refused
		}
		eventID, err := found.GetEventID(version)
		if err != nil {
			return refused
		}
		byID[eventID] = found
	}
	getEvents := func(ids []id.EventID) (list []*mautrixpdu.PDU, err error) {
		for _, eventID := range ids {
			list = append(list, byID[eventID])
		}
		return list, nil
	}
	err = eventauth.Authorize(version, e, auth, getEvents, mautrixKey)
	return answer(err, func() string { return yes })
}

func mautrixPublic(server matrix.ServerName, keyID matrix.KeyID) id.SigningKey {
	key := signerOf(server, keyID).Public()
	return id.SigningKey(base64.RawStdEncoding.EncodeToString(key[:]))
}

// mautrixKey returns the key of a server and until when it is good.
func mautrixKey(server string, keyID id.KeyID, _ time.Time) (id.SigningKey, time.Time, error) {
	switch matrix.KeyID(keyID) {
	case current:
		return mautrixPublic(matrix.ServerName(server), current), validUntil, nil
	case former:
		return mautrixPublic(matrix.ServerName(server), former), expired, nil
	}
	return "", time.Time{}, nil
}

// mautrixKeys is a cache that has what every server here publishes.
type mautrixKeys struct{}

func (mautrixKeys) LoadKeys(server string) (*federation.ServerKeyResponse, error) {
	var keys federation.ServerKeyResponse
	err := json.Unmarshal(document(matrix.ServerName(server)), &keys)
	return &keys, err
}

func (mautrixKeys) StoreKeys(*federation.ServerKeyResponse) {}
func (mautrixKeys) StoreFetchError(string, error)           {}
func (mautrixKeys) ShouldReQuery(string) bool               { return false }

var errSent = errors.New("the request was kept")

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
