package decisionlog

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// memory is a Store that keeps what it is given, or refuses it.
type memory struct {
	rows []store.Decision
	full bool
}

func (m *memory) AppendDecision(d store.Decision) bool {
	if m.full {
		return false
	}
	m.rows = append(m.rows, d)
	return true
}

func record() *Record {
	r := &Record{RequestID: "req1", At: time.UnixMilli(1000), Phase: abi.SendKnock, Event: "$e", Status: 403, Errcode: "M_FORBIDDEN"}
	r.Took = Took{Auth: 1 * time.Microsecond, Protocol: 2 * time.Microsecond, Policies: 3 * time.Microsecond, Act: 4 * time.Microsecond, Total: 10 * time.Microsecond}
	r.Asked(&abi.Facts{RoomID: "!r:here", UserID: "@u:there", Origin: "there"})
	r.Decided(&plugins.Decision{
		Verdict: abi.Deny, Policy: "reasons", Revision: "abc", Message: "say why\x1b[31m", Note: "rule 2", Code: "reason_missing",
		Detail: []byte(`{"rule":2}`), Fuel: 40,
		Steps: []plugins.Step{{Policy: "servers", Verdict: abi.Pass, Fuel: 10, Micros: 5}, {Policy: "reasons", Revision: "def", Verdict: abi.Deny, Fuel: 30, Micros: 7}},
	})
	return r
}

func TestRecord(t *testing.T) {
	var text strings.Builder
	m := &memory{}
	r := record()
	New(m, slog.New(slog.NewTextHandler(&text, nil)), false).Record(r)
	if !r.Recorded() {
		t.Error("the record does not know that it was recorded")
	}
	for _, want := range []string{
		"level=INFO", "msg=decision", "request=req1", "phase=send_knock", "origin=there", "user=@u:there", "room=!r:here",
		"verdict=deny", "policy=reasons", "code=reason_missing", "status=403", "errcode=M_FORBIDDEN", "revision=abc",
		"fuel=40", "auth_us=1", "protocol_us=2", "policies_us=3", "act_us=4", "total_us=10",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the line does not say %s:\n%s", want, &text)
		}
	}
	if n := strings.Count(text.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	if len(m.rows) != 1 {
		t.Fatalf("%d rows, want 1", len(m.rows))
	}
	want := store.Decision{
		RequestID: "req1", At: time.UnixMilli(1000), Phase: "send_knock", Room: "!r:here", User: "@u:there", Origin: "there", Event: "$e",
		Verdict: "deny", Policy: "reasons", Revision: "abc", Message: "say why\x1b[31m", Note: "rule 2", Code: "reason_missing",
		Status: 403, Errcode: "M_FORBIDDEN",
		Auth: 1 * time.Microsecond, Protocol: 2 * time.Microsecond, Policies: 3 * time.Microsecond, Act: 4 * time.Microsecond, Total: 10 * time.Microsecond,
		Detail: `{"detail":{"rule":2},"fuel":40,"steps":[{"fuel":10,"policy":"servers","revision":"","us":5,"verdict":"pass"},{"fuel":30,"policy":"reasons","revision":"def","us":7,"verdict":"deny"}]}`,
	}
	if diff := cmp.Diff(want, m.rows[0]); diff != "" {
		t.Error(diff)
	}
}

// TestFaultIsAFault: a fault is told as one, and never as the policy's choice.
func TestFaultIsAFault(t *testing.T) {
	var text strings.Builder
	m := &memory{}
	r := record()
	r.Decided(&plugins.Decision{
		Verdict: abi.Deny, Policy: "reasons", Fault: plugins.Fault{Class: plugins.FaultTrap, Text: "unreachable \"here\""},
		Steps: []plugins.Step{{Policy: "reasons", Verdict: abi.Error, Fault: plugins.Fault{Class: plugins.FaultTrap}}},
	})
	New(m, slog.New(slog.NewTextHandler(&text, nil)), false).Record(r)
	if got := m.rows[0].Fault; got != "trap" {
		t.Errorf("fault = %q, want trap", got)
	}
	if !strings.Contains(text.String(), "level=WARN") || !strings.Contains(text.String(), "fault=trap") {
		t.Errorf("the line does not stand out:\n%s", &text)
	}
	var detail struct {
		FaultText string `json:"fault_text"`
		Steps     []struct{ Fault, Verdict string }
	}
	if err := json.Unmarshal([]byte(m.rows[0].Detail), &detail); err != nil {
		t.Fatal(err)
	}
	if detail.FaultText != `unreachable "here"` || len(detail.Steps) != 1 || detail.Steps[0].Fault != "trap" || detail.Steps[0].Verdict != "error" {
		t.Errorf("detail = %+v", detail)
	}
}

