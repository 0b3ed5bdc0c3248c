package notices

import (
	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Recorder keeps decisions, such as a [decisionlog.Log].
type Recorder interface {
	Record(r *decisionlog.Record)
}

// Recorder returns a recorder that notes each decision and hands it on to next.
func (n *Notices) Recorder(next Recorder) Recorder {
	if n == nil {
		return next
	}
	return recorder{n, next}
}

type recorder struct {
	*Notices
	next Recorder
}

// Record waits for nobody.
func (n recorder) Record(r *decisionlog.Record) {
	item := Item{Kind: Denied, Class: r.Verdict.String(), Policy: r.Policy, Origin: r.Origin, Room: r.Room}
	if r.Verdict == abi.Allow {
		item.Kind = Allowed
	}
	n.Note(item)
	told := false // the fault of the decision is one of a step
	for i := range r.Steps {
		step := &r.Steps[i]
		if step.Fault.Class != "" {
			n.Note(Item{Kind: Faults, Class: string(step.Fault.Class), Policy: step.Policy})
			told = told || string(step.Fault.Class) == r.Fault
		}
	}
	if r.Fault != "" && !told {
		n.Note(Item{Kind: Faults, Class: r.Fault, Policy: r.Policy})
	}
	n.next.Record(r)
}
