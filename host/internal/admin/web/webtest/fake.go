// Package webtest is a server that is not there, for tests of the pages: its state is
// made up, with every kind of state that the pages show and hostile texts in it.
package webtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/knockgate/knockgate/host/internal/admin"
)

// Hostile is a text as a stranger would write it: markup, what ends an attribute and a
// script, controls of terminals, bidi overrides, marks that stack.
const Hostile = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>' onmouseover=alert(3) {{.}} javascript:alert(4) </title></textarea></option>" +
	"\x1b[31mred\x07\u0085\u202egnp.exe\u202c\u2066iso\u2069 e\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308"

// Fake implements the interfaces of package admin over what its fields hold.
type Fake struct {
	mu      sync.Mutex
	now     func() time.Time
	status  admin.Status     // guarded by mu
	staged  []admin.Module   // guarded by mu
	list    []admin.Decision // guarded by mu; newest first
	pending []admin.Pending  // guarded by mu
	// err, if set, is what everything fails with.
	err      error          // guarded by mu
	applied  []admin.Change // guarded by mu
	declined []string       // guarded by mu
}

// The interfaces.
var (
	_ admin.Server    = (*Fake)(nil)
	_ admin.Policies  = (*Fake)(nil)
	_ admin.Decisions = (*Fake)(nil)
	_ admin.Knocks    = (*Fake)(nil)
)

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// New returns a server whose texts are a stranger's.
func New(now func() time.Time) *Fake {
	at := now()
	f := &Fake{now: now}
	f.status = admin.Status{
		Version: "1.2.3", ServerName: "here.example", Mode: "resident", Started: at.Add(-time.Hour),
		Revision: digest("one"), Configured: digest("zero"), Previous: digest("zero"), Held: "change", Default: "allow",
		LastReload: &admin.Reloaded{At: at.Add(-time.Minute), Text: "policy.reasons.settings: " + Hostile},
		Dropped:    3, Undecided: map[string]int64{"local": 2, Hostile: 1},
		Policies: []admin.PolicyState{
			{
				Name: "servers", Module: digest("servers"), Revision: digest("r"), Mode: "enforce", OnError: "deny",
				Phases: []string{"make_knock", "send_knock"}, Rooms: []string{"!a:here.example"}, Origins: []string{"*.example"},
				Settings: json.RawMessage(`{"rules":[{"deny":["*.spam.example"]}],"most":3,"share":0.5,"none":null}`),
				Title:    "server_rules " + Hostile, Version: Hostile, Description: Hostile,
				Busy: 1, Idle: 2, Most: 4, Memory: 1 << 20, Verdicts: map[string]int64{"pass": 5, "deny": 2}, Faults: map[string]int64{},
				Fuel:   admin.Histogram{Bounds: []float64{100, 1000}, Counts: []int64{4, 3, 0}},
				Micros: admin.Histogram{Bounds: []float64{100, 1000}, Counts: []int64{4, 2, 1}},
			},
			{
				Name: "reasons", Module: digest("reasons"), Revision: digest("r"), Mode: "monitor", OnError: "deny",
				Settings: json.RawMessage(`{"required":true,"message":` + quoted(Hostile) + `}`), Title: "reason_rules", Version: "1",
				Resting: true, NextTry: at.Add(time.Minute), Grants: []string{"lists", Hostile},
				Verdicts: map[string]int64{"deny": 2}, Faults: map[string]int64{"trap": 9},
			},
		},
	}
	f.status.Checks = []admin.Result{{Name: "store", OK: true, Text: "takes writes"}, {Name: "policies", Text: Hostile}}
	f.staged = []admin.Module{{
		Digest: digest("staged"), Size: 123456, At: at, Name: Hostile, Version: Hostile, Description: Hostile,
		Grants: []string{Hostile}, Schema: json.RawMessage(`{"title":` + quoted(Hostile) + `}`),
	}}
	for i := range 120 {
		f.add(int64(i + 1))
	}
	for i := range 3 {
		f.pending = append(f.pending, admin.Pending{
			Room: "!a:here.example", User: fmt.Sprintf("@u%d%s:example.org", i, Hostile), Displayname: Hostile, Reason: Hostile, Since: at,
		})
	}
	return f
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// add is for New and who holds mu.
func (f *Fake) add(id int64) {
	verdicts := []string{"allow", "deny", "incompatible"}
	d := admin.Decision{
		ID: id, RequestID: fmt.Sprintf("REQ%07d", id), At: f.now(), Phase: "send_knock", Room: "!a:here.example",
		User: "@u" + Hostile + ":example.org", Origin: "example.org" + Hostile, Event: "$e" + Hostile, Verdict: verdicts[id%3],
		Policy: []string{"", "servers" + Hostile}[id%2], Revision: digest("one"), Message: Hostile, Note: Hostile, Code: Hostile,
		Status: 403, Errcode: "M_FORBIDDEN", Micros: admin.Took{Auth: 10, Protocol: 20, Policies: 30, Act: 40, Total: 100},
	}
	if id%5 == 0 {
		d.Fault = "trap"
	}
	f.list = slices.Insert(f.list, 0, d)
}

// Add adds a new decision.
func (f *Fake) Add() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(int64(len(f.list) + 1))
}

