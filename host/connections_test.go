package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// connectionsTest names the variable that asks for TestConnectionsMemory.
//
//	KNOCKGATE_CONNECTIONS=1 go test -count 1 -run TestConnectionsMemory -v ./host
const connectionsTest = "KNOCKGATE_CONNECTIONS"

// Bounds of TestConnectionsMemory.
const (
	openConnections = 2000
	// maxLive is the most that a connection may keep of the Go heap, in bytes. net/http
	// and crypto/tls alone keep 16.8 KiB: 8 are the buffers to read and to write.
	maxLive = 24 << 10
)

// TestConnectionsMemory opens 2,000 connections to the program, a gateway without
// policies in a process of its own, and reads what memory that has: with 2,000 on which
// nothing was asked yet, and with 2,000 on which a make_knock was, which the homeserver
// answered; that also with a soft limit for Go's memory, and without TLS, as behind a
// reverse proxy. It prints the figures, and
// fails where the collector finds that a connection keeps too much.
func TestConnectionsMemory(t *testing.T) {
	if os.Getenv(connectionsTest) == "" {
		t.Skip(connectionsTest + " is not set; 6,000 TLS handshakes")
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if files.Cur < openConnections+500 { // Go has raised it as far as it goes
		t.Skipf("a process may have %d files open, which is not enough for %d connections", files.Cur, openConnections)
	}
	const limit = "GOMEMLIMIT=64MiB"
	t.Run("nothing asked", func(t *testing.T) { testConnections(t, false, false) })
	t.Run("a make_knock each", func(t *testing.T) { testConnections(t, false, true) })
	t.Run("a make_knock each, "+limit, func(t *testing.T) { testConnections(t, false, true, limit) })
	t.Run("a make_knock each, without TLS", func(t *testing.T) { testConnections(t, true, true) })
	t.Run("a make_knock each, without TLS, "+limit, func(t *testing.T) { testConnections(t, true, true, limit) })
}

// testConnections opens the connections, with a make_knock on each or none, to a
// gateway with more in its environment.
func testConnections(t *testing.T, plain, ask bool, env ...string) {
	g := startGatewayProcess(t, plain, env...)
	none := g.memory()
	connections := make([]net.Conn, openConnections)
	g.inParallel(func(i int) (err error) {
		if plain {
			connections[i], err = net.Dial("tcp", string(g.name))
		} else {
			connections[i], err = tls.Dial("tcp", string(g.name), &tls.Config{InsecureSkipVerify: true})
		}
		if err != nil || !ask {
			return err
		}
		return g.makeKnock(connections[i])
	})
	all := g.memory()
	if all.files < openConnections {
		t.Errorf("the gateway has %d files open, so it has closed connections; this machine is too busy", all.files)
	}
	for _, c := range connections {
		c.Close()
	}
	t.Logf("no connections: resident %.1f MiB, %.1f of it anonymous", mib(none.resident), mib(none.anonymous))
	t.Logf("2,000: resident %.1f MiB, at most %.1f; %.1f of it anonymous, so %.1f for connections", mib(all.resident), mib(all.peak), mib(all.anonymous), mib(all.anonymous-none.anonymous))
	live := all.live / openConnections
	t.Logf("live on the Go heap at the last collection: %.1f KiB for each connection", float64(live)/1024)
	if all.live == 0 || live > maxLive {
		t.Errorf("a connection keeps %d bytes, want at most %d", live, maxLive)
	}
}

// gatewayProcess is a gateway in a process of its own, before a stub.
type gatewayProcess struct {
	*killWorld
	process *served
	trace   string // where it writes what its collector does
	request []byte
}

func startGatewayProcess(t *testing.T, plain bool, env ...string) *gatewayProcess {
	t.Helper()
	g := &gatewayProcess{killWorld: newKillWorld(t)}
	stub := newWiretap(t, nil)
	stub.streams(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(stubTemplate)
	})
	config := filepath.Join(g.dir, "gateway.toml")
	text := fmt.Sprintf("server_name = %q\nstate_dir = %q\n[listen]\nfederation = %q\ntls = %v\n", g.name, g.stateDir(), g.name, !plain) +
		strings.Replace(testFederation, `"debug"`, `"error"`, 1) + fmt.Sprintf("[upstream]\nurl = %q\n", stub.url) + allowAll
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.trace = filepath.Join(g.dir, "trace")
	trace, err := os.Create(g.trace)
	if err != nil {
		t.Fatal(err)
	}
	defer trace.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledServe$")
	cmd.Env = append(append(os.Environ(), killConfig+"="+config, "GODEBUG=gctrace=1"), env...)
	cmd.Stderr = trace
	g.process = g.startCommand(cmd)

	target := peer.MakeTarget("!PYNpbMzcVUpcQfgyKm:a.test:18648", g.User("ada"), nil)
	g.request = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n\r\n", target, g.name,
		xmatrix.Header(g.Key(), g.Name(), matrix.ServerName(g.name), http.MethodGet, target, nil))
	return g
}

// inParallel calls do for each connection, from 32 goroutines.
func (g *gatewayProcess) inParallel(do func(i int) error) {
	g.t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range knockers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < openConnections; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					g.t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if g.t.Failed() {
		g.t.FailNow()
	}
}

// makeKnock sends a make_knock on a connection and reads the answer.
func (g *gatewayProcess) makeKnock(conn net.Conn) error {
	if _, err := conn.Write(g.request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || !bytes.Equal(body, stubTemplate)) {
		err = fmt.Errorf("%d %s", answer.StatusCode, body)
	}
	return err
}

// memory is what a process has, in bytes: resident, and the most that ever was;
// without what is mapped from files; and what its last garbage collection found alive.
// files is how many it has open.
type memory struct {
	resident, peak, anonymous, live int64
	files                           int
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// memory reads what the process has now.
func (g *gatewayProcess) memory() (m memory) {
	g.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.process.cmd.Process.Pid))
	if err != nil {
		g.t.Skipf("the memory of a process is read from /proc: %v", err)
	}
	for key, n := range map[string]*int64{"VmRSS": &m.resident, "RssAnon": &m.anonymous, "VmHWM": &m.peak} {
		found := regexp.MustCompile(`(?m)^` + key + `:\s+(\d+) kB$`).FindSubmatch(status)
		if found == nil {
			g.t.Fatalf("%s is not in\n%s", key, status)
		}
		kb, err := strconv.ParseInt(string(found[1]), 10, 64)
		if err != nil {
			g.t.Fatal(err)
		}
		*n = kb << 10
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.process.cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	m.files = len(files)
	trace, err := os.ReadFile(g.trace)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`->(\d+) MB, \d+ MB goal`).FindAllSubmatch(trace, -1) {
		mb, err := strconv.ParseInt(string(found[1]), 10, 64)
		if err != nil {
			g.t.Fatal(err)
		}
		m.live = mb << 20
	}
	return m
}
