package decisionlog

import (
	"context"
	"log/slog"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
)

// Monitor is the mode of rows that tell what a policy in monitor mode would
// have said.
const Monitor = "monitor"

// Monitored records what a policy in monitor mode would have said: a line and
// a row with the request's ID, the row first: who reads the line finds it after a
// flush of the store. It keeps nothing of r and does not wait for the disk.
func (l *Log) Monitored(r *plugins.MonitorResult) {
	if !l.store.AppendDecision(monitorRow(r)) {
		l.Lost(1, queueFull)
	}
	level := slog.LevelInfo
	if r.Fault.Class != plugins.FaultNone {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("request", r.RequestID), slog.String("phase", r.Phase.String()), slog.String("origin", r.Origin),
		slog.String("user", r.UserID), slog.String("room", r.RoomID), slog.String("policy", r.Policy),
		slog.String("verdict", r.Verdict.String()), slog.String("decided", r.Decided.String()),
		slog.Bool("differs", r.Differs()), slog.String("revision", r.Revision),
	}
	for _, a := range [...]struct{ key, value string }{
		{"code", r.Code}, {"note", r.Note}, {"message", r.Message}, {"fault", string(r.Fault.Class)}, {"err", r.Fault.Text},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	attrs = append(attrs, slog.Int64("policies_us", r.Took.Microseconds()))
	l.log.LogAttrs(context.Background(), level, "monitor", attrs...)
}

func monitorRow(r *plugins.MonitorResult) store.Decision {
	detail := []byte{'{'}
	add := func(key, value string) {
		if len(detail) > 1 {
			detail = append(detail, ',')
		}
		detail = canonicaljson.AppendString(canonicaljson.AppendKey(detail, key), value)
	}
	add("decided", r.Decided.String())
	if r.Fault.Text != "" {
		add("fault_text", r.Fault.Text)
	}
	add("policy_revision", r.PolicyRevision)
	return store.Decision{
		RequestID: r.RequestID, At: time.UnixMilli(r.NowMS), Phase: r.Phase.String(),
		Room: r.RoomID, User: r.UserID, Origin: r.Origin,
		Verdict: r.Verdict.String(), Mode: Monitor, Policy: r.Policy, Revision: r.Revision, Fault: string(r.Fault.Class),
		Message: r.Message, Note: r.Note, Code: r.Code, Policies: r.Took, Detail: string(append(detail, '}')),
	}
}
