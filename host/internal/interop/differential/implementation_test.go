package differential

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// implementation is Matrix code, ours or another's. What it says is text: the
// answer, or refused, so that one can be held against another. A nil function
// is what it does not have.
type implementation struct {
	name string
	// canonical returns src in canonical form, as strict as room versions from
	// 6 on are.
	canonical func(src string) string
	// event returns the ID of an event, whether its content hash is right, and
	// its redaction in canonical form.
	event func(version, src string) string
	// sign returns the signature that a server with the key here makes of an
	// event that has no hash yet.
	sign func(version, src string) string
	// signed says yes to a knock whose sender's server signed it.
	signed func(version, src string) string
	// knock says yes to a knock that the room's state allows.
	knock func(r room) string
	// listed says yes to a knock that the events it lists allow.
	listed func(r room) string
	// request signs a request and returns it as it goes over the wire.
	request func(r request) (*http.Request, error)
	// authenticate returns the server that signed a request to resident.
	authenticate func(r *http.Request) string
	// glob says yes if the whole of s matches pattern.
	glob func(pattern, s string) string
	// blind returns the known differences that a document falls under, whatever
	// it is used for.
	blind func(v canonicaljson.Value) string
}

const (
	refused = "refused"
	yes     = "yes"

	resident = matrix.ServerName("resident.example")
	peer     = matrix.ServerName("peer.example:8448")
	// current is the key that the peer signs with, and former the one before.
	current, former = matrix.KeyID("ed25519:now"), matrix.KeyID("ed25519:old")
)

// started is when the tests began, to the millisecond; the former key stopped
// being used a day before, and the current one is valid for two days.
var (
	started    = time.Now().Truncate(time.Millisecond)
	expired    = started.Add(-24 * time.Hour)
	validUntil = started.Add(48 * time.Hour)
)

// others are the implementations that ours is held against.
var others = []implementation{dendrite}

// signerOf returns the key of a server with this ID.
func signerOf(server matrix.ServerName, id matrix.KeyID) *serverkey.SigningKey {
	return serverkey.NewSigningKey(id, sha256.Sum256([]byte(string(server)+" "+string(id))))
}

func privateKey(server matrix.ServerName, id matrix.KeyID) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(string(server) + " " + string(id)))
	return ed25519.NewKeyFromSeed(seed[:])
}

// ring is our key ring, which fetches from servers that publish current and
// former.
var ring = serverkey.NewRing(serverkey.RingOptions{Fetch: publisher{}, Own: resident})

type publisher struct{}

func (publisher) Get(_ context.Context, server matrix.ServerName, target string, _ int64) (int, []byte, error) {
	if target != "/_matrix/key/v2/server" {
		return http.StatusNotFound, nil, nil
	}
	return http.StatusOK, document(server), nil
}

func (publisher) Post(context.Context, matrix.ServerName, string, []byte, int64) (int, []byte, error) {
	return http.StatusNotFound, nil, nil // it is no notary server
}

// document returns what a server publishes.
func document(server matrix.ServerName) []byte {
	old := serverkey.OldKey{ID: former, Key: signerOf(server, former).Public(), ExpiredAt: expired}
	return serverkey.AppendDocument(nil, server, signerOf(server, current), []serverkey.OldKey{old}, validUntil)
}

