package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/gateway"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
	"github.com/knockgate/knockgate/policies"
)

// loadTest names the variable that asks for TestLoad: for how long decisions are kept.
//
//	KNOCKGATE_LOAD=5m go test -count 1 -timeout 20m -run 'TestLoad$' -v ./host
const loadTest = "KNOCKGATE_LOAD"

const (
	loadRate = 400 // requests a second
	loadTurn = 10 * time.Second
	loadPeer = 16 // requests at once at most
)

// noRecord keeps no decision, neither in a log nor in a store.
type noRecord struct{}

func (noRecord) Record(*decisionlog.Record) {}

// TestLoad asks a resident server over TLS for 24,000 decisions a minute, every second
// one a denial, and has turns with the decision log and turns by a second front of the
// same server that keeps no decision. All decisions of the former must be in the store
// and in its counts. It prints how long the answers of both took.
func TestLoad(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv(loadTest))
	if err != nil {
		t.Skip(loadTest + " is not set to a duration; it asks for twice that time, 400 times a second")
	}
	module, err := policies.FS.ReadFile("user_rules/user_rules.wasm")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, `
[policies]
default = "allow"
[[policy]]
name = "users"
module = "user_rules.wasm"
[policy.settings]
rules = [ { deny = "@spam*" } ]
`, map[string][]byte{"user_rules.wasm": module})
	w.log.drop()
	p, room := w.peer(), w.room("11", "knock")
	off := serveFloor(t, gateway.New(gateway.Options{
		Stages: gateway.Stages{
			Auth: &xmatrix.Authenticator{Server: w.name, Keys: w.ring, Verify: serverkey.Verify}, Events: &knock.Checker{Keys: w.ring, Verify: serverkey.Verify},
			Policies: decider{w.gate}, Recorder: w.metrics.Recorder(noRecord{}), Observer: w.metrics,
			Origins: gateway.NewOrigins(w.cfg.Federation.Allow, w.cfg.Federation.Deny, 1e6, 1e6), Now: w.now, Log: slog.New(slog.DiscardHandler),
		},
		Rooms: w.rooms, Templates: w.rooms, Knocks: w.rooms,
		KeyDocument: serverkey.NewPublisher(w.name, w.keys.Keys, keyLifetime, w.now).Body, Version: version(),
	}).ServeHTTP)

	type request struct {
		target, authorization string
		want                  int
	}
	requests := make([]request, 500)
	for i := range requests {
		name, want := fmt.Sprintf("user%d", i), http.StatusOK
		if i%2 == 1 {
			name, want = fmt.Sprintf("spam%d", i), http.StatusForbidden
		}
		target := peer.MakeTarget(room, p.User(name), nil)
		requests[i] = request{target, xmatrix.Header(p.Key(), p.Name(), w.name, http.MethodGet, target, nil), want}
	}
	ask := func(to matrix.ServerName, i int) time.Duration {
		r := &requests[i%len(requests)]
		x, err := p.Send(context.Background(), to, http.MethodGet, r.target, nil, r.authorization)
		if err != nil || x.Status != r.want {
			t.Errorf("%s: %d %s, %v; want %d", r.target, x.Status, x.Body, err, r.want)
		}
		return x.Took
	}
	// Each turn's requests are due at even times, whether those before them are answered or not.
	turn := func(to matrix.ServerName) []time.Duration {
		took := make([]time.Duration, int(loadTurn.Seconds()*loadRate))
		due := make(chan int, len(took))
		var wg sync.WaitGroup
		for range loadPeer {
			wg.Go(func() {
				for i := range due {
					took[i] = ask(to, i)
				}
			})
		}
		every := time.NewTicker(time.Second / loadRate)
		defer every.Stop()
		begin := time.Now()
		for sent := 0; sent < len(took); {
			now := <-every.C
			for ; sent < len(took) && sent <= int(now.Sub(begin).Seconds()*loadRate); sent++ {
				due <- sent
			}
		}
		close(due)
		wg.Wait()
		if late := time.Since(begin) - loadTurn; late > loadTurn/10 {
			t.Logf("a turn took %s longer than it should: the machine is too slow for the rate", late)
		}
		return took
	}
	on := w.name
	took := map[matrix.ServerName][]time.Duration{}
	for _, to := range []matrix.ServerName{on, off} { // connections, keys, instances
		for i := range 2 * loadPeer {
			ask(to, i)
		}
	}
	for i := range int(long / loadTurn) {
		order := []matrix.ServerName{on, off}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, to := range order {
			took[to] = append(took[to], turn(to)...)
		}
	}
	if len(took[on]) == 0 {
		t.Fatalf("%s is %s; it must be at least %s", loadTest, long, loadTurn)
	}
	want := int64(len(took[on]) + 2*loadPeer)
	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	stored, err := w.store.CountDecisions(t.Context(), time.Unix(0, 0))
	if dropped := w.store.DecisionsDropped(); err != nil || stored != want || dropped != 0 {
		t.Errorf("%d decisions are stored, %d dropped, %v; want %d and none", stored, dropped, err, want)
	}
	counts, err := w.store.DecisionCounts(t.Context(), time.Unix(0, 0), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	byVerdict := map[string]int64{}
	for _, c := range counts {
		byVerdict[c.Verdict] += c.Number
	}
	if byVerdict["allow"] != want/2 || byVerdict["deny"] != want/2 {
		t.Errorf("counted are %v, want %d of each", byVerdict, want/2)
	}
	begin := time.Now()
	if _, err := w.store.Decisions(t.Context(), store.DecisionFilter{Verdict: "deny"}); err != nil {
		t.Error(err)
	}
	t.Logf("%d decisions stored, the newest 50 denials listed in %s", stored, time.Since(begin))
	for _, q := range []float64{0.5, 0.9, 0.99, 0.999} {
		at := func(to matrix.ServerName) time.Duration {
			slices.Sort(took[to])
			return took[to][int(q*float64(len(took[to])-1))]
		}
		t.Logf("p%g: %s with the log, %s without, ratio %.2f", 100*q, at(on), at(off), float64(at(on))/float64(at(off)))
	}
}
