package plugins

import (
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

// TestManifest: a chain that is loaded from its manifest has its revision,
// which holds that the manifest says everything.
func TestManifest(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	full := says("full", `{"verdict":"deny","note":"\"\\"}`)
	full.OnError, full.Mode = abi.Pass, Monitor
	full.Phases, full.Rooms, full.Origins = []abi.Phase{abi.SendKnock}, []string{`!"a\*`, "!b"}, []string{"*.example"}
	full.Limits = Limits{MemoryPages: 99, Instances: 3, Wait: time.Second, Fuel: 100_001,
		StartFuel: 1_000_001, ConfigureFuel: 2_000_001, Isolation: IsolationFresh, Calls: 7, Faults: 5, FaultWindow: time.Hour}
	for name, spec := range map[string]ChainSpec{
		"empty": {},
		"allow": {Default: abi.Allow},
		"full":  {Default: abi.Allow, Policies: []PolicySpec{full, policyOf("pass")}},
	} {
		first := load(t, e, spec)
		if digest(first.Manifest()) != first.Revision() {
			t.Errorf("%s: the revision is not the manifest's SHA-256", name)
		}
		paths := map[string]string{}
		for i, p := range first.Policies() {
			paths[p.Module] = spec.Policies[i].Module
		}
		again, err := ParseManifest(first.Manifest(), func(d string) string { return paths[d] })
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := load(t, e, again).Revision(); got != first.Revision() {
			t.Errorf("%s: loaded again it is revision %.12s, not %.12s", name, got, first.Revision())
		}
	}
	if (*Chain)(nil).Manifest() != nil {
		t.Error("a nil chain has a manifest")
	}
}

func TestManifestFaults(t *testing.T) {
	e := newEngine(t, EngineOptions{})
	good := string(load(t, e, ChainSpec{Policies: []PolicySpec{policyOf("pass")}}).Manifest())
	for _, tt := range []struct{ name, old, new, want string }{
		{"not JSON", "{", "[", "manifest"},
		{"unknown key", `"abi"`, `"later":1,"abi"`, "later"},
		{"two objects", good, good + "{}", "after the object"},
		{"ABI", `"abi":1`, `"abi":2`, "ABI 2"},
		{"default", `"default":"deny"`, `"default":"perhaps"`, "perhaps"},
		{"module", `"module":"`, `"module":"../`, "digest"},
		{"on_error", `"on_error":"deny"`, `"on_error":"incompatible"`, "on_error"},
		{"phase", `"make_knock"`, `"leave"`, "leave"},
		{"no phases", `["make_knock","send_knock"]`, `[]`, "no phases"},
		{"limit", `"faults":20`, `"faults":-1`, "limits"},
	} {
		_, err := ParseManifest([]byte(strings.Replace(good, tt.old, tt.new, 1)), func(string) string { return "x" })
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: err = %v, want one that says %q", tt.name, err, tt.want)
		}
	}
}
