package decisionlog

import (
	"context"
	"encoding/base64"
	"log/slog"
	"strconv"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Store keeps records. AppendDecision returns at once, and false where it
// could not take the record.
type Store interface {
	AppendDecision(d store.Decision) bool
}

// Log records decisions. It is safe for concurrent use.
type Log struct {
	store Store
	log   *slog.Logger
	facts bool // kept, with the traces

	now    func() time.Time
	losses losses
}

// New returns a log that writes lines to log and rows to store. keepFacts has
// a row hold the facts, and what host functions answered, for [Restore].
func New(store Store, log *slog.Logger, keepFacts bool) *Log {
	return &Log{store: store, log: log, facts: keepFacts, now: time.Now}
}

// Record writes r's line and hands its row to the store. It keeps nothing of r
// and does not wait for the disk. A row that the store could not take is [Log.Lost].
func (l *Log) Record(r *Record) {
	r.recorded = true
	l.line(r)
	if !l.store.AppendDecision(row(r, l.facts)) {
		l.Lost(1, queueFull)
	}
}

// queueFull is why the store takes no row.
const queueFull = "the store's queue is full, or closed"

// line writes the structured line: denials and faults stand out from the rest.
func (l *Log) line(r *Record) {
	level := slog.LevelInfo
	if r.Fault != "" || r.Permit != nil && r.Permit.Chain.Fault != "" {
		level = slog.LevelWarn
	}
	attrs := make([]slog.Attr, 0, 20)
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("request", r.RequestID)
	add("phase", r.Phase.String())
	add("origin", r.Origin)
	add("user", r.User)
	add("room", r.Room)
	add("verdict", r.Verdict.String())
	attrs = append(attrs, slog.String("policy", policyName(r.Policy)))
	add("code", r.Code)
	add("note", r.Note)
	add("fault", r.Fault)
	add("err", r.FaultText)
	if p := r.Permit; p != nil {
		attrs = append(attrs, slog.Int64("permit", p.ID), slog.String("denied_by", policyName(p.Chain.Policy)))
		add("denied_code", p.Chain.Code)
		add("denied_fault", p.Chain.Fault)
		add("err", p.Chain.FaultText)
	}
	attrs = append(attrs, slog.Int("status", r.Status))
	add("errcode", r.Errcode)
	add("revision", r.Revision)
	attrs = append(attrs,
		slog.Int64("fuel", r.Fuel),
		slog.Int64("auth_us", r.Took.Auth.Microseconds()),
		slog.Int64("protocol_us", r.Took.Protocol.Microseconds()),
		slog.Int64("policies_us", r.Took.Policies.Microseconds()),
		slog.Int64("act_us", r.Took.Act.Microseconds()),
		slog.Int64("total_us", r.Took.Total.Microseconds()))
	l.log.LogAttrs(context.Background(), level, "decision", attrs...)
}

// policyName names the chain's default as it stands in the configuration.
func policyName(name string) string {
	if name == "" {
		return "default"
	}
	return name
}

func row(r *Record, facts bool) store.Decision {
	return store.Decision{
		RequestID: r.RequestID, At: r.At, Phase: r.Phase.String(),
		Room: r.Room, User: r.User, Origin: r.Origin, Event: string(r.Event),
		Verdict: r.Verdict.String(), Policy: r.Policy, Revision: r.Revision, Fault: r.Fault,
		Message: r.Message, Note: r.Note, Code: r.Code, Status: r.Status, Errcode: r.Errcode,
		Auth: r.Took.Auth, Protocol: r.Took.Protocol, Policies: r.Took.Policies, Act: r.Took.Act, Total: r.Took.Total,
		Detail: string(appendDetail(nil, r, facts)),
	}
}

// appendDetail appends what has no column of its own: the policy's detail, the
// fault's text, the fuel, each policy's step, and what a replay needs if facts
// says so.
func appendDetail(dst []byte, r *Record, facts bool) []byte {
	dst = append(dst, '{')
	if r.Permit != nil {
		dst = append(appendOutcome(canonicaljson.AppendKey(dst, "chain"), &r.Permit.Chain), ',')
	}
	if len(r.Detail) > 0 {
		dst = canonicaljson.AppendKey(dst, "detail")
		dst = append(append(dst, r.Detail...), ',')
	}
	if facts && r.Facts != nil {
		if len(r.Facts.Event) > 0 {
			dst = canonicaljson.AppendKey(dst, "event")
			dst = append(append(dst, r.Facts.Event...), ',')
		}
		dst = canonicaljson.AppendKey(dst, "facts")
		dst = append(abi.AppendJSON(dst, r.Facts), ',')
	}
	if r.FaultText != "" {
		dst = canonicaljson.AppendKey(dst, "fault_text")
		dst = append(canonicaljson.AppendString(dst, r.FaultText), ',')
	}
	dst = canonicaljson.AppendKey(dst, "fuel")
	dst = append(strconv.AppendInt(dst, r.Fuel, 10), ',')
	if p := r.Permit; p != nil {
		dst = append(canonicaljson.AppendKey(dst, "permit"), '{')
		dst = strconv.AppendInt(canonicaljson.AppendKey(dst, "given_ms"), p.Given.UnixMilli(), 10)
		dst = append(dst, ',')
		dst = strconv.AppendInt(canonicaljson.AppendKey(dst, "id"), p.ID, 10)
		dst = append(dst, '}', ',')
	}
	dst = canonicaljson.AppendKey(dst, "steps")
	dst = append(dst, '[')
	for i, s := range r.Steps {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		if s.Fault.Class != "" {
			dst = canonicaljson.AppendKey(dst, "fault")
			dst = append(canonicaljson.AppendString(dst, string(s.Fault.Class)), ',')
		}
		dst = canonicaljson.AppendKey(dst, "fuel")
		dst = append(strconv.AppendInt(dst, s.Fuel, 10), ',')
		dst = canonicaljson.AppendKey(dst, "policy")
		dst = append(canonicaljson.AppendString(dst, s.Policy), ',')
		dst = canonicaljson.AppendKey(dst, "revision")
		dst = append(canonicaljson.AppendString(dst, s.Revision), ',')
		if facts && len(s.Trace) > 0 {
			dst = append(canonicaljson.AppendKey(dst, "trace"), '"')
			dst = append(base64.StdEncoding.AppendEncode(dst, s.Trace), '"', ',')
		}
		dst = canonicaljson.AppendKey(dst, "us")
		dst = append(strconv.AppendInt(dst, s.Micros, 10), ',')
		dst = canonicaljson.AppendKey(dst, "verdict")
		dst = append(canonicaljson.AppendString(dst, s.Verdict.String()), '}')
	}
	return append(dst, ']', '}')
}

// appendOutcome appends what the policies decided where a permit let a knock in.
func appendOutcome(dst []byte, o *Outcome) []byte {
	dst = append(dst, '{')
	add := func(key, value string) {
		if value != "" {
			dst = append(canonicaljson.AppendString(canonicaljson.AppendKey(dst, key), value), ',')
		}
	}
	add("code", o.Code)
	if len(o.Detail) > 0 {
		dst = append(append(canonicaljson.AppendKey(dst, "detail"), o.Detail...), ',')
	}
	add("fault", o.Fault)
	add("fault_text", o.FaultText)
	add("message", o.Message)
	add("note", o.Note)
	add("policy", o.Policy)
	return append(canonicaljson.AppendString(canonicaljson.AppendKey(dst, "verdict"), o.Verdict.String()), '}')
}
