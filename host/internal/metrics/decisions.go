package metrics

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/permits"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Values of the label policy that are no policy's name.
const (
	chainDefault = "default" // the chain's default decided; the log has this name too
	removed      = "removed" // a policy that is not in force any more decided
	permit       = permits.Policy
)

// policyMode names the series of one policy. A policy in another mode is counted
// elsewhere.
type policyMode struct {
	policy string
	mode   plugins.Mode
}

// policySeries are the series of a policy, so that counting finds them without
// looking for labels.
type policySeries struct {
	decisions     [abi.SendKnock + 1][abi.Pass + 1]prometheus.Counter
	seconds, fuel prometheus.Observer // nil for what is no policy
	faults        map[plugins.FaultClass]prometheus.Counter
}

// verdicts are those of a decision, and of a policy in monitor mode.
var verdicts = map[plugins.Mode][]abi.Verdict{
	plugins.Enforce: {abi.Allow, abi.Deny, abi.Incompatible},
	plugins.Monitor: {abi.Allow, abi.Deny, abi.Incompatible, abi.Pass},
}

var phases = []abi.Phase{abi.MakeKnock, abi.SendKnock}

// faultClasses are the classes of faults of plugins.
var faultClasses = []plugins.FaultClass{
	plugins.FaultTrap, plugins.FaultExhausted, plugins.FaultDepth, plugins.FaultOverloaded, plugins.FaultResult,
	plugins.FaultExit, plugins.FaultError, plugins.FaultStart, plugins.FaultResting, plugins.FaultTooLarge,
	plugins.FaultRequest, plugins.FaultHost, plugins.FaultClosed,
}

func (m *Metrics) newDecisions() {
	took := m.histogramVec("decision_seconds", "Time from a knock's arrival to its answer, where policies were asked.",
		[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}, "phase")
	for _, phase := range phases {
		m.took[phase] = took.WithLabelValues(phase.String())
	}
	m.decisions = m.counterVec("decisions_total",
		"Decisions, by who decided; with mode monitor, what policies in monitor mode would have said.",
		"phase", "verdict", "policy", "mode")
	m.seconds = m.histogramVec("policy_seconds", "Time in which a policy answered, the wait for an instance included.",
		[]float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, .001, .0025, .005, .01, .025, .05, .1, .25, 1}, "policy")
	m.fuel = m.histogramVec("policy_fuel_ticks", "Fuel that a policy used for an answer.",
		[]float64{100, 300, 1e3, 3e3, 10e3, 30e3, 100e3, 200e3, 500e3, 1e6, 5e6}, "policy")
	m.faults = m.counterVec("policy_errors_total", "Faults of policies, by their class.", "policy", "class")
	m.Use(nil)
}

// Use makes the policies that are in force those that are counted by name. It is
// called before their chain decides. The series of all others are gone, and what
// these still decide is counted as the policy "removed".
func (m *Metrics) Use(policies []plugins.PolicyStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	series := map[policyMode]*policySeries{
		{chainDefault, plugins.Enforce}: m.newSeries(chainDefault, plugins.Enforce),
		{removed, plugins.Enforce}:      m.newSeries(removed, plugins.Enforce),
		{removed, plugins.Monitor}:      m.newSeries(removed, plugins.Monitor),
		{permit, plugins.Enforce}:       m.newSeries(permit, plugins.Enforce),
	}
	names := map[string]bool{chainDefault: true, removed: true, permit: true}
	for _, p := range policies {
		s := m.newSeries(p.Name, p.Mode)
		s.seconds, s.fuel = m.seconds.WithLabelValues(p.Name), m.fuel.WithLabelValues(p.Name)
		series[policyMode{p.Name, p.Mode}] = s
		names[p.Name] = true
	}
	before := m.series.Swap(&series)
	if before == nil {
		return
	}
	for old := range *before {
		if series[old] == nil {
			m.decisions.DeletePartialMatch(prometheus.Labels{"policy": old.policy, "mode": string(old.mode)})
		}
		if !names[old.policy] {
			m.seconds.DeleteLabelValues(old.policy)
			m.fuel.DeleteLabelValues(old.policy)
			m.faults.DeletePartialMatch(prometheus.Labels{"policy": old.policy})
		}
	}
}

// newSeries makes the series of a policy, at 0 where they are new: a counter that
// begins at 1 has no increase that a query could see.
func (m *Metrics) newSeries(policy string, mode plugins.Mode) *policySeries {
	s := &policySeries{faults: make(map[plugins.FaultClass]prometheus.Counter, len(faultClasses))}
	for _, phase := range phases {
		for _, v := range verdicts[mode] {
			s.decisions[phase][v] = m.decisions.WithLabelValues(phase.String(), v.String(), policy, string(mode))
		}
	}
	if policy == permit {
		return s // it has no faults
	}
	for _, class := range faultClasses {
		s.faults[class] = m.faults.WithLabelValues(policy, string(class))
	}
	return s
}

// find returns the series of a policy, or those of what is removed.
func (m *Metrics) find(policy string, mode plugins.Mode) *policySeries {
	series := *m.series.Load()
	if s := series[policyMode{policy, mode}]; s != nil {
		return s
	}
	return series[policyMode{removed, mode}]
}

// decided counts a verdict. One that no policy can give is a denial, as it is for
// the knocker.
func (s *policySeries) decided(phase abi.Phase, v abi.Verdict) {
	if int(v) >= len(s.decisions[phase]) || s.decisions[phase][v] == nil {
		v = abi.Deny
	}
	s.decisions[phase][v].Inc()
}

// asked counts what one policy said, or failed to say.
func (s *policySeries) asked(class plugins.FaultClass, took float64, fuel int64) {
	if c := s.faults[class]; c != nil {
		c.Inc()
	}
	if s.seconds == nil || class == plugins.FaultResting || class == plugins.FaultTooLarge {
		return // it was not asked
	}
	s.seconds.Observe(took)
	if fuel > 0 {
		s.fuel.Observe(float64(fuel))
	}
}

// Recorder keeps decisions, such as a [decisionlog.Log].
type Recorder interface {
	Record(r *decisionlog.Record)
}

// Recorder returns a recorder that counts each decision and hands it on to next.
func (m *Metrics) Recorder(next Recorder) Recorder { return recorder{m, next} }

type recorder struct {
	*Metrics
	next Recorder
}

// Record allocates nothing and waits for nobody.
func (r recorder) Record(d *decisionlog.Record) {
	r.took[d.Phase].Observe(seconds(d.Took.Total))
	who := d.Policy
	if who == "" {
		who = chainDefault
	}
	by := r.find(who, plugins.Enforce)
	by.decided(d.Phase, d.Verdict)
	fault := d.Fault
	if d.Permit != nil {
		by, fault = r.find(cmp.Or(d.Permit.Chain.Policy, chainDefault), plugins.Enforce), d.Permit.Chain.Fault
	}
	told := false // the fault of the decision is one of a step
	for i := range d.Steps {
		step := &d.Steps[i]
		r.find(step.Policy, plugins.Enforce).asked(step.Fault.Class, float64(step.Micros)/1e6, step.Fuel)
		told = told || string(step.Fault.Class) == fault
	}
	if fault != "" && !told {
		by.asked(plugins.FaultClass(fault), 0, 0)
	}
	r.next.Record(d)
}

// Monitored counts what a policy in monitor mode would have said.
func (m *Metrics) Monitored(r *plugins.MonitorResult) {
	s := m.find(r.Policy, plugins.Monitor)
	s.decided(r.Phase, r.Verdict)
	s.asked(r.Fault.Class, seconds(r.Took), r.Fuel)
}
