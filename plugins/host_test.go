package plugins

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// told is what the guest of testdata/wasi.wat was told.
type told struct {
	wall, before, after, random, nowMS uint64
	prestat, args                      uint32
}

func ask(t *testing.T, c *Chain, f *abi.Facts) told {
	t.Helper()
	var d Decision
	c.Evaluate(context.Background(), f, &d)
	b, err := hex.DecodeString(d.Note)
	if err != nil || len(b) != 48 {
		t.Fatalf("%s with note %q, fault %+v", d.Verdict, d.Note, d.Fault)
	}
	le := binary.LittleEndian
	return told{le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:]), le.Uint64(b[32:]), le.Uint32(b[40:]), le.Uint32(b[44:])}
}

func TestHostIsDeterministic(t *testing.T) {
	e := newEngine(t, EngineOptions{Limits: Limits{Instances: 1}})
	spec := ChainSpec{Policies: []PolicySpec{policyOf("wasi")}}
	c := load(t, e, spec)
	first := ask(t, c, knockFacts())
	if want := uint64(knockFacts().NowMS); first.nowMS != want || first.wall != want*1e6 {
		t.Errorf("now_ms %d, wall clock %d; want %d, and the same in nanoseconds", first.nowMS, first.wall, want)
	}
	if slept := first.after - first.before; slept != 1e6+monotonicStep {
		t.Errorf("a sleep of 1 ms moves the monotonic clock by %d ns, want %d", slept, 1_000_000+monotonicStep)
	}
	if first.prestat != wasiBadF || first.args != 0 {
		t.Errorf("fd_prestat_get gives %d, args_sizes_get %d; want %d, 0", first.prestat, first.args, wasiBadF)
	}
	second := ask(t, c, knockFacts())
	if second.random != first.random {
		t.Errorf("the same request gets the random numbers %x and %x", first.random, second.random)
	}
	if second.before <= first.after {
		t.Errorf("the monotonic clock of one instance goes from %d to %d", first.after, second.before)
	}
	other := knockFacts()
	other.RequestID = "req-2"
	if got := ask(t, c, other); got.random == first.random {
		t.Errorf("another request gets the same random numbers %x", got.random)
	}
	if got := ask(t, load(t, e, spec), knockFacts()); got != first {
		t.Errorf("a new instance is told %+v, want %+v", got, first)
	}
	spec.Policies[0].Name = "other"
	if got := ask(t, load(t, e, spec), knockFacts()); got.random == first.random {
		t.Errorf("another policy gets the same random numbers %x", got.random)
	}
}

func TestGuestLog(t *testing.T) {
	log, buf := newLog()
	e := newEngine(t, EngineOptions{Log: log})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("logs")}})
	var d Decision
	c.Evaluate(context.Background(), knockFacts(), &d)
	out := buf.String()
	for _, want := range []string{
		`level=WARN msg="guest: panic: boom" policy=logs request=req-1`,
		`msg="guest: one\\ntwo\\xff" policy=logs request=req-1`,
		fmt.Sprintf("dropped=%d", 202-maxLogLines),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the log lacks %s:\n%.600s", want, out)
		}
	}
	if n := strings.Count(out, "guest: "); n != maxLogLines {
		t.Errorf("%d lines of the guest are logged, want %d", n, maxLogLines)
	}
}

func TestWrittenQuota(t *testing.T) {
	log, buf := newLog()
	g := &guestState{}
	g.begin(&instance{policy: &policy{log: log}}, "r", 0)
	long := []byte(strings.Repeat("x", 3*maxLogLine) + "\n")
	for range 200 {
		g.write(1, long)
	}
	g.end()
	if g.written != maxWritten {
		t.Errorf("%d bytes were looked at, want %d", g.written, maxWritten)
	}
	for line := range strings.Lines(buf.String()) {
		if len(line) > maxLogLine+200 {
			t.Errorf("a line of %d bytes is logged", len(line))
		}
	}
}

func TestEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 😀":        "plain é 😀",
		"a\nb\r\tc":        `a\nb\r\tc`,
		"\xff\xc3":         `\xff\xc3`,
		"\x1b[31m":         `\x1b[31m`,
		"a\u202eb\u2028":   `a\u202eb\u2028`,
		"\"quoted\" \\":    `"quoted" \`,
		"\ufffd is itself": "\ufffd is itself",
	} {
		if got := escaped([]byte(in)); got != want {
			t.Errorf("escaped(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestGoGuest runs a policy that Knockgate ships, for Go's runtime asks more of
// a host than any module of testdata.
func TestGoGuest(t *testing.T) {
	module := filepath.Join("..", "policies", "server_rules", "server_rules.wasm")
	if _, err := os.Stat(module); err != nil {
		t.Skipf("no Go policy to run: %v", err)
	}
	e := newEngine(t, EngineOptions{Limits: slow})
	c := load(t, e, ChainSpec{Default: abi.Allow, Policies: []PolicySpec{{
		Name: "servers", Module: module, Settings: []byte(`{"rules":[{"deny":["*.peer.example"],"message":"no peers"}]}`),
	}}})
	for origin, want := range map[string]abi.Verdict{"a.peer.example:8448": abi.Deny, "b.example": abi.Allow} {
		f := knockFacts()
		f.Origin = origin
		var d Decision
		for range 3 {
			c.Evaluate(context.Background(), f, &d)
			if d.Verdict != want || d.Fault.Class != FaultNone || want == abi.Deny && d.Message != "no peers" {
				t.Errorf("%s from %s, fault %+v, message %q; want %s", d.Verdict, origin, d.Fault, d.Message, want)
			}
		}
	}
	_, err := e.Load(context.Background(), ChainSpec{Policies: []PolicySpec{{Name: "servers", Module: module, Settings: []byte(`{"rule":[]}`)}}}, nil)
	if refused, ok := errors.AsType[*SettingsError](err); !ok || refused.Errors[0].Path != "rule" {
		t.Errorf("a misspelt setting gives %v, want a *SettingsError that names it", err)
	}
}
