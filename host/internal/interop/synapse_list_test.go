package interop

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSynapseList has a policy ask the list of a policy room of a real Synapse, which
// a bot there has joined: whom a new rule in it bans, in the clear, by a hash or by a
// glob, is refused at their next knock from another Synapse, and let in again when
// the rule is withdrawn. An administrator's token reads the same rules.
func TestSynapseList(t *testing.T) {
	root := synapseRoot(t)
	var addresses [4]string
	for i := range addresses {
		var err error
		if addresses[i], err = freeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	federation, client, pushes, knocker := addresses[0], addresses[1], addresses[2], addresses[3]
	tokens := t.TempDir()
	token := func(of, text string) string {
		t.Helper()
		path := filepath.Join(tokens, of)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	upstream := fmt.Sprintf("[upstream]\nurl = \"http://%s\"\n[upstream.appservice]\nlisten = %q\n", federation, pushes)
	gate := startServe(t, upstream)
	trust := [][]byte{gate.certificate(t)}
	registration, err := exec.Command(gate.program, "appservice", "--config", gate.config).Output()
	if err != nil {
		t.Fatalf("appservice: %v", err)
	}
	b := startSynapse(t, root, home{federation: knocker, trust: trust})
	b.register(t, "bob")
	a := startSynapse(t, root, home{name: string(gate.name), federation: federation, client: client, trust: trust, appservice: registration})
	a.registerAdmin(t, "alice")
	bot := &synapse{name: a.name, client: a.client}
	bot.register(t, "bot")
	rules, room := a.createRoom(t, "11", "invite"), a.createRoom(t, "11", "knock")
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(rules)
	a.mustCall(t, http.MethodPost, path+"/invite", map[string]any{"user_id": bot.user})
	bot.mustCall(t, http.MethodPost, path+"/join", map[string]any{})

	// The list and its policy come with the next start, as the room was not there
	// before the first.
	if err := gate.stop(); err != nil {
		t.Fatal(err)
	}
	module, err := filepath.Abs("../../testdata/asks_list.wasm")
	if err != nil {
		t.Fatal(err)
	}
	configure := func(api, tokenFile string) {
		t.Helper()
		err := gate.writeConfig(filepath.Dir(gate.config), upstream+fmt.Sprintf(`[upstream.%s]
url = "http://%s"
token_file = %q
[[list]]
name = "bad"
room = %q
[[policy]]
name = "lists"
module = %q
grants = ["lists"]
`, api, client, tokenFile, rules, module))
		if err != nil {
			t.Fatal(err)
		}
		if err := gate.run(); err != nil {
			t.Fatal(err)
		}
	}
	configure("bot", token("bot", bot.token))

	user := func(name string) *synapse {
		t.Helper()
		u := &synapse{name: b.name, client: b.client}
		u.register(t, name)
		return u
	}
	knock := func(u *synapse, want int) {
		t.Helper()
		if status, answer := u.knock(t, room, a.name, "hello"); status != want {
			t.Errorf("%s: %d %v, want %d", u.user, status, answer, want)
		}
	}
	rule := func(eventType, key string, content map[string]any, entries int) {
		t.Helper()
		a.mustCall(t, http.MethodPut, path+"/state/"+eventType+"/"+key, content)
		logged(t, gate, fmt.Sprintf("msg=\"list read\" list=bad entries=%d\n", entries))
	}
	knock(b, http.StatusOK)
	carol, dave, erin, frank := user("carol"), user("dave"), user("erin"), user("frank")
	rule("m.policy.rule.user", "1", map[string]any{"entity": carol.user, "recommendation": "m.ban", "reason": "spam"}, 1)
	knock(carol, http.StatusForbidden)
	knock(frank, http.StatusOK)
	hash := sha256.Sum256([]byte(dave.user))
	rule("m.policy.rule.user", "2", map[string]any{"hashes": map[string]any{"sha256": base64.StdEncoding.EncodeToString(hash[:])}, "recommendation": "org.matrix.msc4204.takedown"}, 2)
	knock(dave, http.StatusForbidden)
	rule("org.matrix.mjolnir.rule.user", "3", map[string]any{"entity": "@eri?:*", "recommendation": "org.matrix.mjolnir.ban"}, 3)
	knock(erin, http.StatusForbidden)

	// The last good copy serves the next start; the administrator's token has the rest.
	if err := gate.stop(); err != nil {
		t.Fatal(err)
	}
	configure("admin", token("admin", a.token))
	knock(carol, http.StatusForbidden)
	rule("m.policy.rule.user", "4", map[string]any{"entity": "@x:y.example", "recommendation": "m.ban"}, 4)
	rule("m.policy.rule.server", "5", map[string]any{"entity": "evil.example", "recommendation": "m.ban"}, 5)
	a.mustCall(t, http.MethodPut, path+"/state/m.policy.rule.user/1", map[string]any{})
	a.mustCall(t, http.MethodPut, path+"/state/m.policy.rule.server/6", map[string]any{"entity": "worse.example", "recommendation": "m.ban"})
	a.mustCall(t, http.MethodPut, path+"/state/m.policy.rule.server/7", map[string]any{"entity": "worst.example", "recommendation": "m.ban"})
	logged(t, gate, "msg=\"list read\" list=bad entries=6\n")
	knock(carol, http.StatusOK)
	knock(dave, http.StatusForbidden)
}
