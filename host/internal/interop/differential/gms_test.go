package differential

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/fclient"
	"github.com/matrix-org/gomatrixserverlib/spec"
	"github.com/sirupsen/logrus"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // the library writes a line for every refusal
	// The command line, which is read by Run, has the last word.
	if err := flag.Set("rapid.checks", "500"); err != nil {
		panic(err)
	}
	m.Run()
}

// dendrite is gomatrixserverlib, the library of Dendrite.
var dendrite = implementation{
	name: "gomatrixserverlib",
	canonical: func(src string) string {
		out, err := gomatrixserverlib.EnforcedCanonicalJSON([]byte(src), gomatrixserverlib.RoomVersionV11)
		return answer(err, func() string { return string(out) })
	},
	event: func(version, src string) string {
		v := gmsVersion(version)
		e, err := v.NewEventFromUntrustedJSON([]byte(src))
		if err != nil {
			return refused
		}
		redacted, err := v.RedactEventJSON(e.JSON())
		if err != nil {
			return refused
		}
		redacted, err = gomatrixserverlib.CanonicalJSON(redacted)
		return answer(err, func() string { return eventText(e.EventID(), !e.Redacted(), string(redacted)) })
	},
	sign: func(version, src string) string {
		// The library hashes only what its own builder made. So the event has
		// our hash, and another server's signature beside the one asked for.
		e, err := gmsVersion(version).NewEventFromTrustedJSON([]byte(signEvent(version, src, "other.example", current)), false)
		if err != nil {
			return refused
		}
		doc, err := canonicaljson.Parse(e.Sign(string(peer), gomatrixserverlib.KeyID(current), privateKey(peer, current)).JSON())
		return answer(err, func() string { return signatureIn(doc.Root(), peer, current) })
	},
	signed: func(version, src string) string {
		e, err := gmsVersion(version).NewEventFromUntrustedJSON([]byte(src))
		if err != nil {
			return refused
		}
		err = gomatrixserverlib.VerifyEventSignatures(context.Background(), e, gmsRing, gmsUser)
		return answer(err, func() string { return yes })
	},
	knock: func(r room) string {
		v := gmsVersion(r.version)
		var state []gomatrixserverlib.PDU
		for _, src := range r.state() {
			e, err := v.NewEventFromTrustedJSON([]byte(src), false)
			if err != nil {
				return refused
			}
			state = append(state, e)
		}
		auth, err := gomatrixserverlib.NewAuthEvents(state)
		if err != nil {
			return refused
		}
		e, err := v.NewEventFromUntrustedJSON([]byte(r.knock))
		if err == nil {
			err = gomatrixserverlib.Allowed(e, auth, gmsUser)
		}
		return answer(err, func() string { return yes })
	},
	request: func(r request) (*http.Request, error) {
		f := fclient.NewFederationRequest(r.method, spec.ServerName(peer), spec.ServerName(resident), r.target)
		if r.content != "" {
			if err := f.SetContent(json.RawMessage(r.content)); err != nil {
				return nil, err
			}
		}
		if err := f.Sign(spec.ServerName(peer), gomatrixserverlib.KeyID(current), privateKey(peer, current)); err != nil {
			return nil, err
		}
		out, err := f.HTTPRequest()
		if err != nil {
			return nil, err
		}
		return received(request{r.method, out.URL.RequestURI(), string(bodyOf(out))}, out.Header.Get("Authorization"))
	},
	authenticate: func(r *http.Request) string {
		f, res := fclient.VerifyHTTPRequest(r, time.Now(), spec.ServerName(resident), nil, gmsRing)
		if f == nil || res.Code != http.StatusOK {
			return refused
		}
		return string(f.Origin())
	},
	blind: func(v canonicaljson.Value) string {
		if v.IsObject() {
			for key := range v.Members() {
				if strings.HasPrefix(string(key), "_") {
					return "a top-level key that begins with _"
				}
			}
		}
		return gmsBlind(v)
	},
}

// gmsBlind looks for what the library's canonical JSON gets wrong.
func gmsBlind(v canonicaljson.Value) string {
	for key := range v.Members() {
		if strings.ContainsFunc(string(key), func(r rune) bool { return r < 0x20 || r == '"' || r == '\\' }) {
			return "a key that needs an escape"
		}
	}
	for _, member := range v.Members() {
		if name := gmsBlind(member); name != "" {
			return name
		}
	}
	for elem := range v.Elems() {
		if name := gmsBlind(elem); name != "" {
			return name
		}
	}
	return ""
}

func gmsVersion(id string) gomatrixserverlib.IRoomVersion {
	return gomatrixserverlib.MustGetRoomVersion(gomatrixserverlib.RoomVersion(id))
}

func gmsUser(_ spec.RoomID, sender spec.SenderID) (*spec.UserID, error) {
	return spec.NewUserID(string(sender), true)
}

// gmsRing is the library's key ring, with the keys that every server here has.
var gmsRing = gomatrixserverlib.KeyRing{KeyDatabase: gmsKeys{}}

type gmsKeys struct{}

func (gmsKeys) FetcherName() string { return "published" }

func (gmsKeys) FetchKeys(_ context.Context, wanted map[gomatrixserverlib.PublicKeyLookupRequest]spec.Timestamp) (map[gomatrixserverlib.PublicKeyLookupRequest]gomatrixserverlib.PublicKeyLookupResult, error) {
	found := map[gomatrixserverlib.PublicKeyLookupRequest]gomatrixserverlib.PublicKeyLookupResult{}
	for request := range wanted {
		id := matrix.KeyID(request.KeyID)
		if id != current && id != former {
			continue
		}
		key := signerOf(matrix.ServerName(request.ServerName), id).Public()
		result := gomatrixserverlib.PublicKeyLookupResult{
			VerifyKey: gomatrixserverlib.VerifyKey{Key: key[:]},
			ExpiredTS: gomatrixserverlib.PublicKeyNotExpired, ValidUntilTS: spec.AsTimestamp(validUntil),
		}
		if id == former {
			result.ExpiredTS, result.ValidUntilTS = spec.AsTimestamp(expired), gomatrixserverlib.PublicKeyNotValid
		}
		found[request] = result
	}
	return found, nil
}

func (gmsKeys) StoreKeys(context.Context, map[gomatrixserverlib.PublicKeyLookupRequest]gomatrixserverlib.PublicKeyLookupResult) error {
	return nil // they are all there already
}
