package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

func TestAdmitList(t *testing.T) {
	tests := []struct {
		allow, deny []string
		origin      matrix.ServerName
		ok          bool
	}{
		{[]string{"*"}, nil, "a.example", true},
		{nil, nil, "a.example", false},
		{[]string{"*.example"}, nil, "a.example:8448", true},
		{[]string{"*.example"}, nil, "A.EXAMPLE", true},
		{[]string{"*.example"}, nil, "example", false},
		{[]string{"*"}, []string{"evil.example"}, "evil.example:8448", false},
		{[]string{"*"}, []string{"EVIL.example"}, "evil.example", false},
		{[]string{"*"}, []string{"127.*"}, "127.0.0.1:1", false},
		{[]string{"*"}, []string{"[[]*"}, "[::1]:1", true}, // '[' means itself
		{[]string{"*"}, []string{"[*"}, "[::1]:1", false},
	}
	for _, tt := range tests {
		o := NewOrigins(tt.allow, tt.deny, 1, 1)
		if err := o.Admit(tt.origin, time.Unix(1, 0)); (err == nil) != tt.ok {
			t.Errorf("allow %q, deny %q, %s: %v, want ok = %v", tt.allow, tt.deny, tt.origin, err, tt.ok)
		}
	}
}

func TestAdmitRate(t *testing.T) {
	o := NewOrigins([]string{"*"}, nil, 2, 3)
	now := time.Unix(1000, 0)
	for i := range 3 {
		if err := o.Admit("a", now); err != nil {
			t.Fatalf("request %d of the burst: %v", i+1, err)
		}
	}
	err, ok := o.Admit("a", now).(*matrix.Error)
	if !ok || err.Status != 429 || err.RetryAfter <= 0 || err.RetryAfter > 500*time.Millisecond {
		t.Fatalf("over the burst: %v, want 429 and a wait of at most half a second", err)
	}
	if err := o.Admit("b", now); err != nil {
		t.Errorf("another server: %v", err)
	}
	if err := o.Admit("a", now.Add(err.RetryAfter)); err != nil {
		t.Errorf("after the wait that was named: %v", err)
	}
}

// TestLimitersAreBounded: names come from peers; their number is bounded, and
// a name that is forgotten is admitted again.
func TestLimitersAreBounded(t *testing.T) {
	o := NewOrigins([]string{"*"}, nil, 1, 1)
	now := time.Unix(1000, 0)
	for i := range 3 * maxLimiters {
		if err := o.Admit(matrix.ServerName(fmt.Sprintf("s%d.example", i)), now); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(o.limiters); n > maxLimiters {
		t.Errorf("%d limiters, want at most %d", n, maxLimiters)
	}
}

// TestAnswer is the table from verdict to refusal.
func TestAnswer(t *testing.T) {
	tests := []struct {
		name     string
		decision plugins.Decision
		status   int
		code     string
		message  string
	}{
		{"allow", plugins.Decision{Verdict: abi.Allow}, 0, "", ""},
		{"deny", plugins.Decision{Verdict: abi.Deny}, 403, "M_FORBIDDEN", deniedMessage},
		{"deny with words", plugins.Decision{Verdict: abi.Deny, Message: "100% no"}, 403, "M_FORBIDDEN", "100% no"},
		{"incompatible", plugins.Decision{Verdict: abi.Incompatible}, 400, "M_INCOMPATIBLE_ROOM_VERSION", incompatibleMessage},
		{"incompatible with words", plugins.Decision{Verdict: abi.Incompatible, Message: "upgrade"}, 400, "M_INCOMPATIBLE_ROOM_VERSION", "upgrade"},
		{"fault that denies", plugins.Decision{Verdict: abi.Deny, Fault: plugins.Fault{Class: plugins.FaultTrap, Text: "secret"}}, 403, "M_FORBIDDEN", deniedMessage},
		{"no verdict", plugins.Decision{}, 403, "M_FORBIDDEN", deniedMessage},
		{"pass is no answer", plugins.Decision{Verdict: abi.Pass}, 403, "M_FORBIDDEN", deniedMessage},
		{"error is no answer", plugins.Decision{Verdict: abi.Error}, 403, "M_FORBIDDEN", deniedMessage},
		{"a verdict nobody knows", plugins.Decision{Verdict: 77}, 403, "M_FORBIDDEN", deniedMessage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := answer(&tt.decision, "9", "")
			if tt.status == 0 {
				if got != nil {
					t.Errorf("%v, want no refusal", got)
				}
				return
			}
			if got == nil || got.Status != tt.status || got.Code != tt.code || got.Message != tt.message {
				t.Fatalf("%+v, want %d %s %q", got, tt.status, tt.code, tt.message)
			}
			if (got.RoomVersion == "9") != (tt.code == "M_INCOMPATIBLE_ROOM_VERSION") {
				t.Errorf("room_version = %q", got.RoomVersion)
			}
		})
	}
}
