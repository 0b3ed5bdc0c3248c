package monitoring

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/knockgate/knockgate/host/internal/metrics"
	"github.com/knockgate/knockgate/host/internal/policylist"
	"github.com/knockgate/knockgate/host/monitoring"
	"github.com/knockgate/knockgate/plugins"
)

// series are the labels of each series' name, as Prometheus has them.
func series(t *testing.T) map[string][]string {
	t.Helper()
	m := metrics.New("1.2.3")
	policy := plugins.PolicyStatus{Name: "servers", Mode: plugins.Enforce}
	m.Use([]plugins.PolicyStatus{policy})
	m.Read(metrics.Sources{
		Revision:         func() string { return "abc" },
		Policies:         func() []plugins.PolicyStatus { return []plugins.PolicyStatus{policy} },
		Engine:           func() plugins.Stats { return plugins.Stats{} },
		Lists:            func() []policylist.Status { return []policylist.Status{{Name: "bad", Modified: time.Unix(1, 0)}} },
		DecisionsDropped: func() int64 { return 0 },
	})
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, f := range families {
		names := []string{"instance", "job"}
		for _, one := range f.Metric {
			for _, l := range one.Label {
				if !slices.Contains(names, l.GetName()) {
					names = append(names, l.GetName())
				}
			}
		}
		found[f.GetName()] = names
		if f.Metric[0].Histogram != nil {
			delete(found, f.GetName())
			found[f.GetName()+"_count"], found[f.GetName()+"_sum"] = names, names
			found[f.GetName()+"_bucket"] = append(slices.Clone(names), "le")
		}
	}
	return found
}

// check parses a query with Prometheus's parser and holds its selectors and
// groupings to the series that are there.
func check(t *testing.T, where, query string, there map[string][]string) parser.Expr {
	t.Helper()
	expr, err := parser.ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v\n%s", where, err, query)
		return nil
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			known, ok := there[n.Name]
			if !ok {
				t.Errorf("%s: there is no %s", where, n.Name)
			}
			for _, m := range n.LabelMatchers {
				if m.Name != labels.MetricName && !slices.Contains(known, m.Name) {
					t.Errorf("%s: %s has no label %s", where, n.Name, m.Name)
				}
			}
		case *parser.AggregateExpr:
			for _, l := range n.Grouping {
				if !slices.Contains(labelsOf(n.Expr, there), l) {
					t.Errorf("%s: %s has no label %s", where, n.Expr, l)
				}
			}
		case *parser.BinaryExpr:
			if n.VectorMatching == nil {
				break
			}
			for _, l := range n.VectorMatching.MatchingLabels {
				for _, side := range []parser.Expr{n.LHS, n.RHS} {
					if !slices.Contains(labelsOf(side, there), l) {
						t.Errorf("%s: %s has no label %s", where, side, l)
					}
				}
			}
		}
		return nil
	})
	return expr
}

// labelsOf are the labels that the result of an expression has: those of its
// outermost aggregation, or of the series in it.
func labelsOf(expr parser.Expr, there map[string][]string) []string {
	switch e := expr.(type) {
	case *parser.AggregateExpr:
		return e.Grouping
	case *parser.BinaryExpr:
		if left := labelsOf(e.LHS, there); left != nil {
			return left // and, or and comparisons keep the left side's
		}
		return labelsOf(e.RHS, there)
	case *parser.Call:
		for _, arg := range e.Args {
			if found := labelsOf(arg, there); found != nil {
				return without(found, e.Func.Name)
			}
		}
	case *parser.ParenExpr:
		return labelsOf(e.Expr, there)
	case *parser.MatrixSelector:
		return labelsOf(e.VectorSelector, there)
	case *parser.VectorSelector:
		return there[e.Name]
	}
	return nil
}

// without takes away the label that a function uses up.
func without(names []string, function string) []string {
	if function != "histogram_quantile" {
		return names
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "le" })
}

// TestDashboard: Prometheus's parser reads each query of the dashboard.
func TestDashboard(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(monitoring.Dashboard, &dashboard); err != nil {
		t.Fatal(err)
	}
	there, found := series(t), 0
	// What Grafana puts in their place.
	grafana := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*")
	for _, p := range dashboard.Panels {
		for _, q := range p.Targets {
			found++
			expr := check(t, p.Title, grafana.Replace(q.Expr), there)
			if expr == nil {
				continue
			}
			legend := regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(q.LegendFormat, -1)
			for _, l := range legend {
				if !slices.Contains(labelsOf(expr, there), l[1]) {
					t.Errorf("%s: the legend has %s, which the result of %s has not", p.Title, l[1], q.Expr)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("%d queries; this test says nothing", found)
	}
}

// TestAlerts: the file of rules has what Prometheus takes and nothing else, its
// parser reads each expression, and the texts name labels that alerts have.
func TestAlerts(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr         string
				For                 model.Duration
				Labels, Annotations map[string]string
			}
		}
	}
	dec := yaml.NewDecoder(bytes.NewReader(monitoring.Alerts))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Errorf("more than one document: %v", err)
	}
	there, seen := series(t), map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || seen[r.Alert] {
				t.Errorf("the alert %q: no name, or one that stands twice", r.Alert)
			}
			seen[r.Alert] = true
			if s := r.Labels["severity"]; len(r.Labels) != 1 || s != "page" && s != "ticket" {
				t.Errorf("%s: the labels %v, want the severity page or ticket", r.Alert, r.Labels)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || len(r.Annotations) != 2 {
				t.Errorf("%s: the annotations %v, want summary and description", r.Alert, r.Annotations)
			}
			expr := check(t, r.Alert, r.Expr, there)
			if expr == nil {
				continue
			}
			if expr.Type() != parser.ValueTypeVector {
				t.Errorf("%s: its result is a %s, want a vector", r.Alert, expr.Type())
			}
			for name, annotation := range r.Annotations {
				checkTemplate(t, r.Alert+" "+name, annotation, labelsOf(expr, there))
			}
		}
	}
	if len(seen) < 7 {
		t.Errorf("%d alerts; this test says nothing", len(seen))
	}
}

// checkTemplate fills an annotation as Prometheus does.
func checkTemplate(t *testing.T, where, text string, names []string) {
	t.Helper()
	filled := map[string]string{}
	for _, n := range names {
		filled[n] = "a value"
	}
	tmpl, err := template.New(where).Option("missingkey=error").Funcs(template.FuncMap{
		"humanizeDuration": func(float64) string { return "a time" },
	}).Parse("{{$labels := .Labels}}{{$value := .Value}}" + text)
	if err == nil {
		err = tmpl.Execute(io.Discard, struct {
			Labels map[string]string
			Value  float64
		}{filled, 1.5})
	}
	if err != nil {
		t.Errorf("%s: %v", where, err)
	}
}
