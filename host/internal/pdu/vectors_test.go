package pdu_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// vectors.json was made by an implementation that shares nothing with
// this one and reproduces the vectors of the specification.
func TestVectors(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors map[string]json.RawMessage
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	found := 0
	for name, raw := range vectors {
		if !strings.HasPrefix(name, "v") {
			continue
		}
		found++
		t.Run(name, func(t *testing.T) {
			var c struct {
				Event   json.RawMessage `json:"event"`
				EventID matrix.EventID  `json:"event_id"`
				RoomID  matrix.RoomID   `json:"room_id"`
			}
			if err := json.Unmarshal(raw, &c); err != nil {
				t.Fatal(err)
			}
			v := version(t, strings.TrimSuffix(strings.TrimPrefix(name, "v"), "create"))
			checkEvent(t, c.Event, v, "domain", specSigner(t).public(), c.EventID)
			e, err := pdu.ParseStored(c.Event, v)
			if err != nil {
				t.Fatal(err)
			}
			if c.RoomID != "" && e.RoomID() != c.RoomID {
				t.Errorf("room ID %s, want %s", e.RoomID(), c.RoomID)
			}
			// Ed25519 is deterministic: signing again gives the same bytes.
			if got := sign(t, v.ID, string(c.Event)); string(got) != string(e.JSON()) {
				t.Errorf("signed anew:\n got %s\nwant %s", got, e.JSON())
			}
		})
	}
	if found != 6 {
		t.Errorf("%d events in the file, want 6", found)
	}
}

// checkEvent checks an event's ID, content hash and signature.
func checkEvent(t *testing.T, raw []byte, v *matrix.RoomVersion, server matrix.ServerName, key ed25519.PublicKey, want matrix.EventID) {
	t.Helper()
	e, err := pdu.ParseStored(raw, v)
	if err != nil {
		t.Errorf("%s: %v", raw, err)
		return
	}
	if want != "" && e.ID() != want {
		t.Errorf("ID %s, want %s", e.ID(), want)
	}
	if !e.ContentHashOK() {
		t.Errorf("%s: the content hash is wrong", e.ID())
	}
	if !verified(e, server, key) {
		t.Errorf("%s: the signature by %s is wrong", e.ID(), server)
	}
	if e.Redacted().ID() != e.ID() || !verified(e.Redacted(), server, key) {
		t.Errorf("%s: redaction changes the ID or the signature", e.ID())
	}
}

// The examples of the specification that are for room version 1: the hash and
// the signature are made in the same way since; redaction of these differs
// only in what they do not have.
func TestSpecExamples(t *testing.T) {
	cases := []struct{ name, event, hash, sig string }{
		{"minimal",
			`{"room_id":"!x:domain","sender":"@a:domain","origin":"domain","origin_server_ts":1000000,"signatures":{},"hashes":{},"type":"X","content":{},"prev_events":[],"auth_events":[],"depth":3,"unsigned":{"age_ts":1000000}}`,
			"5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
			"KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg"},
		{"redactable",
			`{"content":{"body":"Here is the message content"},"event_id":"$0:domain","origin":"domain","origin_server_ts":1000000,"type":"m.room.message","room_id":"!r:domain","sender":"@u:domain","signatures":{},"unsigned":{"age_ts":1000000}}`,
			"onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
			"Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA"},
	}
	for _, c := range cases {
		doc := parseJSON(t, string(sign(t, "7", c.event)))
		if got, _ := doc.Root().Get("hashes").Get("sha256").Text(); got != c.hash {
			t.Errorf("%s: hash %s, want %s", c.name, got, c.hash)
		}
		if got, _ := doc.Root().Get("signatures").Get("domain").Get("ed25519:1").Text(); got != c.sig {
			t.Errorf("%s: signature %s, want %s", c.name, got, c.sig)
		}
	}
}

