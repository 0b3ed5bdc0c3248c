package plugins

import "github.com/knockgate/knockgate/sdk/abi"

// Decision is the outcome of a chain. It belongs to the caller and is reusable:
// [Chain.Evaluate] overwrites it and keeps the memory of Steps and Detail.
type Decision struct {
	// Verdict is Allow, Deny or Incompatible, never anything else.
	Verdict abi.Verdict
	// Policy is the name of the policy that decided, or whose on_error did; ""
	// is the chain's default.
	Policy string
	// PolicyRevision is the revision of that policy, "" with Policy "".
	PolicyRevision string
	// Revision is the revision of the chain.
	Revision string
	// Message is the policy's words for the knocker: valid UTF-8 without
	// control characters, at most abi.MaxMessage bytes. It is empty after a
	// fault.
	Message string
	// Note and Code are for the record only.
	Note, Code string
	// Detail is a JSON object for the record only; empty if there is none.
	Detail []byte
	// Fault is set if the verdict is nobody's choice: an on_error that was not
	// pass, or a denial because of a fault that is no policy's.
	Fault Fault
	// Fuel is the sum of what the steps used, in ticks.
	Fuel int64
	// Steps are the policies that were asked, in order.
	Steps []Step

	trace   trace
	world   world        // of the decision that is being made
	answer  answer       // room for what a policy says
	pending *observation // for the policies in monitor mode
}

// Pending reports whether policies in monitor mode wait for [Decision.Answered].
func (d *Decision) Pending() bool { return d.pending != nil }

// Answered tells that the answer is on its way to the peer: only now are the
// policies in monitor mode asked. It returns at once. Call it after each
// [Chain.Evaluate]; until then, or until d is used again, the chain stays open.
// A second call does nothing.
func (d *Decision) Answered() {
	o := d.pending
	if o == nil {
		return
	}
	d.pending = nil
	o.decided = d.Verdict
	o.chain.monitor.submit(o)
}

// reset makes d a denial that nobody has decided yet, and keeps its memory.
func (d *Decision) reset() {
	if o := d.pending; o != nil { // nobody called Answered
		o.chain.monitor.drop(o)
	}
	clear(d.Steps) // their texts need not live as long as d
	buf := d.trace.buf
	*d = Decision{Verdict: abi.Deny, Detail: d.Detail[:0], Steps: d.Steps[:0], world: d.world, answer: d.answer}
	d.trace = trace{buf: buf[:0]}
}

// fail makes d a denial for a fault that is no policy's.
func (d *Decision) fail(f Fault) {
	d.Verdict, d.Fault = abi.Deny, f
	d.Policy, d.PolicyRevision = "", ""
	d.Message, d.Note, d.Code, d.Detail = "", "", "", d.Detail[:0]
}

// Step is what one policy of the chain said.
type Step struct {
	Policy   string
	Revision string
	// Verdict is the policy's answer. After a fault it is Error: on_error is
	// the chain's answer, not the policy's.
	Verdict abi.Verdict
	// Note and Code are what the policy said with its verdict for the record, also
	// where that was pass.
	Note, Code string
	Fault      Fault
	// Fuel is what the policy used, in ticks. It is the same for the same facts
	// and the same state of the guest, on every machine.
	Fuel int64
	// Micros is the time it took, in microseconds, with the wait for an
	// instance.
	Micros int64
	// Trace is what the policy asked of host functions and was answered, as
	// far as neither its facts nor its revision say so: the calls of kv and
	// lists. It is what [Chain.Replay] takes, and empty where the engine does
	// not record. It is good as long as the Decision is not used again.
	Trace []byte
}

// Fault is a failure to decide. The zero value is none.
type Fault struct {
	Class FaultClass
	// Text says what happened, for the admin.
	Text string
}

// FaultClass is the kind of a fault, as it stands in logs and records.
type FaultClass string

// The classes of faults. The last three are no policy's: they deny, whatever
// its on_error says.
const (
	FaultNone       FaultClass = ""
	FaultTrap       FaultClass = "trap"       // the guest trapped or panicked
	FaultExhausted  FaultClass = "exhausted"  // the guest used up Limits.Fuel
	FaultDepth      FaultClass = "depth"      // the guest nested its calls too deep
	FaultOverloaded FaultClass = "overloaded" // no instance came free within Limits.Wait
	FaultResult     FaultClass = "bad_result" // the answer breaks the ABI
	FaultExit       FaultClass = "exit"       // the guest called proc_exit
	FaultError      FaultClass = "error"      // the policy answered "error"
	FaultStart      FaultClass = "start"      // a new instance could not be made
	FaultResting    FaultClass = "resting"    // too many faults: the policy was not asked
	FaultTooLarge   FaultClass = "too_large"  // the facts do not fit a request frame
	FaultRequest    FaultClass = "request"    // the request's context ended
	FaultHost       FaultClass = "host_bug"   // our own code panicked
	FaultClosed     FaultClass = "closed"     // there is no chain any more
)
