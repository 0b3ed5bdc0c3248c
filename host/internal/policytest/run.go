package policytest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/knockgate/knockgate/host/internal/policykv"
	"github.com/knockgate/knockgate/host/internal/policylist"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Options say how a module is run. The zero value compiles it in this process.
type Options struct {
	Compiler    plugins.Compiler
	Interpreter bool
	// Isolation is that of the policy; "" is reset, so that what a case takes and
	// answers does not depend on the ones before it.
	Isolation plugins.Isolation
}

// Report is what became of all fixtures.
type Report struct {
	Results []Result
	// Refusals are the settings that the policy refused, by file.
	Refusals map[string][]plugins.SettingError
}

// Failed returns how many fixtures did not get what they want.
func (r *Report) Failed() (n int) {
	for i := range r.Results {
		if len(r.Results[i].Differences) > 0 {
			n++
		}
	}
	return n
}

// Result is what became of one knock, or of settings that are to be refused.
type Result struct {
	File string // its name
	Name string // of case and step; "settings" where those are to be refused
	Path string // such as "cases[2].steps[0]"; "refused" for settings
	Got  Answer
	// Differences are what is not as it must be; none is a fixture that holds.
	Differences []Difference
}

// Answer is what a policy said.
type Answer struct {
	Verdict             string
	Message, Note, Code string
	// Fault is the class of the fault with the verdict error, whose text is Note.
	Fault string
	Fuel  int64
}

// Difference is one thing that is not as a fixture wants it.
type Difference struct{ What, Got, Want string }

