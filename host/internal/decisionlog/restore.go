package decisionlog

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// ErrNoFacts says that a decision was stored without its facts.
var ErrNoFacts = errors.New("stored without its facts: [decisions] keep_facts was false")

// detail is what appendDetail writes.
type detail struct {
	Detail    json.RawMessage `json:"detail"`
	Event     json.RawMessage `json:"event"`
	Facts     json.RawMessage `json:"facts"`
	FaultText string          `json:"fault_text"`
	Fuel      int64           `json:"fuel"`
	Steps     []struct {
		Fault    string `json:"fault"`
		Fuel     int64  `json:"fuel"`
		Policy   string `json:"policy"`
		Revision string `json:"revision"`
		Trace    []byte `json:"trace"`
		Micros   int64  `json:"us"`
		Verdict  string `json:"verdict"`
	} `json:"steps"`
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
	// Steps are the policies that were asked, in order.
	Steps []plugins.Step
}

// Open returns the parts of a stored decision.
func Open(d *store.Decision) (*Parts, error) {
	var in detail
	if err := json.Unmarshal([]byte(d.Detail), &in); err != nil {
		return nil, fmt.Errorf("decision %s: its detail: %w", d.RequestID, err)
	}
	p := &Parts{Detail: in.Detail, Facts: in.Facts, Event: in.Event, FaultText: in.FaultText, Fuel: in.Fuel}
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

// Restore returns a stored decision for [plugins.Chain.Replay].
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
	var ok bool
	if r.Verdict, ok = abi.ParseVerdict(d.Verdict); !ok {
		return nil, fmt.Errorf("decision %s: the verdict %q", d.RequestID, d.Verdict)
	}
	r.Policy, r.Revision = d.Policy, d.Revision
	r.Message, r.Note, r.Code, r.Detail = d.Message, d.Note, d.Code, p.Detail
	r.Fault = plugins.Fault{Class: plugins.FaultClass(d.Fault), Text: p.FaultText}
	return r, nil
}
