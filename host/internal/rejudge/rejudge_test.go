package rejudge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// load loads a chain of one policy.
func load(t testing.TB, spec plugins.PolicySpec, o plugins.EngineOptions) *plugins.Chain {
	t.Helper()
	e, err := plugins.NewEngine(o)
	if err != nil {
		t.Fatal(err)
	}
	spec.Limits = plugins.Limits{Wait: time.Minute, Faults: 10_000}
	c, err := e.Load(t.Context(), plugins.ChainSpec{Policies: []plugins.PolicySpec{spec}, Default: abi.Allow}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Release()
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func stock(name, settings string) plugins.PolicySpec {
	return plugins.PolicySpec{Name: name, Module: filepath.Join("..", "..", "..", "policies", name, name+".wasm"), Settings: []byte(settings)}
}

// small is a guest of the engine's tests that was built from C.
func small() plugins.PolicySpec {
	return plugins.PolicySpec{Name: "gate", Module: filepath.Join("..", "..", "..", "plugins", "testdata", "guests", "gate_c.wasm")}
}

// knock returns the facts of knock i, with an event as large as a usual one. Every
// tenth comes from a server that gate_c refuses.
func knock(i int) *abi.Facts {
	server := fmt.Sprintf("s%d.example", i%500)
	if i%10 == 0 {
		server = "s.evil.example"
	}
	f := &abi.Facts{
		Phase: abi.SendKnock, RoomID: "!room:here.example", RoomVersion: "11", UserID: fmt.Sprintf("@u%d:%s", i, server),
		UserLocalpart: fmt.Sprintf("u%d", i), UserServer: server, Origin: server, RequestID: fmt.Sprintf("R%08d", i),
		NowMS: 1_700_000_000_000 + int64(i), ContentHashOK: true, Reason: abi.Some(strings.Repeat("x", i%40)),
		Room: abi.RoomFacts{Known: true, JoinRule: abi.Some("knock"), Members: 3, Name: abi.Some("A room")},
	}
	f.Event = fmt.Appendf(nil, `{"auth_events":["$%043d","$%043d","$%043d"],"content":{"displayname":"U","membership":"knock","reason":%q},"depth":%d,"hashes":{"sha256":"%043d"},"origin_server_ts":%d,"prev_events":["$%043d"],"room_id":%q,"sender":%q,"signatures":{%q:{"ed25519:a":"%086d"}},"state_key":%q,"type":"m.room.member"}`,
		i, i, i, f.Reason.Value, i, i, f.NowMS, i, f.RoomID, f.UserID, server, i, f.UserID)
	return f
}

// sink keeps what is recorded.
type sink []store.Decision

func (s *sink) AppendDecision(d store.Decision) bool {
	*s = append(*s, d)
	return true
}

// record has a chain judge n knocks, and returns the decisions as they are stored.
func record(t testing.TB, c *plugins.Chain, n int) []store.Decision {
	t.Helper()
	var kept sink
	l := decisionlog.New(&kept, slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})), true)
	var d plugins.Decision
	for i := range n {
		f := knock(i)
		c.Evaluate(t.Context(), f, &d)
		r := &decisionlog.Record{RequestID: f.RequestID, At: time.UnixMilli(f.NowMS), Phase: f.Phase, Room: f.RoomID, User: f.UserID, Origin: f.Origin}
		r.Asked(f)
		r.Decided(&d)
		l.Record(r)
		kept[len(kept)-1].ID = int64(i + 1)
	}
	return kept
}

func source(list []store.Decision) Source {
	return func(_ context.Context, each func(store.Decision) error) error {
		for _, d := range list {
			if err := each(d); err != nil {
				return err
			}
		}
		return nil
	}
}