// ours is this host.
var ours = implementation{
	name: "knockgate",
	canonical: func(src string) string {
		doc, err := canonicaljson.Parse([]byte(src))
		return answer(err, func() string { return string(doc.Bytes()) })
	},
	event: func(version, src string) string {
		e, err := pdu.ParseStored([]byte(src), roomVersion(version))
		return answer(err, func() string {
			return eventText(string(e.ID()), e.ContentHashOK(), string(e.Redacted().JSON()))
		})
	},
	sign: func(version, src string) string {
		signed := signEvent(version, src, peer, current)
		doc, err := canonicaljson.Parse([]byte(signed))
		return answer(err, func() string { return signatureIn(doc.Root(), peer, current) })
	},
	signed: func(version, src string) string {
		doc, err := canonicaljson.Parse([]byte(src))
		if err != nil {
			return refused
		}
		v := roomVersion(version)
		e, err := pdu.Parse(doc, v)
		if err != nil {
			return refused
		}
		checker := knock.Checker{Keys: ring, Verify: knock.Verifier(serverkey.Verify)}
		_, err = checker.Check(context.Background(), &knock.Send{Room: e.RoomID(), Event: e.ID(), Membership: pdu.Knock}, doc, v, e.Sender().Server())
		return answer(err, func() string { return yes })
	},
	knock: func(r room) string {
		e, state, err := r.parse()
		if err == nil {
			err = pdu.CheckMembership(e, state)
		}
		return answer(err, func() string { return yes })
	},
	listed: func(r room) string {
		e, state, err := r.parse()
		if err != nil {
			return refused
		}
		var auth []*pdu.Event
		for _, src := range r.listed {
			a, err := pdu.ParseStored([]byte(src), roomVersion(r.version))
			if err != nil {
				return refused
			}
			auth = append(auth, a)
		}
		claimed, err := pdu.CheckAuthEvents(e, auth)
		if claimed.Create == nil {
			claimed.Create = state.Create
		}
		if err == nil {
			err = pdu.CheckMembership(e, claimed)
		}
		return answer(err, func() string { return yes })
	},
	request: func(r request) (*http.Request, error) {
		var content []byte
		if r.content != "" {
			doc, err := canonicaljson.Parse([]byte(r.content))
			if err != nil {
				return nil, err
			}
			content = doc.Bytes()
		}
		header := xmatrix.Header(signerOf(peer, current), peer, resident, r.method, r.target, content)
		return received(r, header)
	},
	authenticate: func(r *http.Request) string {
		a := xmatrix.Authenticator{Server: resident, Keys: ring, Verify: xmatrix.Verifier(serverkey.Verify)}
		credentials, err := a.Parse(r.Header)
		if err != nil {
			return refused
		}
		var content []byte
		if body := bodyOf(r); len(body) > 0 {
			doc, err := canonicaljson.Parse(body)
			if err != nil {
				return refused
			}
			content = doc.Bytes()
		}
		origin, err := a.Check(context.Background(), credentials, r.Method, r.RequestURI, content)
		return answer(err, func() string { return string(origin) })
	},
	glob: func(pattern, s string) string { return fmt.Sprint(pdu.GlobMatch(pattern, s)) },
}

// answer returns what say does, or refused if there was an error.
func answer(err error, say func() string) string {
	if err != nil {
		return refused
	}
	return say()
}

func eventText(id string, hash bool, redacted string) string {
	return fmt.Sprintf("%s hash=%v %s", id, hash, redacted)
}

func roomVersion(id string) *matrix.RoomVersion {
	v, ok := matrix.LookupRoomVersion(id)
	if !ok {
		panic("room version " + id)
	}
	return v
}

// signEvent hashes and signs an event with our code.
func signEvent(version, src string, server matrix.ServerName, id matrix.KeyID) string {
	doc, err := canonicaljson.Parse([]byte(src))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", src, err))
	}
	signed, err := pdu.Sign(doc, roomVersion(version), server, signerOf(server, id))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", src, err))
	}
	return string(signed)
}

func signatureIn(event canonicaljson.Value, server matrix.ServerName, id matrix.KeyID) string {
	s, _ := event.Get("signatures").Get(string(server)).Get(string(id)).Text()
	return s
}

// compare fails the test where another implementation says something else than
// ours, unless one of docs falls under a difference that is known of it.
func compare(t drawnT, input string, ask func(implementation) (says string, has bool), docs ...string) {
	t.Helper()
	want, _ := ask(ours)
	for _, other := range others {
		if blindTo(t, other, docs...) {
			continue
		}
		if got, has := ask(other); has && got != want {
			t.Errorf("%s\nours says          %s\n%-17s %s", input, want, other.name, got)
		}
	}
}

// blindTo reports whether one of docs falls under a known difference.
func blindTo(t drawnT, other implementation, docs ...string) bool {
	t.Helper()
	for _, src := range docs {
		doc, err := canonicaljson.Parse([]byte(src))
		if err != nil {
			continue
		}
		name := other.blind(doc.Root())
		if name == "" {
			continue
		}
		if !isKnown(other.name, name) {
			t.Fatalf("%s is blind to %q, which is not in the table of known differences", other.name, name)
		}
		return true
	}
	return false
}

// drawnT is what a test and a drawn case of one have in common.
type drawnT interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}
