package interop

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSynapseKnocks has a real Synapse, asked by a real client call, knock on
// rooms that serve keeps: it takes the template, the answer and the room's
// state, and its client is shown the room's name. What a policy says to a
// knocker reaches that client as written.
func TestSynapseKnocks(t *testing.T) {
	root := synapseRoot(t)
	serve := startServe(t)
	b := startSynapse(t, root, home{trust: [][]byte{serve.certificate(t)}})
	b.register(t, "bob")
	for _, version := range versions {
		t.Run("allowed in version "+string(version), func(t *testing.T) {
			room := serve.createRoom(t, string(version))
			if status, answer := b.knock(t, room, string(serve.name), "a reason \u2028 \U0001F6AA"); status != http.StatusOK || answer["room_id"] != room {
				t.Fatalf("knock: %d %v", status, answer)
			}
			state := b.knocked(t, room)
			if got, want := state["m.room.name"]["name"], "Room of version "+string(version); got != want {
				t.Errorf("the client is shown the name %q, want %q; state %v", got, want, state)
			}
			if got := state["m.room.create"]["room_version"]; got != string(version) {
				t.Errorf("the client is shown the version %q, want %q", got, version)
			}
		})
	}
	t.Run("denied", func(t *testing.T) {
		status, answer := b.knock(t, serve.createRoom(t, "11"), string(serve.name), "")
		want := "Please knock again and write a reason: say who you are and why you would like to join."
		if status != http.StatusForbidden || answer["errcode"] != "M_FORBIDDEN" || answer["error"] != want {
			t.Errorf("%d %v; want 403 M_FORBIDDEN %q", status, answer, want)
		}
	})
	t.Run("invite only", func(t *testing.T) {
		status, answer := b.knock(t, serve.createRoomWith(t, "11", "invite"), string(serve.name), "let me in")
		if status != http.StatusForbidden || answer["errcode"] != "M_FORBIDDEN" {
			t.Errorf("%d %v; want 403 M_FORBIDDEN", status, answer)
		}
	})
	t.Run("incompatible", func(t *testing.T) {
		room := serve.createRoom(t, "11")
		serve.addPolicy(t, room, `rules = [ { incompatible = ["*"], message = "Please upgrade your homeserver" } ]`)
		status, answer := b.knock(t, room, string(serve.name), "let me in")
		if status != http.StatusBadRequest || answer["errcode"] != "M_INCOMPATIBLE_ROOM_VERSION" ||
			answer["error"] != "Please upgrade your homeserver" || answer["room_version"] != "11" {
			t.Errorf("%d %v; want 400 M_INCOMPATIBLE_ROOM_VERSION with the policy's words and version 11", status, answer)
		}
	})
}

// startServe runs a serve of its own for a test.
func startServe(t *testing.T, extra ...string) *serve {
	t.Helper()
	s, err := start(resident.program, t.TempDir(), extra...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the log of serve:\n%s", s.log())
		}
	})
	return s
}

// certificate returns the certificate that serve made for itself, as PEM.
func (s *serve) certificate(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(s.config), "state", "tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// addPolicy puts a policy for one room at the head of the running chain, as an
// operator would: in the configuration, and then SIGHUP.
func (s *serve) addPolicy(t *testing.T, room, settings string) {
	t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	const first = "[[policy]]"
	before, after, _ := strings.Cut(string(text), first)
	policy := fmt.Sprintf("[[policy]]\nname = \"added\"\nmodule = \"server_rules/server_rules.wasm\"\nrooms = [%q]\n[policy.settings]\n%s\n\n", room, settings)
	if err := os.WriteFile(s.config, []byte(before+policy+first+after), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.process.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(startTime); !strings.Contains(string(s.log()), "policies swapped"); {
		if time.Now().After(end) {
			t.Fatalf("serve did not swap its policies within %v", startTime)
		}
		time.Sleep(50 * time.Millisecond) // until the log says so
	}
}