// TestFullStoreIsSaid: a record that could not be stored leaves two lines.
func TestFullStoreIsSaid(t *testing.T) {
	var text strings.Builder
	New(&memory{full: true}, slog.New(slog.NewTextHandler(&text, nil)), false).Record(record())
	if !strings.Contains(text.String(), "level=ERROR") || !strings.Contains(text.String(), "decisions are not stored") {
		t.Errorf("log:\n%s", &text)
	}
}

func TestReset(t *testing.T) {
	r := record()
	r.Reset()
	if diff := cmp.Diff(Record{Steps: []plugins.Step{}, Detail: []byte{}}, *r, cmp.AllowUnexported(Record{})); diff != "" {
		t.Error(diff)
	}
}

// TestRestore: a stored decision is what it was, as far as a replay goes.
func TestRestore(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	facts := &abi.Facts{
		Phase: abi.SendKnock, RoomID: "!r:here", RoomVersion: "11", UserID: "@u:there", UserLocalpart: "u", UserServer: "there", Origin: "there",
		Reason: abi.Some("let me \"in\"\n"), Event: []byte(`{"content":{"reason":"let me \"in\"\n"},"type":"m.room.member"}`),
		RequestID: "req1", NowMS: 1000, ContentHashOK: true, Room: abi.RoomFacts{
			Known: true, Name: abi.Some("<Lobby>"), Members: 3, ACL: abi.Some(`{"allow":["<*>"]}`), Pending: abi.Count(2), PendingServer: abi.Count(0),
			UserMembership: abi.Some("leave"), UserMembershipSinceMS: abi.Count(5), UserMembershipBy: abi.Some("@mod:here"),
		},
	}
	decision := plugins.Decision{
		Verdict: abi.Deny, Policy: "reasons", Revision: "abc", Message: "no", Note: "n", Code: "c", Detail: []byte(`{"rule": 2}`),
		Fault: plugins.Fault{Class: plugins.FaultTrap, Text: "x"},
		Steps: []plugins.Step{{Policy: "servers", Revision: "d", Verdict: abi.Pass, Trace: []byte("\x01\x00\xff")},
			{Policy: "reasons", Revision: "e", Verdict: abi.Error, Fault: plugins.Fault{Class: plugins.FaultTrap}}},
	}
	for _, keep := range []bool{true, false} {
		m := &memory{}
		r := record()
		r.Asked(facts)
		r.Decided(&decision)
		New(m, quiet, keep).Record(r)
		got, err := Restore(&m.rows[0])
		if !keep {
			if !errors.Is(err, ErrNoFacts) || strings.Contains(m.rows[0].Detail, "let me") || strings.Contains(m.rows[0].Detail, "trace") {
				t.Errorf("without facts: %v, and the row holds %s", err, m.rows[0].Detail)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		want := &plugins.Recorded{Facts: facts, Decision: decision}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(plugins.Decision{})); diff != "" {
			t.Error(diff)
		}
	}
	// Of before there were more facts of the room.
	old := &store.Decision{Verdict: "deny", Detail: `{"facts":{"phase":"make_knock","request_id":"r","now_ms":1,"room_id":"!r:a","room_version":"11","user_id":"@u:b",` +
		`"user_localpart":"u","user_server":"b","origin":"b","supported_versions":["11"],"room":{"known":true,"join_rule":"knock","encrypted":false,"members":2,"age_ms":9}},"steps":[]}`}
	if r, err := Restore(old); err != nil || r.Facts.Room.Members != 2 || r.Facts.Room.Pending.Present {
		t.Errorf("an old decision: %+v, %v", r, err)
	}
	for _, detail := range []string{"", "[]", `{"facts":{}}`, `{"facts":{},"steps":[{"verdict":"so"}]}`} {
		if _, err := Restore(&store.Decision{Verdict: "deny", Detail: detail}); err == nil {
			t.Errorf("the detail %q restores", detail)
		}
	}
}