// Fail makes everything fail with err, nil for not.
func (f *Fake) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// Applied returns the changes that were made.
func (f *Fake) Applied() []admin.Change {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.applied)
}

// Declined returns the users that were declined, with the reasons.
func (f *Fake) Declined() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.declined)
}

// Status implements [admin.Server].
func (f *Fake) Status(context.Context) (*admin.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.status
	s.Policies = slices.Clone(s.Policies)
	return &s, f.err
}

// Reload implements [admin.Server].
func (f *Fake) Reload(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return "the configuration is as it was " + Hostile, f.err
}

// Stage implements [admin.Policies].
func (f *Fake) Stage(_ context.Context, module, _ []byte) (*admin.Module, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	if string(module) == "" {
		return nil, fmt.Errorf("the module is empty: %w", admin.ErrInvalid)
	}
	m := admin.Module{Digest: digest(string(module)), Size: int64(len(module)), At: f.now(), Name: "uploaded"}
	f.staged = slices.Insert(f.staged, 0, m)
	return &m, nil
}

// Staged implements [admin.Policies].
func (f *Fake) Staged(context.Context) ([]admin.Module, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.staged), f.err
}

// Apply implements [admin.Policies].
func (f *Fake) Apply(_ context.Context, c admin.Change) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return "", f.err
	}
	if c.Revision != f.status.Revision {
		return "", fmt.Errorf("revision %.12s is in force: %w", f.status.Revision, admin.ErrConflict)
	}
	f.applied = append(f.applied, c)
	f.status.Previous, f.status.Revision, f.status.Held = f.status.Revision, digest(f.status.Revision), "change"
	at := slices.IndexFunc(f.status.Policies, func(p admin.PolicyState) bool { return p.Name == c.Policy })
	switch c.Do {
	case "add":
		f.status.Policies = append(f.status.Policies, admin.PolicyState{Name: c.Policy, Module: c.Module, Mode: "monitor", Settings: c.Settings})
	case "mode":
		f.status.Policies[at].Mode = c.Mode
	case "remove":
		f.status.Policies = slices.Delete(f.status.Policies, at, at+1)
	}
	return f.status.Revision, nil
}

// Judge implements [admin.Policies].
func (f *Fake) Judge(context.Context, json.RawMessage, json.RawMessage, *admin.Change) (*admin.Judged, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &admin.Judged{Verdict: "deny", Policy: "servers", Message: Hostile, Note: Hostile, Code: Hostile, Fuel: 7, Steps: steps()}, f.err
}