// TestRun: with the policy that decided, all is the same. With another, exactly those
// come out otherwise for which it says so, in order, whatever order they were judged in.
func TestRun(t *testing.T) {
	const n = 3000
	list := record(t, load(t, stock("reason_rules", `{"min":10}`), plugins.EngineOptions{Record: true}), n)
	same, err := Run(t.Context(), load(t, stock("reason_rules", `{"min":10}`), plugins.EngineOptions{}), source(list), nil)
	if err != nil || same.Same != n || same.Decisions != n || len(same.Changes) != 0 {
		t.Fatalf("the policy that decided: %d of %d the same, %d others, %v", same.Same, same.Decisions, len(same.Changes), err)
	}

	list[5].Detail = `{"fuel":1,"steps":[]}`
	s, err := Run(t.Context(), load(t, stock("reason_rules", `{"min":20,"min_message":"More."}`), plugins.EngineOptions{}), source(list), nil)
	if err != nil {
		t.Fatal(err)
	}
	verdicts, others := map[string]int64{}, int64(0)
	var want, got []string
	for i := range n {
		switch length := i % 40; {
		case i == 5 || length == 0 || length >= 20: // no facts; no reason is not too short
		case length >= 10:
			verdicts["allow -> deny"]++
			want = append(want, fmt.Sprintf("R%08d allow deny More.", i))
		default:
			others++ // denied in other words
			want = append(want, fmt.Sprintf("R%08d deny deny More.", i))
		}
	}
	for _, c := range s.Changes {
		got = append(got, fmt.Sprintf("%s %s %s %s", c.RequestID, c.Was, c.Is, c.Message))
	}
	const keep = 7
	newest, err := RunNewest(t.Context(), load(t, stock("reason_rules", `{"min":20,"min_message":"More."}`), plugins.EngineOptions{}), source(list), nil, keep)
	if err != nil || newest.Decisions != s.Decisions || newest.Others != s.Others || !maps.Equal(newest.Verdicts, s.Verdicts) {
		t.Errorf("with the newest alone: %+v, %v; want the counts %+v", newest, err, s)
	}
	var last []string
	for _, c := range s.Changes {
		if c.Verdict() {
			last = append(last, c.RequestID)
		}
	}
	for i, c := range newest.Changes {
		if len(newest.Changes) != keep || c.RequestID != last[len(last)-keep+i] {
			t.Errorf("newest %d of %d: %s, want the last %d of %d", i, len(newest.Changes), c.RequestID, keep, len(last))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what changes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(verdicts, s.Verdicts); diff != "" || s.Others != others || s.NoFacts != 1 || s.Same != n-1-int64(len(want)) {
		t.Errorf("others %d, without facts %d, the same %d; verdicts (-want +got):\n%s", s.Others, s.NoFacts, s.Same, diff)
	}
}

// TestRunFails: a damaged decision, a source that fails and a context that ends are
// told, and nothing is left running.
func TestRunFails(t *testing.T) {
	c := load(t, small(), plugins.EngineOptions{Record: true})
	list := record(t, c, 1000)
	broken := errors.New("the source is broken")
	_, err := Run(t.Context(), c, func(context.Context, func(store.Decision) error) error { return broken }, nil)
	if !errors.Is(err, broken) {
		t.Errorf("a source that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, c, source(list), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
	list[700].Detail = "{"
	if _, err := Run(t.Context(), c, source(list), nil); err == nil || !strings.Contains(err.Error(), "R00000700") {
		t.Errorf("a damaged decision: %v, want its request ID", err)
	}
}

// TestFile: lines of decisions are read, and what is none is told by its line.
func TestFile(t *testing.T) {
	read := func(text string) (ids []string, err error) {
		err = File(strings.NewReader(text))(t.Context(), func(d store.Decision) error {
			ids = append(ids, d.RequestID)
			return nil
		})
		return ids, err
	}
	ids, err := read(`{"request_id":"A","verdict":"deny","detail":{"steps":[]},"us":{"total":5}}` + "\n\n" + `{"request_id":"M","verdict":"deny","mode":"monitor"}` + "\n" + `{"request_id":"B","verdict":"allow"}`)
	if err != nil || strings.Join(ids, " ") != "A B" {
		t.Errorf("read %q, %v; want A and B", ids, err)
	}
	for text, want := range map[string]string{
		"{\"request_id\":\"A\",\"verdict\":\"deny\"}\nnonsense": "line 2: ",
		`{"a":1}`: "line 1: no decision",
		`{"request_id":"` + strings.Repeat("x", maxLine) + `"}`: "line 1: ",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", text, err, want)
		}
	}
}