// capture is what Synapse 1.160 said on the wire.
type capture struct {
	VerifyKeys map[matrix.ServerName]map[matrix.KeyID]string `json:"verify_keys"`
	Cases      []struct {
		Case      string `json:"case"`
		Exchanges []struct {
			RequestLine string `json:"request_line"`
			Request     string `json:"request_body_raw"`
			Status      int    `json:"response_status"`
			Response    string `json:"response_body_raw"`
		} `json:"exchanges"`
	} `json:"cases"`
}

func readCapture(tb testing.TB) *capture {
	tb.Helper()
	raw, err := os.ReadFile("../../testdata/synapse-1.160.json")
	if err != nil {
		tb.Fatal(err)
	}
	c := new(capture)
	if err := json.Unmarshal(raw, c); err != nil {
		tb.Fatal(err)
	}
	return c
}

func (c *capture) key(tb testing.TB, server matrix.ServerName) ed25519.PublicKey {
	tb.Helper()
	for _, text := range c.VerifyKeys[server] {
		key, err := base64.RawStdEncoding.DecodeString(text)
		if err != nil {
			tb.Fatal(err)
		}
		return key
	}
	tb.Fatalf("no key of %s", server)
	return nil
}

func TestCaptures(t *testing.T) {
	c := readCapture(t)
	knocks, creates := 0, 0
	for _, item := range c.Cases {
		v := item.Case[strings.LastIndex(item.Case, "_v")+2:]
		for _, x := range item.Exchanges {
			_, path, isSend := strings.Cut(x.RequestLine, "/send_knock/")
			if !isSend || !strings.HasPrefix(item.Case, "b_happy") {
				continue
			}
			t.Run(item.Case, func(t *testing.T) {
				knocks++
				path, _, _ = strings.Cut(path, " ")
				_, id, _ := strings.Cut(path, "/%24")
				checkEvent(t, []byte(x.Request), version(t, v), "b.test:28648", c.key(t, "b.test:28648"), matrix.EventID("$"+id))
				e, err := pdu.ParseStored([]byte(x.Request), version(t, v))
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(e.JSON()), `"unsigned"`) || !e.Content().Get("avatar_url").IsNull() {
					t.Errorf("%s: unsigned was kept or avatar_url was not", e.JSON())
				}
				for state := range parseJSON(t, x.Response).Root().Get("knock_room_state").Elems() {
					if state.Get("signatures").Exists() {
						creates++
						checkCreate(t, state, e, c.key(t, "a.test:18648"))
					}
				}
			})
		}
	}
	if knocks != 5 || creates != 1 {
		t.Errorf("%d knocks and %d whole create events in the file, want 5 and 1", knocks, creates)
	}
}

// checkCreate checks the create event of a room of version 12, whose hash is
// the room's ID.
func checkCreate(t *testing.T, state canonicaljson.Value, knock *pdu.Event, key ed25519.PublicKey) {
	t.Helper()
	checkEvent(t, state.Canonical(), knock.Version(), "a.test:18648", key, matrix.EventID("$"+knock.RoomID()[1:]))
	create, err := pdu.ParseStored(state.Canonical(), knock.Version())
	if err != nil {
		t.Fatal(err)
	}
	if create.RoomID() != knock.RoomID() {
		t.Errorf("the create event made %s, the knock is on %s", create.RoomID(), knock.RoomID())
	}
}

// The shape probes of the capture are not signed for verifying, but they all
// were read far enough to be told what is wrong, and so they are here.
func TestCapturedProbes(t *testing.T) {
	found := 0
	for _, item := range readCapture(t).Cases {
		if !strings.HasPrefix(item.Case, "probe_send") || item.Case == "probe_send_not_json" {
			continue
		}
		found++
		if _, err := pdu.ParseStored([]byte(item.Exchanges[0].Request), version(t, "10")); err != nil {
			t.Errorf("%s: %v", item.Case, err)
		}
	}
	if found != 3 {
		t.Errorf("%d probes in the file, want 3", found)
	}
}
