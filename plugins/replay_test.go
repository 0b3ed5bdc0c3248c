package plugins

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// record decides and returns what a host would have kept.
func record(t *testing.T, c *Chain, f *abi.Facts) *Recorded {
	t.Helper()
	r := &Recorded{}
	c.Evaluate(context.Background(), f, &r.Decision)
	restored, err := ParseFacts(abi.AppendJSON(nil, f), f.Event)
	if err != nil {
		t.Fatal(err)
	}
	r.Facts = restored
	return r
}

func scripted(lines ...string) *abi.Facts {
	f := knockFacts()
	f.Reason = abi.Some(strings.Join(lines, "\n"))
	return f
}

func TestReplay(t *testing.T) {
	kv, lists := &mapKV{}, mapLists{"bad": " evil.example "}
	e := newEngine(t, EngineOptions{KV: kv, Lists: lists, Record: true, Limits: slow})
	counter := policyOf("kv_counter")
	counter.Grants, counter.Phases = []string{"kv"}, []abi.Phase{abi.MakeKnock}
	spec := ChainSpec{Policies: []PolicySpec{policyOf("pass"), counter, hostCallsSpec("calls")}}
	c := load(t, e, spec)

	make1 := knockFacts()
	make1.Phase, make1.SupportedVersions, make1.Reason, make1.Event, make1.ContentHashOK = abi.MakeKnock, []string{"10", "11"}, abi.Text{}, nil, false
	var recorded []*Recorded
	for _, f := range []*abi.Facts{
		make1, make1, make1,
		scripted("r", "n", "gx", "px|old", "gx", "in", "in", "lbad|evil.example", "lnone|a", "m*|a"),
		scripted("r", "gx", "px|new", "in", "ix", "gx"),
		scripted("z"), // traps
	} {
		recorded = append(recorded, record(t, c, f))
	}
	if v := recorded[2].Verdict; v != abi.Deny {
		t.Fatalf("the third knock of a minute: %s, want deny", v)
	}

	// The world has moved on: an other one, and a chain in which one limit, and
	// so the revision, is another.
	before := len(kv.m)
	delete(lists, "bad")
	spec.Policies[2].Limits = slow
	spec.Policies[2].Limits.Calls = 7
	changed := load(t, e, spec)
	for i, was := range recorded {
		for _, c := range []*Chain{c, changed} {
			var d Decision
			if diff := c.Replay(context.Background(), was, &d); len(diff) != 0 {
				t.Errorf("decision %d: %+v", i, diff)
			}
			for j, s := range d.Steps {
				if !bytes.Equal(s.Trace, was.Steps[j].Trace) {
					t.Errorf("decision %d, %s: another trace", i, s.Policy)
				}
			}
			if d.Note != was.Note || d.Verdict != was.Verdict {
				t.Errorf("decision %d: %s %q, want %s %q", i, d.Verdict, d.Note, was.Verdict, was.Note)
			}
		}
	}
	if len(kv.m) != before {
		t.Error("a replay has written to KV")
	}
	trace, err := DescribeTrace(recorded[3].Steps[1].Trace)
	want := []string{
		`kv_get("x") = -1`, `kv_put("x", "old", ttl_ms 1000) = 0`, `kv_get("x") = 3 "old"`, `kv_incr("n", 1, ttl_ms 1000) = 1`,
		`kv_incr("n", 1, ttl_ms 1000) = 2`, `list_has("bad", "evil.example") = 1`, `list_has("none", "a") = -1`,
	}
	if err != nil || !slices.Equal(trace, want) {
		t.Errorf("the trace is %q, err %v; want %q", trace, err, want)
	}
}

func TestReplayDiffers(t *testing.T) {
	e := newEngine(t, EngineOptions{KV: &mapKV{}, Lists: mapLists{}, Record: true, Limits: slow})
	spec := ChainSpec{Policies: []PolicySpec{hostCallsSpec("calls")}}
	c := load(t, e, spec)
	for _, tt := range []struct {
		name     string
		was, now []string
		policy   string // another module in its place
		want     string
	}{
		{"another key", []string{"gx", "ga"}, []string{"gx", "gb"}, "", `host call 2: was kv_get("a"), is kv_get("b")`},
		{"another function", []string{"gx"}, []string{"ix"}, "", `host call 1: was kv_get("x"), is kv_incr("x", 1, ttl_ms 1000)`},
		{"one more", []string{"gx"}, []string{"gx", "px|v"}, "", `host call 2: was no more calls, is kv_put("x", "v", ttl_ms 1000)`},
		{"one less", []string{"gx", "lbad|a"}, []string{"gx"}, "", `host call 2: was list_has("bad", "a"), is no more calls`},
		{"another verdict", []string{"m*|a"}, []string{"m*|a"}, "deny_message", `verdict was allow, is deny`},
	} {
		was := record(t, c, scripted(tt.was...))
		was.Facts = scripted(tt.now...)
		now := c
		if tt.policy != "" {
			spec := policyOf(tt.policy)
			spec.Name = "calls"
			now = load(t, e, ChainSpec{Policies: []PolicySpec{spec}})
		}
		var d Decision
		diff := now.Replay(context.Background(), was, &d)
		if len(diff) == 0 || diff[0] != (Difference{"calls", tt.want}) {
			t.Errorf("%s: %+v, want %q first", tt.name, diff, tt.want)
		}
	}
	was := record(t, c, scripted("gx"))
	other := hostCallsSpec("other")
	two := load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("pass"), other}})
	var d Decision
	diff := two.Replay(context.Background(), was, &d)
	if len(diff) < 2 || diff[0].What != "the policy at this place was calls, is pass" || diff[1].What != "was not asked, is asked" {
		t.Errorf("another chain: %+v", diff)
	}
	was.Steps[0].Trace = []byte{opKVGet, 200}
	if c.Replay(context.Background(), was, &d); d.Fault.Class != FaultHost {
		t.Errorf("a damaged trace gives %s, fault %+v; want a denial for a fault of the host", d.Verdict, d.Fault)
	}
}

