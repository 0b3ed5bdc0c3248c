package interop

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// compareWith names the variable that asks for TestSynapseCompare.
const compareWith = "KNOCKGATE_COMPARE"

// TestSynapseCompare measures make_knocks, in one run and by turns, in a room of
// 1,000 state events: of a Synapse alone; of one that a Python module tells whom to
// refuse, by server or by user; and of one behind the gateway, with a policy that
// refuses the same. It prints a table.
//
// Before the Synapses that are asked directly stands something that does nothing but
// end TLS, as a proxy would, so that all three do the same for a connection.
func TestSynapseCompare(t *testing.T) {
	if os.Getenv(compareWith) == "" {
		t.Skip(compareWith + " is not set; the comparison takes five minutes, most of them to make the rooms")
	}
	root := synapseRoot(t)
	var address [3]string
	for i := range address {
		var err error
		if address[i], err = freeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	gate := startServe(t, fmt.Sprintf("[upstream]\nurl = \"http://%s\"\n[[policy]]\nname = \"rules\"\nmodule = %q\n[policy.settings]\nservers = [\"127.0.0.2\"]\nusers = [\"@spam*\"]\n", address[0], buildRules(t)))
	behind := startSynapse(t, root, home{name: string(gate.name), federation: address[0]})
	module := startSynapse(t, root, home{name: address[2], federation: address[1], code: []string{"testdata/rules/knock_rules.py"}, modules: []any{
		map[string]any{"module": "knock_rules.KnockRules", "config": map[string]any{"servers": []string{"127.0.0.2"}, "users": []string{"@spam*"}}},
	}})
	var state []any
	for i := range 1000 {
		state = append(state, map[string]any{"type": "test.state", "state_key": fmt.Sprint(i), "content": map[string]any{"number": i}})
	}
	rooms := map[*synapse]string{}
	for _, s := range []*synapse{behind, module} {
		s.registerAdmin(t, "alice")
		rooms[s] = s.createRoom(t, "11", "knock", state...)
	}
	alone, withModule := endTLS(t, "127.0.0.1:0", address[0]), endTLS(t, address[2], address[1])
	welcome, denied := startOurs(t, "127.0.0.1"), startOurs(t, "127.0.0.2")

	lines := []*compared{
		{what: "Synapse alone, allowed", synapse: behind, status: 200, each: 60, asks: asks{welcome, behind.name, alone, "", "ada"}},
		{what: "Synapse with the module, allowed", synapse: module, status: 200, each: 60, asks: asks{welcome, module.name, withModule, "", "ada"}},
		{what: "Synapse with the module, denied by server", synapse: module, status: 403, each: 60, asks: asks{denied, module.name, withModule, "", "ada"}},
		{what: "Synapse with the module, denied by user", synapse: module, status: 403, each: 60, asks: asks{welcome, module.name, withModule, "", "spam"}},
		{what: "behind Knockgate, allowed", synapse: behind, status: 200, each: 60, asks: asks{welcome, behind.name, behind.name, "", "ada"}},
		{what: "behind Knockgate, denied by server", synapse: behind, status: 403, each: 500, asks: asks{denied, behind.name, behind.name, "", "ada"}},
		{what: "behind Knockgate, denied by user", synapse: behind, status: 403, each: 500, asks: asks{welcome, behind.name, behind.name, "", "spam"}},
	}
	const turns, parallel = 6, 8
	for turn := range turns {
		for _, c := range lines {
			c.room = rooms[c.synapse]
			before, used, ours := c.synapse.requests(t), processorTime(t, c.synapse.process), processorTime(t, gate.process.Process.Pid)
			took := flood(t, c.asks, turn*c.each, c.each, parallel, c.status)
			if t.Failed() {
				t.Fatalf("%s", c.what)
			}
			if turn == 0 {
				continue // keys are fetched, caches filled
			}
			c.n += c.each
			c.took += took
			c.synapseCPU += processorTime(t, c.synapse.process) - used
			c.gateCPU += processorTime(t, gate.process.Process.Pid) - ours
			c.reached += c.synapse.requests(t) - before
		}
	}
	var table strings.Builder
	for _, c := range lines {
		want := c.n
		if c.asks.address == behind.name && c.status == http.StatusForbidden {
			want = 0
		}
		if c.reached != want {
			t.Errorf("%s: %d of %d requests reached Synapse, want %d", c.what, c.reached, c.n, want)
		}
		each := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(c.n) }
		fmt.Fprintf(&table, "| %s | %.0f | %.2f | %.2f |\n", c.what, float64(c.n)/c.took.Seconds(), each(c.synapseCPU), each(c.gateCPU))
	}
	t.Logf("%d in parallel, %d turns\n| | requests/s | Synapse, CPU ms each | Knockgate, CPU ms each |\n|---|---|---|---|\n%s", parallel, turns-1, table.String())
}

// compared is a line of the table.
type compared struct {
	what    string
	synapse *synapse
	asks
	status, each int

	n, reached                int
	took, synapseCPU, gateCPU time.Duration
}

// buildRules builds the comparison's policy and returns the module's path.
func buildRules(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", path, "./testdata/rules")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "GOEXPERIMENT=") })
	cmd.Env = append(cmd.Env, "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	return path
}

// endTLS listens with TLS and hands the bytes of each connection to an address, both
// ways. It returns where it listens.
func endTLS(t *testing.T, address, to string) string {
	t.Helper()
	ln, err := tls.Listen("tcp", address, &tls.Config{Certificates: []tls.Certificate{synapseCertificate(t)}})
	if err != nil {
		t.Fatal(err)
	}
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // closed
			}
			connections.Go(func() {
				defer conn.Close()
				behind, err := net.Dial("tcp", to)
				if err != nil {
					t.Errorf("behind TLS: %v", err)
					return
				}
				connections.Go(func() {
					_, _ = io.Copy(behind, conn) // until either side closes
					behind.Close()
				})
				_, _ = io.Copy(conn, behind)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		connections.Wait()
	})
	return ln.Addr().String()
}