func steps() []admin.Step {
	return []admin.Step{
		{Policy: "servers", Verdict: "pass", Mode: "monitor", Fuel: 3, Micros: 5},
		{Policy: "reasons" + Hostile, Verdict: "deny", Note: Hostile, Code: Hostile, Fault: "trap", Fuel: 4, Micros: 6, Calls: []string{Hostile}},
	}
}

// Rejudge implements [admin.Policies].
func (f *Fake) Rejudge(_ context.Context, _ admin.Change, _ time.Time, done func(done, all int64)) (*admin.Rejudged, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done(10, 10)
	return &admin.Rejudged{
		Decisions: 10, Same: 8, Others: 1, NoFacts: 1, Verdicts: map[string]int64{"allow -> deny": 1},
		Changes: []admin.Changed{{
			RequestID: "REQ0000001", At: f.now(), Phase: "send_knock", Room: "!a" + Hostile, User: "@u" + Hostile, Was: "allow", Is: "deny", IsBy: "reasons", Message: Hostile,
		}},
	}, f.err
}

// Decisions implements [admin.Decisions].
func (f *Fake) Decisions(_ context.Context, filter admin.DecisionFilter) ([]admin.Decision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []admin.Decision
	for _, d := range f.list {
		switch {
		case filter.Before != 0 && d.ID >= filter.Before, d.ID <= filter.After, filter.Verdict != "" && d.Verdict != filter.Verdict,
			filter.Faults && d.Fault == "", len(list) >= filter.Limit:
		default:
			list = append(list, d)
		}
	}
	return list, f.err
}

// Decision implements [admin.Decisions].
func (f *Fake) Decision(_ context.Context, reference string) (*admin.Decision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.list {
		if d.RequestID == reference {
			d.Steps, d.FaultText, d.Fuel = steps(), Hostile, 7
			d.Facts = json.RawMessage(`{"reason":` + quoted(Hostile) + `}`)
			d.Told, d.Detail = d.Facts, d.Facts
			d.Monitored = []admin.Decision{{Policy: "reasons" + Hostile, Verdict: "deny", Message: Hostile}}
			return &d, f.err
		}
	}
	return nil, fmt.Errorf("no decision has the request ID %q: %w", reference, admin.ErrNotFound)
}

// Overview implements [admin.Decisions].
func (f *Fake) Overview(_ context.Context, since time.Time, step time.Duration) (*admin.Overview, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := &admin.Overview{
		Since: since, Step: step, Latency: admin.Histogram{Bounds: []float64{1000, 5000}, Counts: []int64{90, 9, 1}},
		Refused:   []admin.OriginCount{{Origin: "spam.example" + Hostile, Denied: 7}},
		Monitored: map[string]map[string]int64{"reasons" + Hostile: {"deny": 4, "pass": 6}},
	}
	for at := since; at.Before(f.now()); at = at.Add(step) {
		n := int64(len(o.Buckets))
		o.Buckets = append(o.Buckets, admin.Bucket{At: at, Verdicts: map[string]int64{"allow": n % 7, "deny": n % 3, "incompatible": n % 2}, Faults: n % 5})
	}
	return o, f.err
}

// Rooms implements [admin.Knocks].
func (f *Fake) Rooms(context.Context) ([]admin.Room, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []admin.Room{{ID: "!a:here.example", Name: Hostile, Version: "11", JoinRule: "knock"}}, f.err
}

// Pending implements [admin.Knocks].
func (f *Fake) Pending(_ context.Context, room string) ([]admin.Pending, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.pending), func(p admin.Pending) bool { return room != "" && p.Room != room }), f.err
}

// Decline implements [admin.Knocks].
func (f *Fake) Decline(_ context.Context, room, user, reason string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := slices.IndexFunc(f.pending, func(p admin.Pending) bool { return p.Room == room && p.User == user })
	if at < 0 {
		return fmt.Errorf("nobody of that name waits there: %w", admin.ErrNotFound)
	}
	f.pending = slices.Delete(f.pending, at, at+1)
	f.declined = append(f.declined, user+" "+reason)
	return f.err
}
