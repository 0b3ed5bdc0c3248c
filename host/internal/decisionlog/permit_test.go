package decisionlog

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// TestPermitted: the record of a permit is an allow, and has all that the policies
// said, with or without the facts; a replay gets what they said.
func TestPermitted(t *testing.T) {
	for _, facts := range []bool{true, false} {
		var text strings.Builder
		m, r := &memory{}, &Record{RequestID: "req1", At: time.UnixMilli(1000), Phase: abi.SendKnock, Status: 200}
		r.Asked(&abi.Facts{Phase: abi.SendKnock, RoomID: "!r:here", UserID: "@u:there", Origin: "there"})
		d := &plugins.Decision{
			Verdict: abi.Deny, Policy: "reasons", PolicyRevision: "def", Revision: "abc", Message: `say "why"`, Note: "rule 2", Code: "reason_missing",
			Fault: plugins.Fault{Class: plugins.FaultTrap, Text: "it\ntrapped"}, Detail: []byte(`{"rule":2}`), Fuel: 40,
			Steps: []plugins.Step{{Policy: "reasons", Revision: "def", Verdict: abi.Error, Fault: plugins.Fault{Class: plugins.FaultTrap}, Fuel: 40}},
		}
		r.Permitted("permit", 7, time.UnixMilli(500), d)
		r.Decided(d)
		New(m, slog.New(slog.NewTextHandler(&text, nil)), facts).Record(r)
		for _, want := range []string{"level=WARN", "verdict=allow", "policy=permit", "permit=7", "denied_by=reasons", "denied_code=reason_missing", "denied_fault=trap"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("the line does not say %s:\n%s", want, &text)
			}
		}
		row := m.rows[0]
		if row.Verdict != "allow" || row.Policy != "permit" || row.Fault != "" || row.Message != "" || row.Code != "" || row.Revision != "abc" {
			t.Errorf("the row is %+v", row)
		}
		parts, err := Open(&row)
		if err != nil {
			t.Fatal(err)
		}
		want := &Permit{ID: 7, Given: time.UnixMilli(500), Chain: Outcome{
			Verdict: abi.Deny, Policy: "reasons", Fault: "trap", FaultText: "it\ntrapped", Message: `say "why"`, Note: "rule 2", Code: "reason_missing",
			Detail: []byte(`{"rule":2}`),
		}}
		if diff := cmp.Diff(want, parts.Permit); diff != "" || len(parts.Steps) != 1 {
			t.Errorf("%d steps, want 1; (-want +got):\n%s", len(parts.Steps), diff)
		}
		if !facts {
			continue
		}
		was, err := Restore(&row)
		if err != nil {
			t.Fatal(err)
		}
		if was.Verdict != abi.Deny || was.Policy != "reasons" || was.Revision != "abc" || was.Message != `say "why"` || was.Note != "rule 2" ||
			was.Code != "reason_missing" || string(was.Detail) != `{"rule":2}` || was.Fault.Class != plugins.FaultTrap || was.Fault.Text != "it\ntrapped" {
			t.Errorf("a replay gets %+v", was)
		}
		row.Detail = strings.Replace(row.Detail, `"chain"`, `"other"`, 1)
		if _, err := Open(&row); err == nil {
			t.Error("a permit's row without what the policies decided is opened")
		}
	}
}
