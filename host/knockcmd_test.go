package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/policies"
)

// stockPolicies is a chain of the two policies written in Go.
const stockPolicies = `
[policies]
default = "allow"
[[policy]]
name = "servers"
module = "server_rules.wasm"
[policy.settings]
rules = [ { incompatible = "127.0.0.2", message = "Please upgrade" } ]
[[policy]]
name = "reasons"
module = "reason_rules.wasm"
[policy.settings]
required = true
`

func stockModules(t testing.TB) map[string][]byte {
	t.Helper()
	modules := map[string][]byte{}
	for _, name := range []string{"server_rules", "reason_rules"} {
		module, err := policies.FS.ReadFile(name + "/" + name + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		modules[name+".wasm"] = module
	}
	return modules
}

// TestKnockCommand runs the command as a person does, against a server with
// real policies, and holds the exit codes.
func TestKnockCommand(t *testing.T) {
	w := newWorld(t, stockPolicies, stockModules(t))
	room, v12 := string(w.room("11", "knock")), string(w.room("12", "knock"))
	invite := string(w.room("11", "invite"))
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"allowed", []string{"--reason", "hello", room}, exitOK, []string{"make_knock  GET", "Authorization: X-Matrix", "template:", "signed event $", "send_knock  PUT", "200 OK", "Allowed: @knocker:"}},
		{"allowed in a v12 room", []string{"--reason", "hello", "--server", string(w.name), v12}, exitOK, []string{"Allowed"}},
		{"denied by a policy", []string{"--user", "mute", room}, exitDenied, []string{"403 Forbidden", "Denied: Please knock again and write a reason"}},
		{"denied by the room", []string{"--reason", "hello", invite}, exitDenied, []string{"Denied: You don't have permission to knock"}},
		{"incompatible by a policy", []string{"--as", "127.0.0.2:0", "--reason", "hello", room}, exitIncompatible, []string{"400 Bad Request", "Version-incompatible: Please upgrade", `"room_version": "11"`}},
		{"incompatible by the versions offered", []string{"--ver", "9", "--ver", "10", "--reason", "hello", room}, exitIncompatible, []string{"ver=9&ver=10", "Version-incompatible"}},
		{"unknown room", []string{"!none:" + string(w.name)}, exitFailed, []string{"404 Not Found", "Failed: 404 M_NOT_FOUND"}},
		{"nobody listens", []string{"--server", "127.0.0.1:1", room}, exitFailed, []string{"no answer", "Failed:"}},
		{"repeated", []string{"--repeat", "3", "--user", "@many", "--reason", "hello", room}, exitOK, []string{"@many:", "@many-2:", "@many-3:"}},
		{"text does not reach the terminal raw", []string{"--reason", "a\x1b[31mb\u202ec", room}, exitOK, []string{`\u001b[31m`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs strings.Builder
			if code := runContext(context.Background(), append([]string{"knock"}, tt.args...), &out, &errs); code != tt.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.code, &out, &errs)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output does not say %q:\n%s", want, &out)
				}
			}
			if strings.ContainsAny(out.String(), "\x1b\u202e") {
				t.Errorf("control characters on the terminal: %q", out.String())
			}
		})
	}
}

// TestKnockJSON: a script reads one object a knock, with both exchanges.
func TestKnockJSON(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one thing after the other, in processes of its own or in one goroutine")
	}
	w := newWorld(t, stockPolicies, stockModules(t))
	room := string(w.room("11", "knock"))
	for _, tt := range []struct {
		reason, outcome string
		code            int
	}{{"hello", "allowed", exitOK}, {"", "denied", exitDenied}} {
		var out, errs strings.Builder
		if code := runContext(context.Background(), []string{"knock", "--json", "--repeat", "2", "--reason", tt.reason, room}, &out, &errs); code != tt.code {
			t.Errorf("exit code %d, want %d\n%s", code, tt.code, &errs)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 {
			t.Fatalf("%d lines, want 2:\n%s", len(lines), &out)
		}
		for _, line := range lines {
			var got struct {
				Outcome, Room_id, User_id, Event_id string
				Make_knock, Send_knock              struct {
					Method, Target string
					Status         int
					Answer         map[string]any
				}
			}
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if got.Outcome != tt.outcome || got.Room_id != room || got.Make_knock.Status != 200 || got.Send_knock.Method != "PUT" || got.Send_knock.Answer == nil {
				t.Errorf("%+v", got)
			}
		}
	}
}

