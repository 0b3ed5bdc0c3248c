package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/monitoring"
)

// queries returns the queries of the dashboard and of the alert rules, by where
// they stand.
func queries(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ RefID, Expr string }
		}
		Templating struct {
			List []struct {
				Name, Definition string
				Query            json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(monitoring.Dashboard, &dashboard); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("dashboard.json: two panels with the ID %d", p.ID)
		}
		ids[p.ID] = true
		for _, q := range p.Targets {
			found[fmt.Sprintf("dashboard.json: %s, %s", p.Title, q.RefID)] = q.Expr
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("dashboard.json: %s: no query", p.Title)
		}
	}
	for _, v := range dashboard.Templating.List {
		if v.Definition != "" {
			found["dashboard.json: the variable "+v.Name] = v.Definition
		}
	}
	// An expression is one line, or the deeper lines after ">-".
	for _, alert := range strings.Split(string(monitoring.Alerts), "- alert: ")[1:] {
		name, rest, _ := strings.Cut(alert, "\n")
		m := regexp.MustCompile(`(?m)^ +expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)`).FindStringSubmatch(rest)
		if m == nil {
			t.Errorf("alerts.yaml: %s: no expr", name)
			continue
		}
		found["alerts.yaml: "+name] = m[1] + m[2]
	}
	return found
}

var (
	metricName = regexp.MustCompile(`\bknockgate_[a-z_]+`)
	selector   = regexp.MustCompile(`\b(knockgate_[a-z_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-z_]+) *(?:=~|!~|!=|=)`)
	grouping   = regexp.MustCompile(`\b(?:by|on|without|ignoring) \(([^)]*)\)`)
)

// TestQueries: the dashboard and the alert rules ask for metrics and labels that
// are there, and each metric is in one of them.
func TestQueries(t *testing.T) {
	there := newMeasured(t).ours()
	// What Prometheus adds to each series.
	scraped := []string{"instance", "job"}
	base := func(name string) (string, bool) {
		if m, ok := there[name]; ok {
			return name, m.kind != "histogram"
		}
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if b, ok := strings.CutSuffix(name, suffix); ok && there[b].kind == "histogram" {
				return b, true
			}
		}
		return "", false
	}
	found := queries(t)
	if len(found) < 40 {
		t.Fatalf("%d queries; this test would say nothing", len(found))
	}
	used := map[string]bool{}
	for where, query := range found {
		labels := append([]string{"le"}, scraped...)
		for _, name := range metricName.FindAllString(query, -1) {
			b, ok := base(name)
			if !ok {
				t.Errorf("%s: there is no %s to query\n%s", where, name, query)
				continue
			}
			used[b] = true
			labels = append(labels, there[b].labels...)
		}
		for _, s := range selector.FindAllStringSubmatch(query, -1) {
			b, _ := base(s[1])
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				if !slices.Contains(append(there[b].labels, scraped...), m[1]) {
					t.Errorf("%s: %s has no label %s\n%s", where, s[1], m[1], query)
				}
			}
		}
		for _, g := range grouping.FindAllStringSubmatch(query, -1) {
			for l := range strings.SplitSeq(g[1], ",") {
				if l = strings.TrimSpace(l); !slices.Contains(labels, l) {
					t.Errorf("%s: nothing in it has a label %s\n%s", where, l, query)
				}
			}
		}
	}
	for name := range there {
		if !used[name] {
			t.Errorf("%s is in no query", name)
		}
	}
}
