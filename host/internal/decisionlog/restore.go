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

// Restore returns a stored decision for [plugins.Chain.Replay].
func Restore(d *store.Decision) (*plugins.Recorded, error) {
	var detail struct {
		Detail    json.RawMessage `json:"detail"`
		Event     json.RawMessage `json:"event"`
		Facts     json.RawMessage `json:"facts"`
		FaultText string          `json:"fault_text"`
		Steps     []struct {
			Fault    string `json:"fault"`
			Policy   string `json:"policy"`
			Revision string `json:"revision"`
			Trace    []byte `json:"trace"`
			Verdict  string `json:"verdict"`
		} `json:"steps"`
	}
	if err := json.Unmarshal([]byte(d.Detail), &detail); err != nil {
		return nil, fmt.Errorf("decision %s: its detail: %w", d.RequestID, err)
	}
	if detail.Facts == nil {
		return nil, fmt.Errorf("decision %s: %w", d.RequestID, ErrNoFacts)
	}
	facts, err := plugins.ParseFacts(detail.Facts, detail.Event)
	if err != nil {
		return nil, fmt.Errorf("decision %s: %w", d.RequestID, err)
	}
	r := &plugins.Recorded{Facts: facts}
	var ok bool
	if r.Verdict, ok = abi.ParseVerdict(d.Verdict); !ok {
		return nil, fmt.Errorf("decision %s: the verdict %q", d.RequestID, d.Verdict)
	}
	r.Policy, r.Revision = d.Policy, d.Revision
	r.Message, r.Note, r.Code, r.Detail = d.Message, d.Note, d.Code, detail.Detail
	r.Fault = plugins.Fault{Class: plugins.FaultClass(d.Fault), Text: detail.FaultText}
	for _, s := range detail.Steps {
		step := plugins.Step{Policy: s.Policy, Revision: s.Revision, Trace: s.Trace}
		step.Fault.Class = plugins.FaultClass(s.Fault)
		if step.Verdict, ok = abi.ParseVerdict(s.Verdict); !ok {
			return nil, fmt.Errorf("decision %s: the verdict %q of %s", d.RequestID, s.Verdict, s.Policy)
		}
		r.Steps = append(r.Steps, step)
	}
	return r, nil
}
