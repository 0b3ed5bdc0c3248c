package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/knockgate/knockgate/host/internal/peer"
)

// metric is a metric as the README has it, and as queries need it.
type metric struct {
	kind   string
	labels []string // sorted
}

// ours returns the metrics of this program by their names, labels included.
func (w *world) ours() map[string]metric {
	w.t.Helper()
	families, err := w.metrics.Gatherer().Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]metric{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "knockgate_") {
			continue
		}
		m := metric{kind: strings.ToLower(f.GetType().String())}
		for _, one := range f.Metric {
			for _, l := range one.Label {
				if !slices.Contains(m.labels, l.GetName()) {
					m.labels = append(m.labels, l.GetName())
				}
			}
		}
		slices.Sort(m.labels)
		all[f.GetName()] = m
	}
	return all
}

// value returns the value of one series, such as `x{a="b"}` with its labels in the
// order of their names; a histogram's is its count.
func (w *world) value(series string) float64 {
	w.t.Helper()
	name, want, _ := strings.Cut(series, "{")
	families, err := w.metrics.Gatherer().Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, one := range f.Metric {
			var labels []string
			for _, l := range one.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if want != "" && strings.Join(labels, ",")+"}" != want {
				continue
			}
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				return one.Counter.GetValue()
			case dto.MetricType_GAUGE:
				return one.Gauge.GetValue()
			case dto.MetricType_HISTOGRAM:
				return float64(one.Histogram.GetSampleCount())
			}
		}
	}
	w.t.Errorf("no series %s", series)
	return -1
}

// want compares series with what they should be.
func (w *world) want(when string, series map[string]float64) {
	w.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(series)) {
		if got := w.value(name); got != series[name] {
			w.t.Errorf("%s: %s = %v, want %v", when, name, got, series[name])
		}
	}
}

const measured = `
[admin]
listen = "127.0.0.1:0"
[[list]]
name = "bad"
file = "bad.txt"
` + doorPolicy

