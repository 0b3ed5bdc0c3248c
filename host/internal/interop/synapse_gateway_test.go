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

// gated is a Synapse that a gateway stands before, one that others reach
// directly, and one whose user knocks on the rooms of both.
type gated struct {
	gate              *serve
	behind, direct, b *synapse
}

// startGated starts them. B has another address than the homes, so that a room can
// refuse its server alone.
func startGated(t *testing.T) *gated {
	t.Helper()
	root := synapseRoot(t)
	var federation, admin, knocker string
	for address, host := range map[*string]string{&federation: "127.0.0.1", &admin: "127.0.0.1", &knocker: "127.0.0.2"} {
		var err error
		if *address, err = freeAddressOf(host); err != nil {
			t.Fatal(err)
		}
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("none-yet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &gated{gate: startServe(t, fmt.Sprintf("[upstream]\nurl = \"http://%s\"\nfacts_max_age = \"1ms\"\n[upstream.admin]\nurl = \"http://%s\"\ntoken_file = %q\n", federation, admin, token))}
	trust := [][]byte{g.gate.certificate(t)}
	g.b = startSynapse(t, root, home{federation: knocker, trust: trust})
	g.behind = startSynapse(t, root, home{name: string(g.gate.name), federation: federation, client: admin, trust: trust})
	g.direct = startSynapse(t, root, home{})
	g.b.register(t, "bob")
	g.behind.registerAdmin(t, "alice")
	g.direct.registerAdmin(t, "alice")
	if err := os.WriteFile(token, []byte(g.behind.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestSynapseBehindGateway has a real Synapse, asked by a real client call, knock
// on rooms of another real Synapse that a gateway stands before: what the policies
// allow lands there with its reason, and what they refuse, and what that Synapse
// refuses, reaches the client as it was said. What the policies have no part in is
// the same as with a Synapse that no gateway stands before.
func TestSynapseBehindGateway(t *testing.T) {
	g := startGated(t)
	gate, a, b := g.gate, g.behind, g.b

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
	t.Run("denied", func(t *testing.T) {
		room := a.createRoom(t, "11", "knock")
		status, answer := b.knock(t, room, a.name, "")
		want := "Please knock again and write a reason: say who you are and why you would like to join."
		if status != http.StatusForbidden || answer["errcode"] != "M_FORBIDDEN" || answer["error"] != want {
			t.Errorf("%d %v, want 403 M_FORBIDDEN %q", status, answer, want)
		}
		if got := a.membership(t, room, b.user); got != "" {
			t.Errorf("the knocker in the room: %q", got)
		}
	})
	t.Run("refused", g.testRefused)
	t.Run("the end of a knock", g.testEnds)
	t.Run("retracted over federation", g.testRetracted)
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

// createRoom makes a room of the user's, with more state if there is any, and
// returns its ID.
func (s *synapse) createRoom(t *testing.T, version, joinRule string, state ...any) string {
	t.Helper()
	rules := map[string]any{"join_rule": joinRule}
	if strings.HasSuffix(joinRule, "restricted") {
		rules["allow"] = []any{}
	}
	status, answer, err := s.call(http.MethodPost, "/_matrix/client/v3/createRoom", map[string]any{
		"room_version": version, "name": "Room of version " + version, "preset": "private_chat",
		"initial_state": append(state, map[string]any{"type": "m.room.join_rules", "state_key": "", "content": rules}),
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

// membership returns the membership of a user in a room, "" for none.
func (s *synapse) membership(t *testing.T, room, user string) string {
	t.Helper()
	_, member := s.state(t, room, "m.room.member", user)
	membership, _ := member["membership"].(string)
	return membership
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
