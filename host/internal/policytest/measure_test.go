package policytest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMeasure: every knock of the fixtures is measured, with its fuel; the settings
// that are refused are none.
func TestMeasure(t *testing.T) {
	f, err := parse("x.json", []byte(`{"cases":[{"name":"a"},{"name":"b","steps":[{},{}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	refused, err := parse("y.json", []byte(`{"settings":{"a":1},"refused":[{"path":"","says":""}]}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Measure(t.Context(), guest("kv_counter"), []*File{f, refused}, 100, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range m.Knocks {
		names = append(names, k.Name)
		if k.Fuel <= 1 || k.P50 <= 0 || k.P99 < k.P50 || k.Verdict == "" {
			t.Errorf("%+v: want its fuel, its verdict and times that grow", k)
		}
	}
	if got := strings.Join(names, ", "); got != "x: a, x: b: step 1" {
		t.Errorf("measured %q", got)
	}
	if info, err := os.Stat(guest("kv_counter")); err != nil || int64(m.Size) != info.Size() || m.Memory < 1<<16 || m.Floor.P50 <= 0 {
		t.Errorf("size %d, memory %d, floor %+v; %v", m.Size, m.Memory, m.Floor, err)
	}
	if _, err := Measure(t.Context(), guest("pass"), []*File{refused}, 1, Options{}); err == nil || !strings.Contains(err.Error(), "no knock") {
		t.Errorf("fixtures without a knock: %v, want an error that says so", err)
	}
	if _, err := Measure(t.Context(), guest("refuses_settings"), []*File{f}, 1, Options{}); err == nil || !strings.Contains(err.Error(), "rules[0].min") {
		t.Errorf("settings that are refused: %v, want an error that says so", err)
	}
	if m, err = Measure(t.Context(), guest("pass"), []*File{Standard()}, 1, Options{}); err != nil || len(m.Knocks) != 2 {
		t.Errorf("the standard knocks: %+v, %v", m, err)
	}
}

// TestFloor: floor.wasm is what floor.wat says.
func TestFloor(t *testing.T) {
	if _, err := exec.LookPath("wat2wasm"); err != nil {
		t.Skip("wat2wasm is not installed")
	}
	out := filepath.Join(t.TempDir(), "floor.wasm")
	if text, err := exec.Command("wat2wasm", "-o", out, "floor.wat").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if built, err := os.ReadFile(out); err != nil || !bytes.Equal(built, floorModule) {
		t.Errorf("floor.wasm is not what floor.wat makes: %v", err)
	}
}
