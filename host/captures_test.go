package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// capture is what was recorded between two Synapse 1.160 servers.
type capture struct {
	Case      string
	Exchanges []struct {
		RequestLine    string `json:"request_line"`
		RequestBody    string `json:"request_body_raw"`
		ResponseStatus int    `json:"response_status"`
		ResponseBody   string `json:"response_body_raw"`
	}
}

func loadCaptures(t *testing.T) []capture {
	t.Helper()
	text, err := os.ReadFile("testdata/synapse-1.160.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []capture }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatal("no captures: this test would say nothing")
	}
	return file.Cases
}

// synapseDiffers lists the captured refusals that we answer otherwise, with
// the reason.
var synapseDiffers = map[string]struct {
	errcode string
	reason  string
}{
	"probe_send_membership_join":    {"M_INVALID_PARAM", "the specification's 400 for send_knock names M_INVALID_PARAM for a wrong membership; Synapse says M_BAD_JSON"},
	"probe_send_room_id_mismatch":   {"M_INVALID_PARAM", "the specification is silent; M_INVALID_PARAM as for the other mismatches; Synapse says M_BAD_JSON"},
	"probe_send_state_key_mismatch": {"M_INVALID_PARAM", "the specification's 400 for send_knock names M_INVALID_PARAM for a state_key that is not the sender; Synapse says M_BAD_JSON"},
}

// TestRefusalsAsSynapse replays the like of each captured refusal, in a room
// in the like state, signed by our own peer: status and errcode are Synapse's,
// or the case stands in synapseDiffers.
func TestRefusalsAsSynapse(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	v10, v12 := w.room("10", "knock"), w.room("12", "knock")
	banned := p.User("banned")
	w.state(v10, "m.room.member", string(banned), `{"membership":"ban"}`)
	send := func(edit func(map[string]any), room matrix.RoomID) *peer.Exchange {
		event, id := w.signed(t, p, v10, "sender", edit)
		return w.do(t, p, http.MethodPut, peer.SendTarget(room, id), event)
	}
	make := func(user matrix.UserID, room matrix.RoomID, versions ...string) *peer.Exchange {
		return w.do(t, p, http.MethodGet, peer.MakeTarget(room, user, versions), nil)
	}
	signedFor := func(target, signedTarget string, destination matrix.ServerName) *peer.Exchange {
		return w.send(t, p, http.MethodGet, target, nil, xmatrix.Header(p.Key(), p.Name(), destination, http.MethodGet, signedTarget, nil))
	}
	target := peer.MakeTarget(v10, p.User("a"), nil)
	plain := strings.NewReplacer("%21", "!", "%3A", ":", "%40", "@").Replace(target)
	like := map[string]func() *peer.Exchange{
		"b_err_banned":                func() *peer.Exchange { return make(banned, v10) },
		"b_err_invite_only":           func() *peer.Exchange { return make(p.User("a"), w.room("10", "invite")) },
		"b_err_unknown_room":          func() *peer.Exchange { return make(p.User("a"), matrix.RoomID("!nosuch:"+string(w.name))) },
		"probe_make_bad_sig":          func() *peer.Exchange { return signedFor(target, target+"x", w.name) },
		"probe_make_incompatible_v10": func() *peer.Exchange { return make(p.User("a"), v10, "1") },
		"probe_make_incompatible_v12": func() *peer.Exchange { return make(p.User("a"), v12, "1") },
		"probe_make_no_auth":          func() *peer.Exchange { return w.send(t, p, http.MethodGet, target, nil, "") },
		"probe_make_no_ver": func() *peer.Exchange {
			path, _, _ := strings.Cut(target, "?")
			return w.do(t, p, http.MethodGet, path, nil)
		},
		"probe_make_unencoded_target":  func() *peer.Exchange { return w.do(t, p, http.MethodGet, plain, nil) },
		"probe_make_wrong_destination": func() *peer.Exchange { return signedFor(target, target, "elsewhere.test") },
		"probe_send_membership_join": func() *peer.Exchange {
			return send(func(e map[string]any) { e["content"].(map[string]any)["membership"] = "join" }, v10)
		},
		"probe_send_not_json": func() *peer.Exchange {
			target := peer.SendTarget(v10, "$"+matrix.EventID(strings.Repeat("A", 43)))
			return w.send(t, p, http.MethodPut, target, []byte(`{"type":`), xmatrix.Header(p.Key(), p.Name(), w.name, http.MethodPut, target, []byte("{}")))
		},
		"probe_send_room_id_mismatch": func() *peer.Exchange {
			return send(func(e map[string]any) { e["room_id"] = "!other:" + string(w.name) }, v10)
		},
		"probe_send_state_key_mismatch": func() *peer.Exchange {
			return send(func(e map[string]any) { e["state_key"] = string(p.User("other")) }, v10)
		},
	}
	compared := 0
	for _, c := range loadCaptures(t) {
		if strings.HasPrefix(c.Case, "b_happy") {
			continue // TestKnockEveryRoomVersion
		}
		t.Run(c.Case, func(t *testing.T) {
			do, ok := like[c.Case]
			if !ok {
				t.Fatal("a captured case without its like here")
			}
			recorded := c.Exchanges[len(c.Exchanges)-1]
			body := recorded.ResponseBody
			wantCode := ""
			if recorded.ResponseStatus != 200 {
				wantCode = field(t, []byte(body), "errcode")
			}
			differs, listed := synapseDiffers[c.Case]
			if listed {
				if differs.errcode == wantCode {
					t.Errorf("listed as a difference, but Synapse says %s too: take it off the list", wantCode)
				}
				wantCode = differs.errcode
			}
			x := do()
			if code, message := x.Errcode(); x.Status != recorded.ResponseStatus || code != wantCode {
				t.Errorf("%d %s %q; Synapse: %d %s", x.Status, code, message, recorded.ResponseStatus, body)
			}
			compared++
		})
	}
	if compared < len(like) {
		t.Errorf("compared %d cases of %d", compared, len(like))
	}
}

