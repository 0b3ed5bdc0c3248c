package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/knockgate/knockgate/host/internal/policylist"
	"github.com/knockgate/knockgate/plugins"
)

// values returns each series as name{label="value",...}, labels in the order of
// their names, with its value: a histogram's is its count.
func values(t testing.TB, m *Metrics) map[string]float64 {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, one := range f.Metric {
			var labels []string
			for _, l := range one.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			sort.Strings(labels)
			name := strings.TrimPrefix(f.GetName(), namespace+"_") + "{" + strings.Join(labels, ",") + "}"
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				all[name] = one.Counter.GetValue()
			case dto.MetricType_GAUGE:
				all[name] = one.Gauge.GetValue()
			case dto.MetricType_HISTOGRAM:
				all[name] = float64(one.Histogram.GetSampleCount())
			}
		}
	}
	return all
}

// changed fails the test unless exactly the series of want have changed since
// before, to these values.
func changed(t *testing.T, m *Metrics, before, want map[string]float64) {
	t.Helper()
	after := values(t, m)
	for name, v := range after {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		w, named := want[name]
		if was, ok := before[name]; !named && (!ok || v != was) {
			t.Errorf("%s = %v, was %v; want it as it was", name, v, was)
		} else if named && v != w {
			t.Errorf("%s = %v, want %v", name, v, w)
		}
	}
	for name := range want {
		if _, ok := after[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
}

// policy is what the chain says of a policy that is enforced.
func policy(name string) plugins.PolicyStatus {
	return plugins.PolicyStatus{Name: name, Mode: plugins.Enforce}
}

// sources say something of everything.
func sources() Sources {
	return Sources{
		Revision: func() string { return "abc" },
		Policies: func() []plugins.PolicyStatus {
			return []plugins.PolicyStatus{{Name: "servers", Mode: plugins.Enforce, Resting: true, Busy: 1, Idle: 2, MaxInstances: 4}}
		},
		Engine: func() plugins.Stats { return plugins.Stats{Started: 5, Discarded: 6, Recycled: 7, MonitorDropped: 8} },
		Lists: func() []policylist.Status {
			return []policylist.Status{{Name: "bad", Entries: 9, Modified: time.UnixMilli(10_500)}, {Name: "worse", Stale: true}}
		},
		DecisionsDropped: func() int64 { return 11 },
	}
}

// TestSources: what the components say of themselves is read each time.
func TestSources(t *testing.T) {
	m := New("1.2.3")
	m.Read(sources())
	got := values(t, m)
	for name, want := range map[string]float64{
		`policies_info{revision="abc"}`:                                      1,
		`policy_instances{policy="servers",state="busy"}`:                    1,
		`policy_instances{policy="servers",state="idle"}`:                    2,
		`policy_instances_max{policy="servers"}`:                             4,
		`policy_resting{policy="servers"}`:                                   1,
		`instances_started_total{}`:                                          5,
		`instances_discarded_total{}`:                                        6,
		`instances_recycled_total{}`:                                         7,
		`monitor_dropped_total{}`:                                            8,
		`policy_list_entries{list="bad"}`:                                    9,
		`policy_list_modified_timestamp_seconds{list="bad"}`:                 10.5,
		`policy_list_read_success{list="bad"}`:                               1,
		`policy_list_read_success{list="worse"}`:                             0,
		`decisions_dropped_total{}`:                                          11,
		`build_info{go_version="` + runtime.Version() + `",version="1.2.3"}`: 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v (there: %v), want %v", name, v, ok, want)
		}
	}
}

// TestNames: the names are as Prometheus would have them, and no label can hold
// a server, a user or a room.
func TestNames(t *testing.T) {
	m := New("1.2.3")
	m.Use([]plugins.PolicyStatus{policy("servers")})
	m.Read(sources())
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	families = slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return !strings.HasPrefix(f.GetName(), namespace+"_") })
	if len(families) < 20 {
		t.Fatalf("%d metrics; this test would say nothing", len(families))
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	known := strings.Fields("phase verdict policy mode class errcode reason source result target request state list revision version go_version")
	for _, f := range families {
		for _, one := range f.Metric {
			for _, l := range one.Label {
				if !slices.Contains(known, l.GetName()) {
					t.Errorf("%s has the label %s", f.GetName(), l.GetName())
				}
			}
		}
	}
}

// TestHandler: /metrics is text that Prometheus reads.
func TestHandler(t *testing.T) {
	m := New("1.2.3")
	m.Use([]plugins.PolicyStatus{policy("servers")})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	const line = "\nknockgate_decisions_total{mode=\"enforce\",phase=\"make_knock\",policy=\"servers\",verdict=\"allow\"} 0\n"
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") || !strings.Contains(w.Body.String(), line) {
		t.Errorf("%d %s, want 200 text/plain with%s%.2000s", w.Code, w.Header().Get("Content-Type"), line, w.Body)
	}
}

// TestInFlight: a request counts until it is answered.
func TestInFlight(t *testing.T) {
	m := New("")
	during := -1.0
	m.InFlight(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		during = values(t, m)["requests_in_flight{}"]
	})).ServeHTTP(nil, nil)
	if after := values(t, m)["requests_in_flight{}"]; during != 1 || after != 0 {
		t.Errorf("%v requests in flight during one and %v after, want 1 and 0", during, after)
	}
}

// TestState: transactions and reloads.
func TestState(t *testing.T) {
	m := New("")
	before := values(t, m)
	m.Started(false, time.Unix(1, 0))
	changed(t, m, before, nil)
	m.Committed(time.Millisecond, true)
	m.Committed(time.Second, false)
	m.Reloaded(true, time.Unix(20, 0))
	changed(t, m, before, map[string]float64{
		"store_batch_seconds{}": 2, "store_batch_failures_total{}": 1,
		`config_reloads_total{result="ok"}`: 1, "config_reload_success{}": 1, "config_reload_timestamp_seconds{}": 20,
	})
	before = values(t, m)
	m.Reloaded(false, time.Unix(30, 0))
	changed(t, m, before, map[string]float64{`config_reloads_total{result="failed"}`: 1, "config_reload_success{}": 0})
}
