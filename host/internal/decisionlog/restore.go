package decisionlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// ErrNoFacts says that a decision was stored without its facts.
var ErrNoFacts = errors.New("stored without its facts: [decisions] keep_facts was false")

// detail is what appendDetail writes.
type detail struct {
	Chain *struct {
		Code      string          `json:"code"`
		Detail    json.RawMessage `json:"detail"`
		Fault     string          `json:"fault"`
		FaultText string          `json:"fault_text"`
		Message   string          `json:"message"`
		Note      string          `json:"note"`
		Policy    string          `json:"policy"`
		Verdict   string          `json:"verdict"`
	} `json:"chain"`
	Detail    json.RawMessage `json:"detail"`
	Event     json.RawMessage `json:"event"`
	Facts     json.RawMessage `json:"facts"`
	FaultText string          `json:"fault_text"`
	Fuel      int64           `json:"fuel"`
	Permit    *struct {
		GivenMS int64 `json:"given_ms"`
		ID      int64 `json:"id"`
	} `json:"permit"`
	Steps []struct {
		Fault    string `json:"fault"`
		Fuel     int64  `json:"fuel"`
		Policy   string `json:"policy"`
		Revision string `json:"revision"`
		Trace    []byte `json:"trace"`
		Micros   int64  `json:"us"`
		Verdict  string `json:"verdict"`
	} `json:"steps"`
}

// parseDetail reads a detail as encoding/json would, in a part of the time where
// appendDetail wrote it.
func parseDetail(text string) (*detail, error) {
	var in detail
	rest, event, facts, ok := split(text)
	if !ok {
		return &in, json.Unmarshal([]byte(text), &in)
	}
	err := json.Unmarshal(rest, &in)
	in.Event, in.Facts = event, facts
	return &in, err
}

// Parts is what a stored decision's detail holds, for an admin.
type Parts struct {
	// Detail is the deciding policy's JSON object, Facts and Event what the
	// policies were told; nil if they are not there.
	Detail, Facts, Event json.RawMessage
	// FaultText is what the failure said.
	FaultText string
	// Fuel is what the policies used, in ticks.
	Fuel int64
	// Permit is what let the knock in against the policies, and what they decided;
	// nil if none did.
	Permit *Permit
	// Steps are the policies that were asked, in order.
	Steps []plugins.Step
}

// Open returns the parts of a stored decision.
func Open(d *store.Decision) (*Parts, error) {
	in, err := parseDetail(d.Detail)
	if err != nil {
		return nil, fmt.Errorf("decision %s: its detail: %w", d.RequestID, err)
	}
	p := &Parts{Detail: in.Detail, Facts: in.Facts, Event: in.Event, FaultText: in.FaultText, Fuel: in.Fuel}
	if in.Permit != nil {
		if in.Chain == nil {
			return nil, fmt.Errorf("decision %s: it is a permit's, and what the policies decided is missing", d.RequestID)
		}
		c := in.Chain
		verdict, ok := abi.ParseVerdict(c.Verdict)
		if !ok {
			return nil, fmt.Errorf("decision %s: the verdict %q of the policies", d.RequestID, c.Verdict)
		}
		p.Permit = &Permit{ID: in.Permit.ID, Given: time.UnixMilli(in.Permit.GivenMS), Chain: Outcome{
			Verdict: verdict, Policy: c.Policy, Fault: c.Fault, FaultText: c.FaultText,
			Message: c.Message, Note: c.Note, Code: c.Code, Detail: c.Detail,
		}}
	}
	for _, s := range in.Steps {
		step := plugins.Step{Policy: s.Policy, Revision: s.Revision, Trace: s.Trace, Fuel: s.Fuel, Micros: s.Micros}
		step.Fault.Class = plugins.FaultClass(s.Fault)
		var ok bool
		if step.Verdict, ok = abi.ParseVerdict(s.Verdict); !ok {
			return nil, fmt.Errorf("decision %s: the verdict %q of %s", d.RequestID, s.Verdict, s.Policy)
		}
		p.Steps = append(p.Steps, step)
	}
	return p, nil
}

// Restore returns a stored decision for [plugins.Chain.Replay]. Where a permit let the
// knock in, it is what the policies decided.
func Restore(d *store.Decision) (*plugins.Recorded, error) {
	p, err := Open(d)
	if err != nil {
		return nil, err
	}
	if p.Facts == nil {
		return nil, fmt.Errorf("decision %s: %w", d.RequestID, ErrNoFacts)
	}
	facts, err := plugins.ParseFacts(p.Facts, p.Event)
	if err != nil {
		return nil, fmt.Errorf("decision %s: %w", d.RequestID, err)
	}
	r := &plugins.Recorded{Facts: facts}
	r.Steps = p.Steps
	if p.Permit != nil {
		c := &p.Permit.Chain
		r.Verdict, r.Policy, r.Revision = c.Verdict, c.Policy, d.Revision
		r.Message, r.Note, r.Code, r.Detail = c.Message, c.Note, c.Code, c.Detail
		r.Fault = plugins.Fault{Class: plugins.FaultClass(c.Fault), Text: c.FaultText}
		return r, nil
	}
	var ok bool
	if r.Verdict, ok = abi.ParseVerdict(d.Verdict); !ok {
		return nil, fmt.Errorf("decision %s: the verdict %q", d.RequestID, d.Verdict)
	}
	r.Policy, r.Revision = d.Policy, d.Revision
	r.Message, r.Note, r.Code, r.Detail = d.Message, d.Note, d.Code, p.Detail
	r.Fault = plugins.Fault{Class: plugins.FaultClass(d.Fault), Text: p.FaultText}
	return r, nil
}
