package policies_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/policies/internal/fixture"
	"github.com/knockgate/knockgate/sdk/abi"
	"github.com/knockgate/knockgate/sdk/go/policy"
)

// TestEngine holds the modules to their cases once more, in the host's own
// engine, loaded as a chain of one. It interprets them, where TestBuiltModules
// compiles them: the two must agree. Policies that remember or look into lists are held
// to theirs where a host is that has both: in host/internal/policytest.
func TestEngine(t *testing.T) {
	for _, name := range stock {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, err := fixture.Load(filepath.Join(name, "testdata"))
			if err != nil {
				t.Fatal(err)
			}
			e, err := plugins.NewEngine(plugins.EngineOptions{Interpreter: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := e.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
			m := metadata(t, name)
			var last *plugins.Chain
			grants := needs(t, name)
			for _, f := range files {
				if len(grants) > 0 || f.Reaches() {
					continue // see TestStockPolicies of host/internal/policytest
				}
				chain, err := e.Load(t.Context(), plugins.ChainSpec{Policies: []plugins.PolicySpec{{
					Name: f.Name, Module: filepath.Join(name, name+".wasm"), Settings: f.Settings,
					Limits: plugins.Limits{Instances: 1},
				}}}, last)
				if len(f.Refused) > 0 {
					checkRefused(t, m, f, err)
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", f.Name, err)
				}
				if last != nil {
					last.Release()
				}
				last = chain
				evaluate(t, chain, f)
			}
			if last != nil {
				last.Release()
			}
		})
	}
}

// needs returns the capabilities that a policy's module asks for.
func needs(t *testing.T, name string) []string {
	t.Helper()
	return inspect(t, name).Capabilities
}

// speaksOPA says whether a module is of OPA's ABI.
func speaksOPA(t *testing.T, name string) bool {
	t.Helper()
	return slices.ContainsFunc(inspect(t, name).Imports, func(s string) bool { return strings.HasPrefix(s, "env.") })
}

func inspect(t *testing.T, name string) *plugins.Inspection {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(name, name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	in := plugins.Inspect(wasm)
	if in.Err != nil {
		t.Fatalf("%s: %s: %v", name, in.Stage, in.Err)
	}
	return in
}

// checkRefused: the module's schema refuses what it can, and configure the rest.
func checkRefused(t *testing.T, m *plugins.Metadata, f fixture.File, err error) {
	t.Helper()
	if f.Settings[0] != '{' {
		if err == nil { // the engine refuses these itself
			t.Errorf("%s: settings that are no object were loaded", f.Name)
		}
		return
	}
	refused, ok := errors.AsType[*plugins.SettingsError](err)
	failure, _ := errors.AsType[*plugins.LoadError](err)
	if !ok {
		t.Errorf("%s: got %v, want the settings refused", f.Name, err)
		return
	}
	stage, want := plugins.StageConfigure, len(f.Refused)
	if bySchema, ok := errors.AsType[*plugins.SettingsError](m.CheckSettings(f.Settings)); ok {
		stage, want = plugins.StageSettings, len(bySchema.Errors)
	}
	if got := len(refused.Errors); failure.Stage != stage || got != want {
		t.Errorf("%s: got %d faults at %s, want %d at %s", f.Name, got, failure.Stage, want, stage)
	}
}

func evaluate(t *testing.T, chain *plugins.Chain, f fixture.File) {
	t.Helper()
	var d plugins.Decision
	for _, c := range f.Cases {
		facts := c.ABI()
		chain.Evaluate(t.Context(), &facts, &d)
		if len(d.Steps) != 1 {
			t.Fatalf("%s, %s: %d steps", f.Name, c.Name, len(d.Steps))
		}
		got := policy.Verdict{Kind: d.Steps[0].Verdict, Message: d.Message, Note: d.Note, Code: d.Code}
		if got.Kind == abi.Error {
			got.Note = d.Fault.Text
		}
		if got.Kind == abi.Pass { // then the rest of d is the chain's
			got = policy.Verdict{Kind: abi.Pass, Note: d.Steps[0].Note, Code: d.Steps[0].Code}
		}
		if wrong := c.Want.Check(got); wrong != "" {
			t.Errorf("%s, %s: %s", f.Name, c.Name, wrong)
		}
	}
}
