package decisionlog

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

func TestMonitored(t *testing.T) {
	r := plugins.MonitorResult{
		RequestID: "req1", Phase: abi.SendKnock, RoomID: "!r:here", UserID: "@u:there", Origin: "there", NowMS: 1000,
		Revision: "abc", Decided: abi.Allow, Policy: "strict", PolicyRevision: "def", Verdict: abi.Deny,
		Message: "no", Note: "n", Code: "c", Took: 3 * time.Microsecond,
	}
	faulty := r
	faulty.Fault = plugins.Fault{Class: plugins.FaultTrap, Text: "unreachable"}
	for _, tt := range []struct {
		name   string
		r      plugins.MonitorResult
		line   []string
		detail string
	}{
		{"by choice", r, []string{"level=INFO", "msg=monitor", "request=req1", "policy=strict", "verdict=deny", "decided=allow", "differs=true", "code=c", "revision=abc"},
			`{"decided":"allow","policy_revision":"def"}`},
		{"fault", faulty, []string{"level=WARN", "msg=monitor", "fault=trap", "err=unreachable"},
			`{"decided":"allow","fault_text":"unreachable","policy_revision":"def"}`},
	} {
		var text strings.Builder
		m := &memory{}
		New(m, slog.New(slog.NewTextHandler(&text, nil)), false).Monitored(&tt.r)
		for _, want := range tt.line {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: the line does not say %s:\n%s", tt.name, want, &text)
			}
		}
		if len(m.rows) != 1 {
			t.Fatalf("%s: %d rows, want 1", tt.name, len(m.rows))
		}
		d := m.rows[0]
		if d.Mode != "monitor" || d.RequestID != "req1" || d.Verdict != "deny" || d.Policy != "strict" || d.Revision != "abc" ||
			d.Fault != string(tt.r.Fault.Class) || d.Detail != tt.detail || d.Policies != 3*time.Microsecond || !d.At.Equal(time.UnixMilli(1000)) {
			t.Errorf("%s: row %+v", tt.name, d)
		}
	}
	var text strings.Builder
	New(&memory{full: true}, slog.New(slog.NewTextHandler(&text, nil)), false).Monitored(&r)
	if !strings.Contains(text.String(), "decisions are not stored") {
		t.Errorf("a full queue goes unsaid:\n%s", &text)
	}
}