// TestTraceIsBounded: what has no room is marked, and seen at a replay.
func TestTraceIsBounded(t *testing.T) {
	e := newEngine(t, EngineOptions{KV: &mapKV{}, Lists: mapLists{}, Record: true, Limits: slow})
	c := load(t, e, ChainSpec{Policies: []PolicySpec{hostCallsSpec("calls")}})
	lines := slices.Repeat([]string{"px|" + strings.Repeat("v", 2000)}, maxKVCalls)
	f := scripted(lines[:40]...)
	f.Event = nil
	was := record(t, c, f)
	whole := was.Steps[0].Trace
	if len(whole) > MaxTrace || len(whole) == 0 {
		t.Fatalf("a trace of %d bytes, want 1 to %d", len(whole), MaxTrace)
	}
	calls, err := DescribeTrace(whole)
	if err != nil || calls[len(calls)-1] != "more calls than were recorded" {
		t.Fatalf("%d calls, err %v; want the mark of a cut trace at the end", len(calls), err)
	}
	var d Decision
	diff := c.Replay(context.Background(), was, &d)
	if len(diff) != 1 || !strings.Contains(diff[0].What, "was more calls than were recorded") {
		t.Errorf("%+v, want that the trace was cut", diff)
	}
}

func FuzzTrace(f *testing.F) {
	var t0 trace
	t0.add(opKVGet, []byte("\x08key"), 3, []byte("val"))
	t0.add(opKVPut, []byte("\x02\x01kv"), 0, nil)
	f.Add(t0.buf)
	f.Add([]byte{opKVIncr, 0xff, 0xff, 0xff, 0xff, 0x0f})
	// Reading a damaged trace does not panic, and what is read whole is what
	// the parts say.
	f.Fuzz(func(t *testing.T, b []byte) {
		calls, err := DescribeTrace(b)
		n := 0
		for rest := b; err == nil && len(rest) > 0; n++ {
			_, rest, err = cutEntry(rest)
		}
		if err == nil && n != len(calls) {
			t.Errorf("%d calls are described, %d are there", len(calls), n)
		}
	})
}

func TestParseFacts(t *testing.T) {
	room := abi.RoomFacts{Known: true, JoinRule: abi.Some("knock"), Name: abi.Some(""), Topic: abi.Some("a\u2028\x00\"\\é<>&"), Encrypted: true,
		Members: 1 << 60, UserMembership: abi.Some("leave"), AgeMS: -1}
	more := *everyFact()
	more.Room.ACL = abi.Some(`{"allow":["é<>&\u2028"],"deny":{}}`)
	noACL := *everyFact()
	noACL.Room = abi.RoomFacts{Known: true, ACL: abi.Some("")}
	full := knockFacts()
	full.Room, full.Displayname, full.AvatarURL = room, abi.Some("\x1b"), abi.Some("")
	bare := &abi.Facts{Phase: abi.MakeKnock}
	versions := &abi.Facts{Phase: abi.MakeKnock, SupportedVersions: []string{"", "11"}, Room: room}
	for i, f := range []*abi.Facts{knockFacts(), full, bare, versions, everyFact(), &more, &noACL} {
		b := abi.AppendJSON(nil, f)
		got, err := ParseFacts(b, f.Event)
		if err != nil {
			t.Errorf("%d: %v", i, err)
		} else if !bytes.Equal(abi.AppendFrame(nil, got), abi.AppendFrame(nil, f)) {
			t.Errorf("%d: %s gives another frame", i, b)
		}
	}
	// As edition 1.0 wrote them.
	const old = `{"phase":"make_knock","request_id":"r","now_ms":1,"room_id":"!r:a","room_version":"11","user_id":"@u:b","user_localpart":"u",` +
		`"user_server":"b","origin":"b","supported_versions":["11"],"room":{"known":true,"join_rule":"knock","encrypted":false,"members":2,"user_membership":"leave","age_ms":9}}`
	if f, err := ParseFacts([]byte(old), nil); err != nil || f.Room.Pending.Present || f.Room.ACL.Present || f.Room.Members != 2 {
		t.Errorf("facts of edition 1.0: %+v, %v", f, err)
	}
	for _, bad := range []string{``, `{}`, `{"phase":"make_knock"}`, string(abi.AppendJSON(nil, bare)) + " ",
		strings.Replace(string(abi.AppendJSON(nil, bare)), `"now_ms"`, `"NOW_MS"`, 1)} {
		if f, err := ParseFacts([]byte(bad), nil); err == nil {
			t.Errorf("ParseFacts(%s) = %+v, want an error", bad, f)
		}
	}
}