// TestKnockTrust: a certificate counts unless the server is a loopback
// literal; --ca and --insecure say otherwise. "localhost" is a name, so the
// exception for literals does not hold for it.
func TestKnockTrust(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	room := string(w.room("11", "knock"))
	server := strings.Replace(string(w.name), "127.0.0.1", "localhost", 1)
	run := func(args ...string) (int, string) {
		var out strings.Builder
		code := runContext(context.Background(), append(append([]string{"knock", "--server", server}, args...), room), &out, &out)
		return code, out.String()
	}
	if code, out := run(); code != exitFailed || !strings.Contains(out, "certificate") {
		t.Errorf("an untrusted certificate: exit code %d\n%s", code, out)
	}
	// Signed for another destination than the server's name, the request is
	// refused once the connection is trusted.
	if code, out := run("--insecure"); code != exitFailed || !strings.Contains(out, "401") {
		t.Errorf("--insecure: exit code %d\n%s", code, out)
	}
	bad := filepath.Join(t.TempDir(), "bad.pem")
	if err := os.WriteFile(bad, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := run("--ca", bad); code != exitFailed || !strings.Contains(out, "--ca "+bad) {
		t.Errorf("--ca with no certificate in it: exit code %d\n%s", code, out)
	}
}

// TestRoomCommands: a room made while the server runs is found at once.
func TestRoomCommands(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	var out, errs strings.Builder
	args := []string{"room", "create", "--config", w.cfg.Path, "--version", "12", "--name", "Reading circle", "--alias", "reading", "--join-rule", "knock_restricted"}
	if code := runContext(context.Background(), args, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &errs)
	}
	room := strings.TrimSpace(out.String())
	out.Reset()
	if code := runContext(context.Background(), []string{"knock", "--server", string(w.name), room}, &out, &errs); code != exitOK {
		t.Errorf("a knock on the new room: exit code %d\n%s", code, &out)
	}
	out.Reset()
	if code := runContext(context.Background(), []string{"room", "list", "--config", w.cfg.Path}, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &errs)
	}
	for _, want := range []string{room, "#reading:" + string(w.name), "12", "knock_restricted", "Reading circle"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("room list does not say %q:\n%s", want, &out)
		}
	}
	for _, bad := range [][]string{{"--version", "9", "--join-rule", "knock_restricted"}, {"--join-rule", "nope"}} {
		errs.Reset()
		if code := runContext(context.Background(), append([]string{"room", "create", "--config", w.cfg.Path}, bad...), &out, &errs); code != exitFailed || !strings.Contains(errs.String(), bad[len(bad)-1]) {
			t.Errorf("%v: exit code %d\n%s", bad, code, &errs)
		}
	}
}

// TestRoomBeforeServe: a command that looks does not make a server.
func TestRoomBeforeServe(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte("server_name = \"a.example\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if code := runContext(context.Background(), []string{"room", "create", "--config", path}, &out, &out); code != exitFailed || !strings.Contains(out.String(), "serve") {
		t.Errorf("exit code %d\n%s", code, &out)
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		t.Error("a state folder was made")
	}
}

// TestServe runs the command itself: what it prints is what a newcomer needs,
// and a second start finds what the first made.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.toml")
	ln := freeAddress(t)
	text := "server_name = \"" + ln + "\"\n[listen]\nfederation = \"" + ln + "\"\n" + testFederation + "[[room]]\nalias = \"#lobby\"\n" + allowAll
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var rooms []string
	for _, made := range []bool{true, false} {
		out := &logBuffer{}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan int, 1)
		go func() { done <- runContext(ctx, []string{"serve", "--config", path}, out, out) }()
		waitFor(t, "the command to try", func() bool { return strings.Contains(out.String(), "To knock, in a second terminal:") })
		said := out.String()
		if got := strings.Contains(said, "made "); got != made {
			t.Errorf("something made = %v, want %v:\n%s", got, made, said)
		}
		_, command, _ := strings.Cut(said, "To knock, in a second terminal:\n")
		command, _, _ = strings.Cut(strings.TrimSpace(command), "\n")
		args := fields(command)
		var knocked strings.Builder
		if code := runContext(context.Background(), args[slices.Index(args, "knock"):], &knocked, &knocked); code != exitOK {
			t.Errorf("%q: exit code %d\n%s", command, code, &knocked)
		}
		rooms = append(rooms, args[len(args)-1])
		cancel()
		if code := <-done; code != exitOK {
			t.Errorf("serve: exit code %d\n%s", code, out)
		}
	}
	if rooms[0] != rooms[1] {
		t.Errorf("the lobby was %s, and is %s after a restart", rooms[0], rooms[1])
	}
}