// TestCapturedRequestsParse: every captured knock request parses to what
// Synapse understood, which its answers show, and every knock that Synapse
// signed passes the checks that need no room.
func TestCapturedRequestsParse(t *testing.T) {
	captures, keys := loadCaptures(t), captureKeys(t)
	makes, sends := 0, 0
	for _, c := range captures {
		version := ""
		for _, x := range c.Exchanges {
			method, target, _ := strings.Cut(x.RequestLine, " ")
			target, _, _ = strings.Cut(target, " ")
			path, query, _ := strings.Cut(target, "?")
			segments := strings.Split(path, "/")
			if len(segments) != 7 || !strings.HasSuffix(segments[4], "_knock") {
				continue
			}
			room, err := url.PathUnescape(segments[5])
			if err != nil {
				t.Fatal(err)
			}
			last, err := url.PathUnescape(segments[6])
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case method == http.MethodGet && query != "":
				makes++
				m, err := knock.ParseMake(room, last, query)
				if err != nil {
					t.Errorf("%s: %v", c.Case, err)
					continue
				}
				if got := strings.Count(query, "ver="); len(m.Versions) != got {
					t.Errorf("%s: %d versions of %d", c.Case, len(m.Versions), got)
				}
				if x.ResponseStatus != 200 {
					continue
				}
				version = field(t, []byte(x.ResponseBody), "room_version")
				event := parseTemplate(t, []byte(x.ResponseBody))
				if err := peer.CheckTemplate(event, pdu.Knock, m.Room, m.User); err != nil || !m.Supports(version) {
					t.Errorf("%s: Synapse understood something else: %v", c.Case, err)
				}
			case method == http.MethodPut && x.ResponseStatus == 200:
				sends++
				checkCapturedSend(t, c.Case, keys, version, room, last, x.RequestBody)
			}
		}
	}
	if makes < 10 || sends < 5 {
		t.Errorf("%d make_knock and %d send_knock requests found", makes, sends)
	}
}

func checkCapturedSend(t *testing.T, name string, keys captured, version, room, event, body string) {
	t.Helper()
	s, err := knock.ParseSend(pdu.Knock, room, event)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	v, ok := matrix.LookupRoomVersion(version)
	if !ok {
		t.Fatalf("%s: room version %q", name, version)
	}
	doc, err := canonicaljson.Parse([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	checker := knock.Checker{Keys: keys, Verify: serverkey.Verify}
	ev, err := checker.Check(context.Background(), s, doc, v, "b.test:28648")
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if reason, _ := ev.Content().Get("reason").Text(); reason != "please let me in" || !ev.ContentHashOK() {
		t.Errorf("%s: reason %q, content hash right %v", name, reason, ev.ContentHashOK())
	}
}

// captured is the keys that the captures give, valid at all times.
type captured map[matrix.KeyID]matrix.PublicKey

func (c captured) EventKey(_ context.Context, _ matrix.ServerName, id matrix.KeyID, _ int64) (matrix.PublicKey, error) {
	key, ok := c[id]
	if !ok {
		return key, errors.New("not among the captured keys")
	}
	return key, nil
}

func captureKeys(t *testing.T) captured {
	t.Helper()
	text, err := os.ReadFile("testdata/synapse-1.160.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Keys map[string]map[matrix.KeyID]string `json:"verify_keys"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	keys := captured{}
	for id, encoded := range file.Keys["b.test:28648"] {
		raw, err := base64.RawStdEncoding.DecodeString(encoded)
		if err != nil || len(raw) != 32 {
			t.Fatalf("key %s: %q", id, encoded)
		}
		keys[id] = matrix.PublicKey(raw)
	}
	return keys
}
