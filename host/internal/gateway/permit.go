package gateway

import (
	"net/http"
	"time"

	"github.com/knockgate/knockgate/host/internal/permits"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Permits let single knocks in against the policies. They do not block.
type Permits interface {
	// Find returns a permit that is good at a time; Claim takes it, until it is
	// given back or used.
	Find(room, user string, now time.Time) (permits.Held, bool)
	Claim(room, user string, now time.Time) (permits.Held, bool)
}

// permit lets q in if its policies deny it and there is a permit. A send_knock
// claims it. A denial because of a fault that is no policy's stands.
func (s *Stages) permit(q *request, f *abi.Facts) {
	if s.Permits == nil || q.decision.Verdict != abi.Deny {
		return
	}
	switch q.decision.Fault.Class {
	case plugins.FaultRequest, plugins.FaultHost, plugins.FaultClosed:
		return
	}
	find := s.Permits.Find
	if f.Phase == abi.SendKnock {
		find = s.Permits.Claim
	}
	held, ok := find(f.RoomID, f.UserID, q.At)
	if !ok {
		return
	}
	if f.Phase == abi.SendKnock {
		q.permit, q.held = held, true
	}
	p := held.Permit()
	q.record.Permitted(permits.Policy, p.ID, p.Given, &q.decision)
}

// settle uses up the permit that q has claimed if the knock was taken, before its
// sender hears of it, and else gives it back.
func (q *request) settle(status int) {
	if !q.held {
		return
	}
	if status == http.StatusOK {
		q.permit.Use(q.ID)
	} else {
		q.permit.GiveBack()
	}
	q.permit, q.held = permits.Held{}, false
}