// newMeasured starts a resident server with a policy that lets all in, a list and
// an admin listener.
func newMeasured(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: &logBuffer{}}
	for name, content := range map[string]string{"bad.txt": "evil.example\n", "policies/door.wasm": string(doorOpen)} {
		path := filepath.Join(w.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.start(func(address string) string {
		return fmt.Sprintf("server_name = %q\n[listen]\nfederation = %q\n", address, address) + testFederation + measured
	})
	return w
}

// TestMetrics: what happens to a server is in its metrics, across a swap of the
// policies and reloads that fail; and /metrics of the admin listener has them.
func TestMetrics(t *testing.T) {
	w := newMeasured(t)
	p := w.peer()
	room := w.room("11", "knock")
	w.mustKnock(p, w.knock(p, "ada", room), peer.Allowed)
	target := "/_matrix/federation/v1/make_knock/" + string(room) + "/" + string(p.User("eve")) + "?ver=11"
	if _, err := p.Send(context.Background(), w.name, http.MethodGet, target, nil, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Do(context.Background(), w.name, http.MethodGet, strings.Replace(target, "?ver=11", "", 1), nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the requests to end", func() bool { return w.value("knockgate_requests_in_flight") == 0 })
	w.want("after a knock", map[string]float64{
		`knockgate_decisions_total{mode="enforce",phase="make_knock",policy="default",verdict="allow"}`: 1,
		`knockgate_decisions_total{mode="enforce",phase="send_knock",policy="default",verdict="allow"}`: 1,
		`knockgate_policy_seconds{policy="door"}`:                                                       2,
		`knockgate_policy_fuel_ticks{policy="door"}`:                                                    2,
		`knockgate_decision_seconds{phase="send_knock"}`:                                                1,
		`knockgate_refused_total{errcode="M_UNAUTHORIZED",phase="make_knock"}`:                          1,
		`knockgate_refused_total{errcode="M_MISSING_PARAM",phase="make_knock"}`:                         1,
		`knockgate_xmatrix_failures_total{reason="missing"}`:                                            1,
		`knockgate_key_fetches_total{result="ok",source="server"}`:                                      1,
		`knockgate_policy_list_entries{list="bad"}`:                                                     1,
		`knockgate_config_reload_success`:                                                               1,
		`knockgate_decisions_dropped_total`:                                                             0,
		`knockgate_policies_info{revision="` + w.gate.Revision() + `"}`:                                 1,
	})
	if got := w.value("knockgate_store_batch_seconds"); got < 2 {
		t.Errorf("%v transactions of the store, want at least those of the room and the knock", got)
	}

	// Another policy in its place.
	config, err := os.ReadFile(w.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	rewrite := func(text string) {
		t.Helper()
		if err := replaceFile(w.cfg.Path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	shut := strings.Replace(string(config), `name = "door"`, `name = "gate"`, 1)
	if err := replaceFile(filepath.Join(w.dir, "policies", "shut.wasm"), doorShut); err != nil {
		t.Fatal(err)
	}
	rewrite(strings.Replace(shut, `module = "door.wasm"`, `module = "shut.wasm"`, 1))
	waitFor(t, "the swap", func() bool {
		return len(w.log.lines("policies swapped")) > 0 && w.value(`knockgate_config_reloads_total{result="ok"}`) > 0
	})
	w.mustKnock(p, w.knock(p, "bob", room), peer.Denied)
	w.want("after a swap", map[string]float64{
		`knockgate_decisions_total{mode="enforce",phase="make_knock",policy="gate",verdict="deny"}`: 1,
		`knockgate_policy_instances_max{policy="gate"}`:                                             w.value("knockgate_policy_instances_max"),
	})
	families, err := w.metrics.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.Contains(f.String(), `"door"`) {
			t.Errorf("%s has series of a policy that is not in force", f.GetName())
		}
	}

	rewrite(string(config) + "nonsense = 1\n")
	waitFor(t, "a reload that fails", func() bool {
		return w.value(`knockgate_config_reloads_total{result="failed"}`) > 0
	})
	w.want("after a reload that failed", map[string]float64{`knockgate_config_reload_success`: 0})
	if err := replaceFile(filepath.Join(w.dir, "bad.txt"), []byte("\xff")); err != nil {
		t.Fatal(err)
	}
	w.lists.Reload()
	w.want("with a list that is no text", map[string]float64{
		`knockgate_policy_list_read_success{list="bad"}`: 0, `knockgate_policy_list_entries{list="bad"}`: 1,
	})

	response, err := http.Get("http://" + w.adminListener.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	const line = "knockgate_decisions_total{mode=\"enforce\",phase=\"make_knock\",policy=\"gate\",verdict=\"deny\"} 1\n"
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(text), line) || !strings.Contains(string(text), "\ngo_goroutines ") {
		t.Errorf("/metrics: %d, %v; want 200 with %s, and go_goroutines:\n%.1000s", response.StatusCode, err, line, text)
	}
	for _, secret := range []string{string(p.Name()), string(room), "@ada"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("/metrics has %q", secret)
		}
	}
}

// TestMetricsOfAGateway: how the homeserver fares, and that there is nothing that
// a resident server has not.
func TestMetricsOfAGateway(t *testing.T) {
	f := newFrontOfRooms(t, reasonChain)
	p := f.peer()
	room := f.homeserver.room("11", "knock")
	f.mustKnock(p, f.knock(p, "ada", room), peer.Allowed)
	f.streams(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	k := f.knock(p, "eve", room)
	if x, err := p.Make(context.Background(), k); err != nil || x.Status != http.StatusBadGateway {
		t.Fatalf("%+v, %v, want 502", x, err)
	}
	if _, err := p.Do(context.Background(), f.name, http.MethodGet, "/_matrix/federation/v1/version", nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the requests to end", func() bool { return f.value("knockgate_requests_in_flight") == 0 })
	f.want("after two knocks", map[string]float64{
		`knockgate_upstream_seconds{phase="make_knock"}`:                                                2,
		`knockgate_upstream_seconds{phase="send_knock"}`:                                                1,
		`knockgate_upstream_faults_total{reason="unreachable",request="knock"}`:                         1,
		`knockgate_upstream_faults_total{reason="unreachable",request="other"}`:                         1,
		`knockgate_decisions_total{mode="enforce",phase="make_knock",policy="default",verdict="allow"}`: 2,
	})
	resident := newMeasured(t).ours()
	for name := range f.ours() {
		if _, ok := resident[name]; !ok {
			t.Errorf("%s is there in gateway mode only", name)
		}
	}
}

// TestReadmeMetrics: host/README.md lists each metric with its type and labels,
// and no other.
func TestReadmeMetrics(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	there := newMeasured(t).ours()
	listed := map[string]metric{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(knockgate_[a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		m := metric{kind: row[2]}
		for _, l := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[3], -1) {
			m.labels = append(m.labels, l[1])
		}
		slices.Sort(m.labels)
		listed[row[1]] = m
	}
	for name, m := range there {
		if l, ok := listed[name]; !ok || l.kind != m.kind || !slices.Equal(l.labels, m.labels) {
			t.Errorf("%s is a %s with the labels %v; README.md has %+v (there: %v)", name, m.kind, m.labels, l, ok)
		}
	}
	for name := range listed {
		if _, ok := there[name]; !ok {
			t.Errorf("README.md has %s, which is not there", name)
		}
	}
}
