package knock

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

func TestParseMake(t *testing.T) {
	long := strings.Repeat("a", 243)
	tests := []struct {
		name, room, user, query string
		versions                []string
		code                    string
	}{
		{"one", "!r:a", "@u:b", "ver=11", []string{"11"}, ""},
		{"repeated, in order, once each", "!r:a", "@u:b", "ver=9&ver=11&ver=9", []string{"9", "11"}, ""},
		{"no comma splitting", "!r:a", "@u:b", "ver=7,8", nil, ""},
		{"no splitting at semicolons", "!r:a", "@u:b", "ver=7;ver=8&x=1;2&ver=9", []string{"9"}, ""},
		{"empty value", "!r:a", "@u:b", "ver=", nil, ""},
		{"opaque", "!r:a", "@u:b", "ver=org.matrix.hydra.11&ver=X", []string{"org.matrix.hydra.11"}, ""},
		{"a line break cannot make two", "!r:a", "@u:b", "ver=9%0A10", nil, ""},
		{"other parameters", "!r:a", "@u:b", "x=1&ver=10", []string{"10"}, ""},
		{"v12 room", "!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ", "@u:b", "ver=12", []string{"12"}, ""},
		{"historical user", "!r:a", "@:b", "ver=12", []string{"12"}, ""},
		{"absent", "!r:a", "@u:b", "", nil, "M_MISSING_PARAM"},
		{"other name", "!r:a", "@u:b", "version=11", nil, "M_MISSING_PARAM"},
		{"bad escape", "!r:a", "@u:b", "ver=%zz", nil, "M_INVALID_PARAM"},
		{"room", "r:a", "@u:b", "ver=11", nil, "M_INVALID_PARAM"},
		{"room alias", "#r:a", "@u:b", "ver=11", nil, "M_INVALID_PARAM"},
		{"user", "!r:a", "u:b", "ver=11", nil, "M_INVALID_PARAM"},
		{"user too long", "!r:a", "@" + long + ":example.org", "ver=11", nil, "M_INVALID_PARAM"},
		{"NUL", "!r:a", "@u\x00:b", "ver=11", nil, "M_INVALID_PARAM"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseMake(tt.room, tt.user, tt.query)
			if got := code(err); got != tt.code {
				t.Fatalf("err = %v, want %q", err, tt.code)
			}
			if err != nil {
				if m != nil {
					t.Errorf("a request beside the error: %+v", m)
				}
				return
			}
			if diff := cmp.Diff(tt.versions, m.Versions); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestManyVersions: a query of ten thousand versions is bounded, and the ones
// in front count.
func TestManyVersions(t *testing.T) {
	query := url.Values{}
	for i := range 10_000 {
		query.Add("ver", fmt.Sprint(i))
	}
	m, err := ParseMake("!r:a", "@u:b", query.Encode())
	if err != nil || len(m.Versions) != maxVersions || !m.Supports("11") {
		t.Errorf("%d versions, %v; want %d with 11 among them", len(m.Versions), err, maxVersions)
	}
}

func TestCheckOrigin(t *testing.T) {
	tests := []struct {
		user, origin string
		ok           bool
	}{
		{"@u:a.example", "a.example", true},
		{"@u:a.example:8448", "a.example:8448", true},
		{"@u:a.example", "a.example:8448", false},
		{"@u:a.example:8448", "a.example", false},
		{"@u:A.example", "a.example", false},
		{"@u:[::1]:1", "[::1]:1", true},
		{"@u:b.example", "a.example", false},
	}
	for _, tt := range tests {
		m := &Make{Member: Member{User: matrix.UserID(tt.user)}}
		err := m.CheckOrigin(matrix.ServerName(tt.origin))
		if (err == nil) != tt.ok || err != nil && code(err) != "M_FORBIDDEN" {
			t.Errorf("user %s, origin %s: %v, want ok = %v", tt.user, tt.origin, err, tt.ok)
		}
	}
}

// keys is a key ring of fixed keys.
type keys map[matrix.KeyID]matrix.PublicKey

func (k keys) EventKey(_ context.Context, _ matrix.ServerName, id matrix.KeyID, _ int64) (matrix.PublicKey, error) {
	if key, ok := k[id]; ok {
		return key, nil
	}
	return matrix.PublicKey{}, errors.New("unknown key")
}

// signer is an Ed25519 key made of a word.
type signer struct {
	id  matrix.KeyID
	key ed25519.PrivateKey
}

func newSigner(id matrix.KeyID) signer {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, id)
	return signer{id, ed25519.NewKeyFromSeed(seed)}
}

func (s signer) KeyID() matrix.KeyID  { return s.id }
func (s signer) Sign(m []byte) []byte { return ed25519.Sign(s.key, m) }
func (s signer) public() matrix.PublicKey {
	return matrix.PublicKey(s.key.Public().(ed25519.PublicKey))
}

const (
	hash1 = "Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"
	event = `{"auth_events":["$` + hash1 + `"],"content":{"membership":"knock"%s},"depth":7,"origin_server_ts":1,` +
		`"prev_events":["$` + hash1 + `"],"room_id":"!r:here","sender":"@u:there","state_key":"@u:there","type":"m.room.member"}`
)

// TestSignatures: unknown keys say nothing, a known key that did not sign
// refuses, and one that did is needed.
func TestSignatures(t *testing.T) {
	a, b, unknown := newSigner("ed25519:a"), newSigner("ed25519:b"), newSigner("ed25519:x")
	ring := keys{a.id: a.public(), b.id: b.public()}
	v, _ := matrix.LookupRoomVersion("11")
	tests := []struct {
		name  string
		by    []signer // sign as server "there"
		wrong []matrix.KeyID
		third bool // a bogus signature by a third server too
		code  string
	}{
		{name: "one", by: []signer{a}},
		{name: "two", by: []signer{a, b}},
		{name: "one of an unknown key beside", by: []signer{a, unknown}},
		{name: "a bogus one by a third server is not looked at", by: []signer{a}, third: true},
		{name: "only an unknown key", by: []signer{unknown}, code: "M_INVALID_PARAM"},
		{name: "one right, one of a known key wrong", by: []signer{a}, wrong: []matrix.KeyID{b.id}, code: "M_INVALID_PARAM"},
		{name: "wrong", wrong: []matrix.KeyID{a.id}, code: "M_INVALID_PARAM"},
		{name: "only by a third server", third: true, code: "M_INVALID_PARAM"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body, id := signedBy(t, v, fmt.Sprintf(event, ""), tt.by, tt.wrong, tt.third)
			c := Checker{Keys: ring, Verify: verify}
			ev, err := c.Check(context.Background(), &Send{Membership: pdu.Knock, Room: "!r:here", Event: id}, body, v, "there")
			if got := code(err); got != tt.code {
				t.Fatalf("err = %v, want %q", err, tt.code)
			}
			if err == nil && (ev.ID() != id || !ev.ContentHashOK()) {
				t.Errorf("event %s, content hash right %v", ev.ID(), ev.ContentHashOK())
			}
		})
	}
}

// TestTooManySignatures: the work for one event is bounded.
func TestTooManySignatures(t *testing.T) {
	v, _ := matrix.LookupRoomVersion("11")
	var by []signer
	for i := range maxSignatures + 1 {
		by = append(by, newSigner(matrix.KeyID(fmt.Sprintf("ed25519:k%d", i))))
	}
	body, id := signedBy(t, v, fmt.Sprintf(event, ""), by, nil, false)
	asked := 0
	c := Checker{Keys: countingKeys{&asked}, Verify: verify}
	_, err := c.Check(context.Background(), &Send{Membership: pdu.Knock, Room: "!r:here", Event: id}, body, v, "there")
	if code(err) != "M_INVALID_PARAM" || asked > maxSignatures {
		t.Errorf("err = %v after %d key look-ups; want M_INVALID_PARAM after at most %d", err, asked, maxSignatures)
	}
}

type countingKeys struct{ asked *int }

func (k countingKeys) EventKey(context.Context, matrix.ServerName, matrix.KeyID, int64) (matrix.PublicKey, error) {
	*k.asked++
	return matrix.PublicKey{}, errors.New("unknown key")
}

// TestAuthoriser: a knock or leave that names who authorised it needs that
// server's signature, from the room version on that has the rule.
func TestAuthoriser(t *testing.T) {
	a := newSigner("ed25519:a")
	ring := keys{a.id: a.public()}
	for _, tt := range []struct{ version, user, code string }{
		{"7", `"@m:other"`, ""},
		{"8", `"@m:other"`, "M_FORBIDDEN"},
		{"11", `"@m:there"`, ""}, // its server did sign
		{"11", `"nope"`, "M_FORBIDDEN"},
		{"11", `3`, "M_FORBIDDEN"},
	} {
		t.Run(tt.version+" "+tt.user, func(t *testing.T) {
			v, _ := matrix.LookupRoomVersion(tt.version)
			for _, membership := range []string{pdu.Knock, pdu.Leave} {
				text := strings.Replace(fmt.Sprintf(event, `,"join_authorised_via_users_server":`+tt.user), pdu.Knock, membership, 1)
				body, id := signedBy(t, v, text, []signer{a}, nil, false)
				c := Checker{Keys: ring, Verify: verify}
				_, err := c.Check(context.Background(), &Send{Membership: membership, Room: "!r:here", Event: id}, body, v, "there")
				if got := code(err); got != tt.code {
					t.Errorf("%s: err = %v, want %q", membership, err, tt.code)
				}
			}
		})
	}
}

// signedBy returns an event with signatures of server "there" by the signers,
// wrong ones under the key IDs of wrong, and perhaps one by a third server.
func signedBy(t *testing.T, v *matrix.RoomVersion, text string, by []signer, wrong []matrix.KeyID, third bool) (*canonicaljson.Doc, matrix.EventID) {
	t.Helper()
	plain := parse(t, []byte(text))
	hashed, err := pdu.Sign(plain, v, "there", newSigner("ed25519:first"))
	if err != nil {
		t.Fatal(err)
	}
	ev, err := pdu.ParseStored(hashed, v)
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, s := range by {
		there = append(there, fmt.Sprintf("%q:%q", s.id, base64Of(s.Sign(ev.SigningBytes()))))
	}
	for _, id := range wrong {
		there = append(there, fmt.Sprintf("%q:%q", id, base64Of(make([]byte, 64))))
	}
	signatures := "{"
	if len(there) > 0 {
		signatures += `"there":{` + strings.Join(there, ",") + "}"
	}
	if third {
		if len(there) > 0 {
			signatures += ","
		}
		signatures += fmt.Sprintf(`"third":{"ed25519:t":%q}`, base64Of(make([]byte, 64)))
	}
	body := strings.Replace(string(hashed), `"signatures":`+string(parse(t, hashed).Root().Get("signatures").Canonical()), `"signatures":`+signatures+"}", 1)
	return parse(t, []byte(body)), ev.ID()
}

func parse(t *testing.T, text []byte) *canonicaljson.Doc {
	t.Helper()
	doc, err := canonicaljson.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return doc
}

func base64Of(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

func verify(key matrix.PublicKey, message, sig []byte) bool {
	return len(sig) == ed25519.SignatureSize && ed25519.Verify(key[:], message, sig)
}

func code(err error) string {
	var e *matrix.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	}
	return err.Error()
}

// TestEndpoint: send_knock takes knocks and send_leave takes leaves, whatever is
// right about the other.
func TestEndpoint(t *testing.T) {
	a := newSigner("ed25519:a")
	c := Checker{Keys: keys{a.id: a.public()}, Verify: verify}
	for _, version := range matrix.RoomVersionIDs() {
		v, _ := matrix.LookupRoomVersion(version)
		for _, membership := range []string{pdu.Knock, pdu.Leave, "join", "invite", "ban", "Leave"} {
			text := strings.Replace(fmt.Sprintf(event, ""), `"knock"`, `"`+membership+`"`, 1)
			room := matrix.RoomID("!r:here")
			if v.HashRoomID {
				room = "!" + matrix.RoomID(strings.Repeat("A", 43))
				text = strings.Replace(text, "!r:here", string(room), 1)
			}
			body, id := signedBy(t, v, text, []signer{a}, nil, false)
			for _, endpoint := range []string{pdu.Knock, pdu.Leave} {
				s, err := ParseSend(endpoint, string(room), string(id))
				if err != nil {
					t.Fatal(err)
				}
				want := "M_INVALID_PARAM"
				if membership == endpoint {
					want = ""
				}
				if _, err := c.Check(context.Background(), s, body, v, "there"); code(err) != want {
					t.Errorf("version %s: a %s to send_%s: %v, want %q", version, membership, endpoint, err, want)
				}
			}
		}
	}
}

// TestClass: an event's own ID says by which rules it is redacted, also where the
// rules differ on it; the event checks under what was found.
func TestClass(t *testing.T) {
	a := newSigner("ed25519:a")
	c := Checker{Keys: keys{a.id: a.public()}, Verify: verify}
	texts := map[string]string{
		"plain":         fmt.Sprintf(event, ""),
		"an origin":     strings.Replace(fmt.Sprintf(event, ""), `"prev_events"`, `"origin":"there","prev_events"`, 1),
		"an authoriser": fmt.Sprintf(event, `,"join_authorised_via_users_server":"@u:there"`),
	}
	for name, text := range texts {
		for _, version := range matrix.RoomVersionIDs() {
			v, _ := matrix.LookupRoomVersion(version)
			room := matrix.RoomID("!r:here")
			if v.HashRoomID {
				room = "!" + matrix.RoomID(strings.Repeat("A", 43))
				text = strings.Replace(text, "!r:here", string(room), 1)
			}
			body, id := signedBy(t, v, text, []signer{a}, nil, false)
			s, err := ParseSend(pdu.Knock, string(room), string(id))
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Class(body)
			if err != nil {
				t.Errorf("%s, version %s: %v", name, version, err)
				continue
			}
			ev, err := c.Check(context.Background(), s, body, got, "there")
			if err != nil || ev.ID() != id {
				t.Errorf("%s, version %s, by the rules of %s: %v", name, version, got.ID, err)
			}
			s.Event = "$" + matrix.EventID(strings.Repeat("A", 43))
			if got, err := s.Class(body); got != nil || code(err) != "M_INVALID_PARAM" {
				t.Errorf("%s, version %s, another ID: %v, %v, want M_INVALID_PARAM", name, version, got, err)
			}
		}
	}
}
