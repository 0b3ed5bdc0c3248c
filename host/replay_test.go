package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/store"
)

const replayPolicies = `
[policies]
watch = false
[[list]]
name = "bad"
file = "policies/bad.txt"
[[policy]]
name = "counter"
module = "kv_counter.wasm"
phases = ["make_knock"]
grants = ["kv"]
[[policy]]
name = "calls"
module = "host_calls.wasm"
phases = ["send_knock"]
grants = ["kv", "lists"]
`

// TestReplayCommand: decisions of policies that count, ask lists and draw
// random numbers are stored, and judged again byte for byte, whatever has
// become of the counters and lists.
func TestReplayCommand(t *testing.T) {
	modules := map[string][]byte{"bad.txt": []byte(".evil.example\n")}
	for _, name := range []string{"kv_counter.wasm", "host_calls.wasm"} {
		b, err := os.ReadFile(filepath.Join("..", "plugins", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		modules[name] = b
	}
	w := newWorld(t, replayPolicies, modules)
	p := w.peer()
	room := w.room("11", "knock")
	for i, user := range []string{"a", "b", "c"} {
		k := w.knock(p, user, room)
		k.Reason = "r\nn\nin\npx|" + user + "\ngx\nlbad|a.EVIL.example\nlbad|good.example\nlnone|x"
		if _, err := p.Knock(context.Background(), k); err != nil {
			t.Fatalf("knock %d: %v", i, err)
		}
	}
	if err := w.store.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	stored, err := w.store.Decisions(context.Background(), store.DecisionFilter{})
	if err != nil || len(stored) != 5 || stored[0].Verdict != "deny" {
		t.Fatalf("%d decisions, err %v; want two knocks of two phases and a denied one", len(stored), err)
	}

	if err := os.WriteFile(filepath.Join(w.dir, "policies", "bad.txt"), []byte("good.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.lists.Reload()
	if has, _ := w.lists.Has([]byte("bad"), []byte("good.example")); !has {
		t.Error("the list is not what its file is")
	}
	path := filepath.Join(w.dir, "config.toml")
	replay := func(id string, want int, words ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		code := run([]string{"replay", id, "--config", path}, &out, &errs)
		for _, word := range words {
			if !strings.Contains(out.String()+errs.String(), word) {
				t.Errorf("replay of %s does not say %q", id, word)
			}
		}
		if code != want {
			t.Errorf("replay of %s: exit code %d, want %d", id, code, want)
		}
		if t.Failed() {
			t.Logf("%s%s", &out, &errs)
		}
	}
	for _, d := range stored {
		replay(d.RequestID, 0, "the same as it was")
	}
	replay(stored[0].RequestID, 0, `kv_incr("knocks", 1, ttl_ms 60000) = 3`, "verdict   deny, by counter")
	replay(stored[1].RequestID, 0, `list_has("bad", "a.EVIL.example") = 1`, `kv_get("x") = 1 "b"`)
	replay("nobody", 1, `no decision has the request ID "nobody"`)

	// The same module under another policy's name is another policy.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte("kv_counter.wasm"), []byte("host_calls.wasm"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	replay(stored[0].RequestID, 1, `policy counter`, `imports "knock_v1.list_has", which needs the capability "lists"`)
	changed := bytes.Replace(text, []byte(`phases = ["make_knock"]`), []byte(`phases = ["send_knock"]`), 1)
	if err := os.WriteFile(path, append(changed, "[decisions]\nkeep_facts = false\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	replay(stored[0].RequestID, 2, "another outcome", "policy counter: was asked, is not asked")
}
