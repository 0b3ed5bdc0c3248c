package gateway

import (
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/permits"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// asked counts what is asked of permits, of which there are none.
type asked struct{ find, claim int }

func (a *asked) Find(string, string, time.Time) (permits.Held, bool) {
	a.find++
	return permits.Held{}, false
}

func (a *asked) Claim(string, string, time.Time) (permits.Held, bool) {
	a.claim++
	return permits.Held{}, false
}

// TestPermitAsked: permits are asked about what policies deny, and about nothing
// else: no other verdict, and no fault that is not a policy's.
func TestPermitAsked(t *testing.T) {
	for _, tt := range []struct {
		phase   abi.Phase
		verdict abi.Verdict
		fault   plugins.FaultClass
		want    asked
	}{
		{abi.MakeKnock, abi.Deny, plugins.FaultNone, asked{find: 1}},
		{abi.SendKnock, abi.Deny, plugins.FaultNone, asked{claim: 1}},
		{abi.SendKnock, abi.Deny, plugins.FaultTrap, asked{claim: 1}},
		{abi.SendKnock, abi.Deny, plugins.FaultResting, asked{claim: 1}},
		{abi.SendKnock, abi.Deny, plugins.FaultTooLarge, asked{claim: 1}},
		{abi.SendKnock, abi.Deny, plugins.FaultRequest, asked{}},
		{abi.SendKnock, abi.Deny, plugins.FaultHost, asked{}},
		{abi.SendKnock, abi.Deny, plugins.FaultClosed, asked{}},
		{abi.SendKnock, abi.Allow, plugins.FaultNone, asked{}},
		{abi.SendKnock, abi.Incompatible, plugins.FaultNone, asked{}},
	} {
		var got asked
		s, q := Stages{Permits: &got}, &request{}
		q.decision.Verdict, q.decision.Fault.Class = tt.verdict, tt.fault
		s.permit(q, &abi.Facts{Phase: tt.phase})
		if got != tt.want || q.decision.Verdict != tt.verdict || q.held {
			t.Errorf("%s %s %q: asked %+v, verdict %s; want %+v", tt.phase, tt.verdict, tt.fault, got, q.decision.Verdict, tt.want)
		}
	}
}
