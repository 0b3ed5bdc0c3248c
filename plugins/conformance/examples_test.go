package conformance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// sources are the examples of the SDKs, by language, below their folders.
var sources = map[string]string{
	"go": "example/main.go", "rust": "example/src/lib.rs", "c": "example/example.c",
	"assemblyscript": "example/example.ts", "rego": "example/example.rego",
}

// TestExamples: the examples of the SDKs are one policy, which needs no
// capability, and stand in their READMEs as they are.
func TestExamples(t *testing.T) {
	short := func(min string) answer {
		return answer{Verdict: abi.Deny, Code: "reason_too_short", Message: "Please say in " + min + " characters why you would like to join."}
	}
	pass := answer{Verdict: abi.Pass}
	with := func(reason abi.Text) *abi.Facts {
		f := knock()
		f.Reason = reason
		return f
	}
	rows := []step{
		{settings: "", facts: with(abi.Some("let me in")), want: short("10")},
		{settings: "", facts: with(abi.Some("let me in!")), want: pass},
		{settings: `{}`, facts: with(abi.Text{}), want: short("10")},
		{settings: `{}`, facts: asking("11"), want: pass},
		{settings: `{"min":3}`, facts: with(abi.Some("é🚪")), want: short("3")},
		{settings: `{"min":3}`, facts: with(abi.Some("é🚪é")), want: pass},
		{settings: `{"min":0}`, facts: with(abi.Text{}), want: pass},
		{settings: `{"min":501}`, want: answer{Refused: []string{"min: must be from 0 to 500, not 501"}}},
		{settings: `{"min":"3"}`, want: answer{Refused: []string{"min: must be a whole number, not a text"}}},
		{settings: `{"mim":3}`, want: answer{Refused: []string{"mim: unknown setting; known here: min"}}},
	}
	for language, source := range sources {
		t.Run(language, func(t *testing.T) {
			engine, err := plugins.NewEngine(plugins.EngineOptions{})
			if err != nil {
				t.Fatal(err)
			}
			spec := plugins.PolicySpec{Name: "example", Module: example(t, language)}
			for _, row := range rows {
				spec.Settings = []byte(row.settings)
				if diff := cmp.Diff(row.want, ask(engine, spec, row.facts)); diff != "" {
					t.Errorf("settings %s: want (-), got (+):\n%s", row.settings, diff)
				}
			}
			if err := engine.Close(context.Background()); err != nil {
				t.Error(err)
			}
			readme := string(read(t, filepath.Join(sdkFolder(language), "README.md")))
			if code := string(read(t, filepath.Join(sdkFolder(language), source))); !strings.Contains(readme, "\n"+code+"```\n") {
				t.Errorf("sdk/%s/README.md does not hold %s as it is", language, source)
			}
		})
	}
}

// example returns the path of a language's example.
func example(t testing.TB, language string) string {
	t.Helper()
	if language == "go" {
		return buildGo(t, "example")
	}
	path := modulePath(language, "example")
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// BenchmarkExamples is a decision of the example in each language, facts to
// decision, that passes and that refuses.
//
//	go test ./plugins/conformance -run xxx -bench Examples -cpu 1
func BenchmarkExamples(b *testing.B) {
	for _, language := range []string{"c", "rust", "assemblyscript", "go", "rego"} {
		module := example(b, language)
		for _, refuses := range []bool{false, true} {
			name := language + "/pass"
			f := knock()
			f.Reason = abi.Some("let me in, I know bob")
			if refuses {
				name, f.Reason = language+"/deny", abi.Some("hi")
			}
			b.Run(name, func(b *testing.B) {
				engine, err := plugins.NewEngine(plugins.EngineOptions{})
				if err != nil {
					b.Fatal(err)
				}
				chain, err := engine.Load(context.Background(), plugins.ChainSpec{Policies: []plugins.PolicySpec{{Name: "p", Module: module}}, Default: abi.Allow}, nil)
				if err != nil {
					b.Fatal(err)
				}
				var d plugins.Decision
				b.ReportAllocs()
				for b.Loop() {
					chain.Evaluate(context.Background(), f, &d)
				}
				if d.Fault.Class != plugins.FaultNone || (d.Verdict == abi.Deny) != refuses {
					b.Fatalf("%+v", d)
				}
				b.ReportMetric(float64(d.Fuel), "ticks")
				if stat, err := os.Stat(module); err == nil {
					b.ReportMetric(float64(stat.Size()), "bytes")
				}
				chain.Release()
				if err := engine.Close(context.Background()); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