// Run asks the module at path about every fixture, in order. It fails if the
// module cannot be loaded for another reason than its settings, or ctx ends.
func Run(ctx context.Context, path string, files []*File, o Options) (r *Report, err error) {
	b, err := newBench(path, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	r = &Report{Refusals: map[string][]plugins.SettingError{}}
	for _, f := range files {
		if err := b.file(ctx, f, r); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return r, nil
}

// bench is an engine with one policy in it, and what the policy reaches.
type bench struct {
	engine *plugins.Engine
	module string
	grants []string // what the module needs
	o      Options
	chain  *plugins.Chain
	kv     atomic.Pointer[policykv.KV]
	lists  atomic.Pointer[policylist.Lists]
}

func newBench(path string, o Options) (*bench, error) {
	in, err := inspect(path)
	if err != nil {
		return nil, err
	}
	b := &bench{module: path, grants: in.Capabilities, o: o}
	if b.o.Isolation == "" {
		b.o.Isolation = plugins.IsolationReset
	}
	b.engine, err = plugins.NewEngine(plugins.EngineOptions{
		KV: b, Lists: b, Compiler: o.Compiler, Interpreter: o.Interpreter,
		Limits: plugins.Limits{Instances: 1, Wait: time.Minute, Faults: 10_000},
	})
	return b, err
}

func (b *bench) close(ctx context.Context) error {
	b.chain.Release()
	return b.engine.Close(context.WithoutCancel(ctx))
}

// Get implements plugins.KV, as the other methods do, on what the case has.
func (b *bench) Get(policy string, key []byte, nowMS int64, dst []byte) ([]byte, bool) {
	return b.kv.Load().Get(policy, key, nowMS, dst)
}

// Put implements plugins.KV.
func (b *bench) Put(policy string, key, value []byte, nowMS, expiresMS int64) bool {
	return b.kv.Load().Put(policy, key, value, nowMS, expiresMS)
}

// Incr implements plugins.KV.
func (b *bench) Incr(policy string, key []byte, delta, nowMS, expiresMS int64) int64 {
	return b.kv.Load().Incr(policy, key, delta, nowMS, expiresMS)
}

// Has implements plugins.Lists.
func (b *bench) Has(list, key []byte) (has, known bool) { return b.lists.Load().Has(list, key) }

const policyName = "policy"

// load loads the policy as a file of fixtures would have it configured.
func (b *bench) load(ctx context.Context, f *File) error {
	spec := plugins.PolicySpec{
		Name: policyName, Module: b.module, Settings: canonical(f.Settings), OnError: abi.Pass, Grants: b.grants,
		Limits: plugins.Limits{Fuel: f.Fuel, Isolation: b.o.Isolation},
	}
	if f.Grants != nil {
		spec.Grants = *f.Grants
	}
	// What is released first leaves its native code in the engine's cache.
	chain, err := b.engine.Load(ctx, plugins.ChainSpec{Policies: []plugins.PolicySpec{spec}, Default: abi.Allow}, b.chain)
	if err != nil {
		return err
	}
	b.chain.Release()
	b.chain = chain
	return nil
}

// file runs one file of fixtures.
func (b *bench) file(ctx context.Context, f *File, r *Report) error {
	err := b.load(ctx, f)
	failure, _ := errors.AsType[*plugins.LoadError](err)
	refused, faults := err != nil, faultsOf(err)
	if failure != nil && faults == nil {
		return fmt.Errorf("the module does not load: %w", err)
	} else if refused && failure == nil {
		return err
	}
	if refused {
		r.Refusals[f.Path] = faults
	}
	if f.Refused != nil {
		result := Result{File: f.Name, Name: "settings", Path: "refused", Got: Answer{Verdict: "accepted"}}
		if refused {
			result.Got = Answer{Verdict: "refused"}
		}
		result.Differences = f.checkRefusal(failure, faults)
		r.Results = append(r.Results, result)
		return nil
	}
	for i := range f.Cases {
		if refused {
			for _, s := range f.steps(i) {
				r.Results = append(r.Results, Result{File: f.Name, Name: s.name, Path: s.path,
					Differences: []Difference{{"settings", "refused: " + joined(faults), "accepted"}}})
			}
			continue
		}
		if err := b.testCase(ctx, f, i, r); err != nil {
			return err
		}
	}
	return nil
}

// faultsOf returns what the settings were refused for, nil if it is not that.
func faultsOf(err error) []plugins.SettingError {
	if refused, ok := errors.AsType[*plugins.SettingsError](err); ok {
		return refused.Errors
	}
	failure, ok := errors.AsType[*plugins.LoadError](err)
	takesNone := ok && failure.Stage == plugins.StageConfigure && strings.Contains(err.Error(), "takes no settings")
	if ok && failure.Stage == plugins.StageSpec && strings.Contains(err.Error(), "settings") || takesNone {
		return []plugins.SettingError{{Message: failure.Err.Error()}}
	}
	return nil
}

func joined(faults []plugins.SettingError) string {
	return strings.TrimPrefix((&plugins.SettingsError{Errors: faults}).Error(), "the policy refuses its settings: ")
}

// checkRefusal holds the faults of the settings to those of the fixture. Where the
// module's schema refused, the policy was not asked: then its words are the
// host's, and faults that only the policy sees are not told.
func (f *File) checkRefusal(failure *plugins.LoadError, got []plugins.SettingError) []Difference {
	if failure == nil {
		return []Difference{{"settings", "accepted", fmt.Sprintf("refused with %d faults", len(f.Refused))}}
	}
	byPolicy := failure.Stage == plugins.StageConfigure
	var list []Difference
	if byPolicy && len(got) != len(f.Refused) {
		list = append(list, Difference{"faults", fmt.Sprint(len(got)), fmt.Sprint(len(f.Refused))})
	}
	for _, g := range got {
		known := slices.ContainsFunc(f.Refused, func(w Refusal) bool {
			return w.Path == g.Path && (!byPolicy || strings.Contains(g.Message, w.Says))
		})
		if !known {
			list = append(list, Difference{"fault", g.Path + ": " + g.Message, "one of refused"})
		}
	}
	return list
}

// testCase does the steps of one case, each on what the ones before it left.
func (b *bench) testCase(ctx context.Context, f *File, i int, r *Report) error {
	if err := b.world(f, i); err != nil {
		return err
	}
	var d plugins.Decision
	nowMS := int64(start)
	for _, s := range f.steps(i) {
		nowMS += time.Duration(s.step.After).Milliseconds()
		facts, err := f.facts(i, s, nowMS)
		if err != nil {
			return fmt.Errorf("%s.%w", s.path, err)
		}
		nowMS = facts.NowMS
		result := Result{File: f.Name, Name: s.name, Path: s.path}
		for round := range max(s.step.Times, 1) {
			if round > 0 {
				facts.RequestID = fmt.Sprintf("fixture-%d", round+1)
			}
			b.chain.Evaluate(ctx, facts, &d)
			if err := ctx.Err(); err != nil {
				return err
			}
			result.Got = answerOf(&d)
			if result.Differences = s.step.Want.differences(result.Got); len(result.Differences) > 0 {
				if s.step.Times > 1 {
					result.Name += fmt.Sprintf(", time %d of %d", round+1, s.step.Times)
				}
				break
			}
		}
		r.Results = append(r.Results, result)
	}
	return nil
}

// world makes what the policy reaches as a case begins with it.
func (b *bench) world(f *File, i int) error {
	entries := map[string][]string{}
	kv := &policykv.KV{}
	for _, lists := range [...]map[string][]string{f.Lists, f.Cases[i].Lists} {
		for name, list := range lists {
			entries[name] = list
		}
	}
	for _, values := range [...]map[string]Value{f.KV, f.Cases[i].KV} {
		for key, value := range values {
			if len(key) == 0 || len(key) > abi.MaxKVKey || len(value) > abi.MaxKVValue || !kv.Put(policyName, []byte(key), value, start, 0) {
				return fmt.Errorf("cases[%d]: kv: the key %.64q: a key is 1 to %d bytes, its value at most %d, and all must fit the quota", i, key, abi.MaxKVKey, abi.MaxKVValue)
			}
		}
	}
	lists, err := policylist.Of(entries)
	if err != nil {
		return fmt.Errorf("cases[%d]: lists: %w", i, err)
	}
	b.kv.Store(kv)
	b.lists.Store(lists)
	return nil
}

// counter returns the value of a counter.
func counter(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

// answerOf returns what the one policy of the chain said.
func answerOf(d *plugins.Decision) Answer {
	if len(d.Steps) == 0 { // the chain itself failed
		return Answer{Verdict: abi.Error.String(), Fault: string(d.Fault.Class), Note: d.Fault.Text}
	}
	s := &d.Steps[0]
	a := Answer{Verdict: s.Verdict.String(), Note: s.Note, Code: s.Code, Fault: string(s.Fault.Class), Fuel: s.Fuel}
	switch {
	case s.Fault.Class != plugins.FaultNone:
		a.Note = s.Fault.Text
	case d.Policy != "":
		a.Message = d.Message
	}
	return a
}

// differences returns what of an answer is not as wanted.
func (w *Want) differences(got Answer) (list []Difference) {
	if w == nil {
		return []Difference{{"want", got.Verdict, "nothing is wanted yet; --update writes what comes out"}}
	}
	differ := func(what, got string, want *string) {
		if want != nil && got != *want {
			list = append(list, Difference{what, fmt.Sprintf("%q", got), fmt.Sprintf("%q", *want)})
		}
	}
	if got.Verdict != w.Verdict {
		is := got.Verdict
		if got.Fault != "" {
			is += fmt.Sprintf(" (fault %s: %s)", got.Fault, got.Note)
		}
		list = append(list, Difference{"verdict", is, w.Verdict})
	}
	differ("message", got.Message, w.Message)
	differ("code", got.Code, w.Code)
	differ("note", got.Note, w.Note)
	differ("fault", got.Fault, w.Fault)
	if w.Fuel != nil && got.Fuel > *w.Fuel {
		list = append(list, Difference{"fuel", fmt.Sprintf("%d ticks", got.Fuel), fmt.Sprintf("at most %d", *w.Fuel)})
	}
	return list
}
