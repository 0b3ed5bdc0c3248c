package interop

import (
	"bytes"
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

// TestSynapseAppservice has a real Synapse push its events to the gateway before
// it, with the registration that the gateway prints. Knocks that came round the
// policies are listed, and one that came through them is not; what the policies are
// told of a room is as its last push left it.
func TestSynapseAppservice(t *testing.T) {
	root := synapseRoot(t)
	var addresses [4]string
	for i := range addresses {
		var err error
		if addresses[i], err = freeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	federation, client, pushes, knocker := addresses[0], addresses[1], addresses[2], addresses[3]
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("none-yet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gate := startServe(t, fmt.Sprintf("[upstream]\nurl = \"http://%s\"\nfacts_max_age = \"1h\"\n[upstream.admin]\nurl = \"http://%s\"\ntoken_file = %q\n[upstream.appservice]\nlisten = %q\n",
		federation, client, token, pushes))
	registration, err := exec.Command(gate.program, "appservice", "--config", gate.config).Output()
	if err != nil {
		t.Fatalf("appservice: %v", err)
	}
	trust := [][]byte{gate.certificate(t)}
	b := startSynapse(t, root, home{federation: knocker, trust: trust})
	b.register(t, "bob")
	a := startSynapse(t, root, home{name: string(gate.name), federation: federation, client: client, trust: trust, appservice: registration})
	a.registerAdmin(t, "alice")
	if err := os.WriteFile(token, []byte(a.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	// A gateway that is started anew has Synapse ping it.
	if err := gate.stop(); err != nil {
		t.Fatal(err)
	}
	if err := gate.run(); err != nil {
		t.Fatal(err)
	}
	logged(t, gate, "the homeserver reaches this server as its application service")

	room := a.createRoom(t, "11", "knock")
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(room)
	// through has b's user knock, by way of the gateway, and returns the event's ID.
	through := func(name string) string {
		t.Helper()
		if status, answer := b.knock(t, room, a.name, "hello"); status != http.StatusOK {
			t.Fatalf("knock: %d %v", status, answer)
		}
		id := a.memberEvent(t, room, b.user)
		d := listed(t, gate, id)
		if d.Verdict != "allow" || d.Detail.Facts.Room.Name != name {
			t.Errorf("the verdict is %q and the policies were told the name %q, want allow and %q", d.Verdict, d.Detail.Facts.Room.Name, name)
		}
		return id
	}
	own := func(name string) *synapse {
		t.Helper()
		user := &synapse{name: a.name, client: a.client}
		user.register(t, name)
		if status, answer := user.knock(t, room, a.name, "from within"); status != http.StatusOK {
			t.Fatalf("the knock of an own user: %d %v", status, answer)
		}
		if k := listed(t, gate, a.memberEvent(t, room, user.user), "--undecided"); k.Kind != "own_user" || k.User != user.user || k.Room != room {
			t.Errorf("the knock of an own user is listed as %+v", k)
		}
		return user
	}
	ours := []string{through("Room of version 11")}
	a.mustCall(t, http.MethodPut, path+"/state/m.room.name/", map[string]any{"name": "Renamed"})
	carol := own("carol") // once it is listed, all from before has been pushed
	ours = append(ours, through("Renamed"))

	// Once b is in the room, its users knock without asking a: it comes in by /send.
	a.mustCall(t, http.MethodPost, path+"/invite", map[string]any{"user_id": b.user})
	b.mustCall(t, http.MethodPost, "/_matrix/client/v3/join/"+url.PathEscape(room)+"?server_name="+url.QueryEscape(a.name)+"&via="+url.QueryEscape(a.name), map[string]any{})
	dave := &synapse{name: b.name, client: b.client}
	dave.register(t, "dave")
	if status, answer := dave.knock(t, room, a.name, "from a server in the room"); status != http.StatusOK {
		t.Fatalf("the knock of a server in the room: %d %v", status, answer)
	}
	if k := listed(t, gate, b.memberEventAsMember(t, room, dave.user), "--undecided"); k.Kind != "other_server" || k.User != dave.user || k.Room != room {
		t.Errorf("the knock of a server in the room is listed as %+v", k)
	}

	// A room elsewhere: its server decides, and a is only told of the outcome.
	elsewhere := b.createRoom(t, "11", "knock")
	if status, answer := carol.knock(t, elsewhere, b.name, "to a room elsewhere"); status != http.StatusOK {
		t.Fatalf("the knock on a room elsewhere: %d %v", status, answer)
	}
	outbound := b.memberEventAsMember(t, elsewhere, carol.user)
	own("erin") // once it is listed, all from before has been pushed
	if k, ok := find(t, gate, outbound, "--undecided"); !ok || k.Kind != "own_user" {
		t.Errorf("the knock of an own user on a room elsewhere: %+v, listed %v", k, ok)
	}
	for _, id := range ours {
		if k, ok := find(t, gate, id, "--undecided"); ok {
			t.Errorf("a knock through the gateway is listed as undecided: %+v", k)
		}
	}
}

// logged waits until the log of a gateway holds a text.
func logged(t *testing.T, gate *serve, text string) {
	t.Helper()
	for end := time.Now().Add(startTime); !strings.Contains(string(gate.log()), text); {
		if time.Now().After(end) {
			t.Fatalf("not in the log: %q", text)
		}
		time.Sleep(50 * time.Millisecond) // until the log says so
	}
}

// mustCall makes a request of the client API that has to succeed.
func (s *synapse) mustCall(t *testing.T, method, path string, body any) {
	t.Helper()
	if status, answer, err := s.call(method, path, body); err != nil || status != http.StatusOK {
		t.Fatalf("%s %s: %d %v %v", method, path, status, answer, err)
	}
}

// memberEvent returns the ID of a user's member event, as an administrator is told.
func (s *synapse) memberEvent(t *testing.T, room, user string) string {
	t.Helper()
	status, answer, err := s.call(http.MethodGet, "/_synapse/admin/v1/rooms/"+url.PathEscape(room)+"/state?type=m.room.member", nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("state: %d %v %v", status, answer, err)
	}
	return memberIn(t, answer["state"], user)
}

// memberEventAsMember returns the same, as a member is told.
func (s *synapse) memberEventAsMember(t *testing.T, room, user string) string {
	t.Helper()
	status, answer, err := s.call(http.MethodGet, "/_matrix/client/v3/rooms/"+url.PathEscape(room)+"/members", nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("members: %d %v %v", status, answer, err)
	}
	return memberIn(t, answer["chunk"], user)
}

func memberIn(t *testing.T, events any, user string) string {
	t.Helper()
	list, _ := events.([]any)
	for _, e := range list {
		if e, _ := e.(map[string]any); e["type"] == "m.room.member" && e["state_key"] == user {
			if id, ok := e["event_id"].(string); ok {
				return id
			}
		}
	}
	t.Fatalf("%s is no member in %v", user, events)
	return ""
}

// line is a part of what "decisions --json" prints, with --undecided and without.
type line struct {
	decision
	Kind  string
	User  string `json:"user_id"`
	Event string `json:"event_id"`
}

// find returns what "decisions" lists of an event.
func find(t *testing.T, gate *serve, event string, args ...string) (line, bool) {
	t.Helper()
	out, err := exec.Command(gate.program, append([]string{"decisions", "--config", gate.config, "--json"}, args...)...).Output()
	if err != nil {
		t.Fatalf("decisions: %v", err)
	}
	for lines := json.NewDecoder(bytes.NewReader(out)); ; {
		var l line
		if err := lines.Decode(&l); err == io.EOF {
			return l, false
		} else if err != nil {
			t.Fatalf("decisions: %v\n%s", err, out)
		}
		if l.Event == event {
			return l, true
		}
	}
}

// listed returns what "decisions" lists of an event, once it does.
func listed(t *testing.T, gate *serve, event string, args ...string) line {
	t.Helper()
	for end := time.Now().Add(startTime); ; {
		if l, ok := find(t, gate, event, args...); ok {
			return l
		}
		if time.Now().After(end) {
			t.Fatalf("%s is not listed by decisions %v", event, args)
		}
		time.Sleep(50 * time.Millisecond) // until it is pushed, or stored
	}
}
