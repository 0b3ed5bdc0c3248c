// Package decisionlog keeps one record of every decision: a structured line
// in the log and a row in the store. Recording never makes an answer wait.
package decisionlog

import (
	"bytes"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Record is one decision of the chain: what was asked, what was decided and by
// which policy, what the peer was answered, and how long each stage took.
type Record struct {
	RequestID string
	At        time.Time
	Phase     abi.Phase
	Room      string
	User      string
	Origin    string
	Event     matrix.EventID // send_knock only

	Verdict abi.Verdict
	// Policy is the name of the policy that decided; "" is the chain's default.
	Policy string
	// Revision is the chain that decided.
	Revision string
	// Fault is the class of failure where on_error decided, else "".
	Fault string
	// FaultText is what the failure said.
	FaultText string
	// Message is what the knocker was told; Note and Code are for the record.
	Message, Note, Code string
	// Fuel is what the policies used, in ticks.
	Fuel int64
	// Detail is a JSON object of the policy's; may be empty.
	Detail []byte
	Steps  []plugins.Step
	// Facts are what the policies were told. They are the caller's, and good
	// until the record is handed over.
	Facts *abi.Facts

	// Permit is set where a permit let the knock in against the policies.
	Permit *Permit

	// Status and Errcode are the answer to the peer.
	Status  int
	Errcode string

	// Took is how long each stage took.
	Took Took

	recorded bool
}

// Permit is a permit that let a knock in.
type Permit struct {
	ID int64
	// Given is when it was given.
	Given time.Time
	// Chain is what the policies decided.
	Chain Outcome
}

// Outcome is what a chain decided; the fields are those of a [Record].
type Outcome struct {
	Verdict             abi.Verdict
	Policy              string
	Fault, FaultText    string
	Message, Note, Code string
	Detail              []byte
}

// Took is a decision's time, stage by stage.
type Took struct {
	// Auth is the parse of the body and the request's authentication, with the
	// fetch of the origin's keys where that was needed.
	Auth time.Duration
	// Protocol is the protocol's own checks.
	Protocol time.Duration
	// Policies is the chain.
	Policies time.Duration
	// Act is the making of the template, or the storing of the event.
	Act time.Duration
	// Total is from the request's arrival to its answer.
	Total time.Duration
}

// Reset makes the record new and keeps its buffers.
func (r *Record) Reset() { *r = Record{Steps: r.Steps[:0], Detail: r.Detail[:0]} }

// Asked notes what the policies were asked.
func (r *Record) Asked(f *abi.Facts) {
	r.Room, r.User, r.Origin, r.Facts = f.RoomID, f.UserID, f.Origin, f
}

// Decided notes what the policies decided.
func (r *Record) Decided(d *plugins.Decision) {
	r.Verdict, r.Policy, r.Revision = d.Verdict, d.Policy, d.Revision
	r.Fault, r.FaultText = string(d.Fault.Class), d.Fault.Text
	r.Message, r.Note, r.Code = d.Message, d.Note, d.Code
	r.Fuel = d.Fuel
	r.Detail = append(r.Detail[:0], d.Detail...)
	r.Steps = append(r.Steps[:0], d.Steps...)
}

// Permitted makes d, which the policies have decided, the decision of a permit: an
// allow by a policy of this name, of which the record keeps what it was before. Its
// steps stay.
func (r *Record) Permitted(policy string, id int64, given time.Time, d *plugins.Decision) {
	r.Permit = &Permit{ID: id, Given: given, Chain: Outcome{
		Verdict: d.Verdict, Policy: d.Policy, Fault: string(d.Fault.Class), FaultText: d.Fault.Text,
		Message: d.Message, Note: d.Note, Code: d.Code, Detail: bytes.Clone(d.Detail),
	}}
	d.Verdict, d.Policy, d.PolicyRevision, d.Fault = abi.Allow, policy, "", plugins.Fault{}
	d.Message, d.Note, d.Code, d.Detail = "", "", "", d.Detail[:0]
}

// Recorded reports whether the record has been handed to a Log.
func (r *Record) Recorded() bool { return r.recorded }
