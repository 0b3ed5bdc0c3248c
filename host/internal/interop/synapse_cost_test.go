package interop

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	ours "github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// TestSynapseUntouched: of 1,000 knocks that a policy denies, the Synapse behind
// the gateway gets no request; where its admin API tells of rooms, the three that
// fetch the facts of the room. What it costs Synapse in processor time is printed
// beside an idle time of the same length.
func TestSynapseUntouched(t *testing.T) {
	root := synapseRoot(t)
	federation, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	admin, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	token := t.TempDir() + "/token"
	if err := os.WriteFile(token, []byte("none-yet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	upstream := fmt.Sprintf("[upstream]\nurl = \"http://%s\"\n", federation)
	const deny = "[[policy]]\nname = \"nobody\"\nmodule = \"server_rules/server_rules.wasm\"\n[policy.settings]\nrules = [ { deny = [\"127.0.0.2\"] } ]\n"
	plain := startServe(t, upstream+deny)
	withFacts := startServe(t, upstream+fmt.Sprintf("facts_max_age = \"1h\"\n[upstream.admin]\nurl = \"http://%s\"\ntoken_file = %q\n", admin, token)+deny)
	a := startSynapse(t, root, home{name: string(plain.name), federation: federation, client: admin})
	a.registerAdmin(t, "alice")
	if err := os.WriteFile(token, []byte(a.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	room := a.createRoom(t, "11", "knock")
	welcome, denied := startOurs(t, "127.0.0.1"), startOurs(t, "127.0.0.2")

	before := a.requests(t)
	flood(t, asks{welcome, string(plain.name), string(plain.name), room, "user"}, 0, 10, 1, http.StatusOK)
	if got := a.requests(t) - before; got != 10 {
		t.Fatalf("of 10 allowed knocks Synapse counts %d requests; its count would say nothing of those that are denied", got)
	}
	for _, tt := range []struct {
		name string
		gate *serve
		want int // requests
	}{{"without facts", plain, 0}, {"with facts", withFacts, 3}} {
		t.Run(tt.name, func(t *testing.T) {
			before, cpu, start := a.requests(t), processorTime(t, a.process), time.Now()
			flood(t, asks{denied, string(tt.gate.name), string(tt.gate.name), room, "user"}, 0, 1000, 8, http.StatusForbidden)
			took := time.Since(start)
			used := processorTime(t, a.process) - cpu
			if got := a.requests(t) - before; got != tt.want {
				t.Errorf("Synapse got %d requests while 1,000 knocks were denied, want %d", got, tt.want)
			}
			cpu = processorTime(t, a.process)
			<-time.After(took) // idle for as long
			t.Logf("1,000 denied knocks in %v: Synapse used %v of processor time, and %v in as long a time without any", took.Round(time.Millisecond), used, processorTime(t, a.process)-cpu)
		})
	}
}

// startOurs starts a peer of ours on a loopback host. Synapses can fetch its key.
func startOurs(t *testing.T, host string) *ours.Peer {
	t.Helper()
	certificate := synapseCertificate(t)
	p, err := ours.Start(ours.Options{Listen: host + ":0", Client: loopbackClient(t), Certificate: &certificate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// asks are make_knocks: of users of a peer called name and a number, signed for a
// server, and sent to an address.
type asks struct {
	peer            *ours.Peer
	server, address string
	room, name      string
}

// flood sends n make_knocks, numbered on from first, from c goroutines on
// connections that are kept, and fails the test unless each gets the status. It
// returns how long that took; the requests are signed before.
func flood(t *testing.T, a asks, first, n, c, status int) time.Duration {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: c}
	defer transport.CloseIdleConnections()
	requests := make([]*http.Request, n)
	for i := range requests {
		target := ours.MakeTarget(matrix.RoomID(a.room), a.peer.User(fmt.Sprintf("%s%d", a.name, first+i)), nil)
		path, query, _ := strings.Cut(target, "?")
		requests[i] = &http.Request{
			Method: http.MethodGet,
			URL:    &url.URL{Scheme: "https", Host: a.address, Opaque: path, RawQuery: query},
			Host:   a.server,
			Header: http.Header{"Authorization": {xmatrix.Header(a.peer.Key(), a.peer.Name(), matrix.ServerName(a.server), http.MethodGet, target, nil)}},
		}
	}
	var next atomic.Int64
	var asking sync.WaitGroup
	start := time.Now()
	for range c {
		asking.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				answer, err := transport.RoundTrip(requests[i])
				if err != nil {
					t.Errorf("make_knock: %v", err)
					return
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != status {
					t.Errorf("make_knock: %d %s %v, want %d", answer.StatusCode, body, err, status)
					return
				}
			}
		})
	}
	asking.Wait()
	return time.Since(start)
}

// requests returns how many requests Synapse has answered, by its own count.
// Asking for the count is left out.
func (s *synapse) requests(t *testing.T) int {
	t.Helper()
	answer, err := http.Get(s.client + "/_synapse/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	sum, found := 0.0, false
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		line, ok := strings.CutPrefix(lines.Text(), "synapse_http_server_requests_received_total{")
		if !ok || strings.Contains(line, `"MetricsResource"`) {
			continue
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			t.Fatalf("metrics: %s: %v", line, err)
		}
		sum, found = sum+n, true
	}
	if !found {
		t.Fatalf("metrics: %s, and no count of requests", answer.Status)
	}
	return int(sum)
}

// processorTime returns what a process has used of the processors, with children that
// have ended. A Synapse without workers is one process.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	// Spec: proc_pid_stat(5); the ticks of Linux's user interface are hundredths.
	const tick = 10 * time.Millisecond
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the third and on
	var ticks int64
	for _, field := range fields[11:15] { // utime, stime, and those of children that ended
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick
}
