package conformance

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
			if testing.Short() && language == "go" {
				t.Skip("its module takes seconds to make, and as long to compile")
			}
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
			checkReadme(t, language, source)
			if language == "rust" {
				checkReadme(t, language, "example/Cargo.toml")
			}
		})
	}
}

// checkReadme: a file of an SDK stands in its README as it is.
func checkReadme(t *testing.T, language, source string) {
	readme := string(read(t, filepath.Join(sdkFolder(language), "README.md")))
	if code := string(read(t, filepath.Join(sdkFolder(language), source))); !strings.Contains(readme, "\n"+code+"```\n") {
		t.Errorf("sdk/%s/README.md does not hold %s as it is", language, source)
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

// BenchmarkExamples is a decision of the example, facts to decision, in each
// language in turns, so that the ratios of the medians hold on a machine that does
// other things as well.
//
//	go test ./plugins/conformance -run xxx -bench Examples -cpu 1
func BenchmarkExamples(b *testing.B) {
	engine, err := plugins.NewEngine(plugins.EngineOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := engine.Close(context.Background()); err != nil {
			b.Error(err)
		}
	}()
	languages := []string{"c", "rust", "assemblyscript", "go", "rego"}
	var chains []*plugins.Chain
	for _, language := range languages {
		policy := plugins.PolicySpec{Name: language, Module: example(b, language), Limits: plugins.Limits{Wait: time.Minute}}
		chain, err := engine.Load(context.Background(), plugins.ChainSpec{Policies: []plugins.PolicySpec{policy}, Default: abi.Allow}, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer chain.Release()
		chains = append(chains, chain)
	}
	for reason, want := range map[string]abi.Verdict{"let me in, I know bob": abi.Allow, "let me in": abi.Deny} {
		b.Run(want.String(), func(b *testing.B) {
			const batch = 32 // calls between two looks at the clock, and before the first
			f := knock()
			f.Reason = abi.Some(reason)
			times := make([][]float64, len(chains))
			var d plugins.Decision
			for b.Loop() {
				for i, chain := range chains {
					var begin time.Time
					for n := range 2 * batch {
						if n == batch {
							begin = time.Now()
						}
						chain.Evaluate(context.Background(), f, &d)
					}
					times[i] = append(times[i], float64(time.Since(begin))/batch)
					if d.Verdict != want || d.Fault.Class != plugins.FaultNone {
						b.Fatalf("%s: %s, fault %+v; want %s", languages[i], d.Verdict, d.Fault, want)
					}
				}
			}
			for i, chain := range chains {
				chain.Evaluate(context.Background(), f, &d)
				slices.Sort(times[i])
				b.ReportMetric(times[i][len(times[i])/2]/1000, languages[i]+"-us")
				b.ReportMetric(float64(d.Fuel), languages[i]+"-ticks")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
