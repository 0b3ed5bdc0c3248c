package interop

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSynapseBehindGateway has a real Synapse, asked by a real client call, knock
// on rooms of another real Synapse that a gateway stands before: what the policies
// allow lands there with its reason, and what they refuse, and what that Synapse
// refuses, reaches the client as it was said.
func TestSynapseBehindGateway(t *testing.T) {
	root := synapseRoot(t)
	federation, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("none-yet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	admin, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	gate := startServe(t, fmt.Sprintf("[upstream]\nurl = \"http://%s\"\nfacts_max_age = \"1ms\"\n[upstream.admin]\nurl = \"http://%s\"\ntoken_file = %q\n", federation, admin, token))
	b := startSynapse(t, root, gate.certificate(t))
	a := startSynapseAt(t, root, string(gate.name), federation, admin, b.cert, gate.certificate(t))
	a.registerAdmin(t, "alice")
	if err := os.WriteFile(token, []byte(a.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	knocks := func(version, rule string) func(*testing.T) {
		return func(t *testing.T) {
			room := a.createRoom(t, version, rule)
			const reason = "a reason \u2028 \U0001F6AA"
			if status, answer := b.knock(t, room, a.name, reason); status != http.StatusOK || answer["room_id"] != room {
				t.Fatalf("knock: %d %v", status, answer)
			}
			status, member := a.state(t, room, "m.room.member", b.user)
			if status != http.StatusOK || member["membership"] != "knock" || member["reason"] != reason {
				t.Errorf("the knocker in the room: %d %v, want a knock with the reason", status, member)
			}
			if state := b.knocked(t, room); state["m.room.name"]["name"] != "Room of version "+version {
				t.Errorf("the client is shown %v", state)
			}
			d := gate.decision(t, "send_knock", room)
			if d.Verdict != "allow" || d.Status != http.StatusOK {
				t.Errorf("the decision is %+v", d)
			}
			told := d.Detail.Facts
			if !told.Room.Known || told.RoomVersion != version || told.Room.Name != "Room of version "+version || told.Room.JoinRule != rule || told.Room.Members != 1 {
				t.Errorf("the policies were told %+v", told)
			}
		}
	}
	for _, version := range versions {
		t.Run("allowed in version "+string(version), knocks(string(version), "knock"))
	}
	t.Run("knock_restricted", knocks("10", "knock_restricted"))

	refused := func(room, reason string, status int, code, message string) func(*testing.T) {
		return func(t *testing.T) {
			got, answer := b.knock(t, room, a.name, reason)
			if got != status || answer["errcode"] != code || message != "" && answer["error"] != message {
				t.Errorf("%d %v, want %d %s %q", got, answer, status, code, message)
			}
			if got, member := a.state(t, room, "m.room.member", b.user); got == http.StatusOK && member["membership"] == "knock" {
				t.Errorf("the knocker in the room: %v", member)
			}
		}
	}
	t.Run("denied", refused(a.createRoom(t, "11", "knock"), "", 403, "M_FORBIDDEN",
		"Please knock again and write a reason: say who you are and why you would like to join."))
	t.Run("invite only", refused(a.createRoom(t, "11", "invite"), "hello", 403, "M_FORBIDDEN", "You don't have permission to knock"))
	banned := a.createRoom(t, "11", "knock")
	if status, answer, err := a.call(http.MethodPost, "/_matrix/client/v3/rooms/"+url.PathEscape(banned)+"/ban", map[string]any{"user_id": b.user}); err != nil || status != 200 {
		t.Fatalf("ban: %d %v %v", status, answer, err)
	}
	t.Run("banned", refused(banned, "hello", 403, "M_FORBIDDEN", "You are banned from this room"))
	// The client of B hears of a 404 only that no server could help.
	t.Run("unknown room", refused("!unknown:"+a.name, "hello", 502, "M_UNKNOWN", ""))

	// To take a knock back is left out: Synapse 1.160 does it on its own side alone,
	// and sends no make_leave.
	t.Run("declined, then accepted", func(t *testing.T) {
		room := a.createRoom(t, "11", "knock")
		member := func() any { _, m := a.state(t, room, "m.room.member", b.user); return m["membership"] }
		do := func(action string) {
			t.Helper()
			if status, answer, err := a.call(http.MethodPost, "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/"+action, map[string]any{"user_id": b.user}); err != nil || status != 200 {
				t.Fatalf("%s: %d %v %v", action, status, answer, err)
			}
		}
		knock := func() {
			t.Helper()
			if status, answer := b.knock(t, room, a.name, "hello"); status != http.StatusOK || member() != "knock" {
				t.Fatalf("knock: %d %v, the membership is %v", status, answer, member())
			}
		}
		knock()
		do("kick")
		if got := member(); got != "leave" {
			t.Errorf("after a decline: %v", got)
		}
		knock()
		do("invite")
		if status, answer, err := b.call(http.MethodPost, "/_matrix/client/v3/join/"+url.PathEscape(room)+"?server_name="+url.QueryEscape(a.name)+"&via="+url.QueryEscape(a.name), map[string]any{}); err != nil || status != 200 {
			t.Fatalf("join: %d %v %v", status, answer, err)
		}
		if got := member(); got != "join" {
			t.Errorf("after an invite and a join: %v", got)
		}
	})
	t.Run("incompatible", func(t *testing.T) {
		room := a.createRoom(t, "9", "knock")
		gate.addPolicy(t, room, `rules = [ { incompatible = ["*"], message = "Please upgrade your homeserver" } ]`)
		status, answer := b.knock(t, room, a.name, "let me in")
		if status != http.StatusBadRequest || answer["errcode"] != "M_INCOMPATIBLE_ROOM_VERSION" ||
			answer["error"] != "Please upgrade your homeserver" || answer["room_version"] != "9" {
			t.Errorf("%d %v; want 400 M_INCOMPATIBLE_ROOM_VERSION with the policy's words and version 9", status, answer)
		}
	})
}

// registerAdmin makes an administrator as soon as Synapse answers.
func (s *synapse) registerAdmin(t *testing.T, name string) {
	t.Helper()
	var nonce string
	for end := time.Now().Add(startTime); ; {
		_, answer, err := s.call(http.MethodGet, "/_synapse/admin/v1/register", nil)
		if err == nil {
			nonce, _ = answer["nonce"].(string)
			break
		}
		if time.Now().After(end) {
			t.Fatalf("Synapse did not answer within %v: %v", startTime, err)
		}
		time.Sleep(100 * time.Millisecond) // until it listens
	}
	password := rand.Text()
	mac := hmac.New(sha1.New, []byte(s.secret))
	fmt.Fprintf(mac, "%s\x00%s\x00%s\x00admin", nonce, name, password)
	status, answer, err := s.call(http.MethodPost, "/_synapse/admin/v1/register", map[string]any{
		"nonce": nonce, "username": name, "password": password, "admin": true, "mac": hex.EncodeToString(mac.Sum(nil)),
	})
	if err != nil || status != http.StatusOK {
		t.Fatalf("register an administrator: %d %v %v", status, answer, err)
	}
	s.user, _ = answer["user_id"].(string)
	s.token, _ = answer["access_token"].(string)
}

// createRoom makes a room of the user's and returns its ID.
func (s *synapse) createRoom(t *testing.T, version, joinRule string) string {
	t.Helper()
	rules := map[string]any{"join_rule": joinRule}
	if strings.HasSuffix(joinRule, "restricted") {
		rules["allow"] = []any{}
	}
	status, answer, err := s.call(http.MethodPost, "/_matrix/client/v3/createRoom", map[string]any{
		"room_version": version, "name": "Room of version " + version, "preset": "private_chat",
		"initial_state": []any{map[string]any{"type": "m.room.join_rules", "state_key": "", "content": rules}},
	})
	room, ok := answer["room_id"].(string)
	if err != nil || status != http.StatusOK || !ok {
		t.Fatalf("createRoom: %d %v %v", status, answer, err)
	}
	return room
}

// state returns the content of a state event.
func (s *synapse) state(t *testing.T, room, eventType, key string) (int, map[string]any) {
	t.Helper()
	status, content, err := s.call(http.MethodGet, "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/state/"+eventType+"/"+url.PathEscape(key), nil)
	if err != nil {
		t.Fatal(err)
	}
	return status, content
}

// decision is a part of what "decisions --json" prints.
type decision struct {
	Phase, Verdict string
	Room           string `json:"room_id"`
	Status         int
	Detail         struct {
		Facts struct {
			RoomVersion string `json:"room_version"`
			Room        struct {
				Known    bool
				Name     string
				JoinRule string `json:"join_rule"`
				Members  int
			}
		}
	}
}

// decision returns the last decision of a phase on a room, once it is stored.
func (s *serve) decision(t *testing.T, phase, room string) decision {
	t.Helper()
	for end := time.Now().Add(startTime); ; {
		out, err := exec.Command(s.program, "decisions", "--config", s.config, "--json", "--last", "20").Output()
		if err != nil {
			t.Fatalf("decisions: %v", err)
		}
		for lines := json.NewDecoder(bytes.NewReader(out)); ; {
			var d decision
			if err := lines.Decode(&d); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("decisions: %v\n%s", err, out)
			}
			if d.Phase == phase && d.Room == room {
				return d
			}
		}
		if time.Now().After(end) {
			t.Fatalf("no decision on %s in\n%s", room, out)
		}
		time.Sleep(20 * time.Millisecond) // until it is stored
	}
}
