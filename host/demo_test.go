package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemo runs the demonstration as the README has it, and sees that it
// showed all that it claims.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one thing after the other, in processes of its own or in one goroutine")
	}
	var out, errs strings.Builder
	t.Setenv("TMPDIR", t.TempDir())
	if code := runContext(context.Background(), []string{"demo"}, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, &out, &errs)
	}
	for _, want := range []string{"allowed", "denied", "incompatible", "Please upgrade your homeserver", "a policy file replaced under load", "0 lost"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not show %q:\n%s", want, &out)
		}
	}
	if n := strings.Count(out.String(), "  ok"); n != 5 {
		t.Errorf("%d results are ok, want 5:\n%s", n, &out)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDemoFails: a result that is not as it should be is shown, and fails.
func TestDemoFails(t *testing.T) {
	var out strings.Builder
	d := &demo{w: &out, results: []demoResult{{"one", "allowed", "allowed", true}, {"two", "denied", "allowed", false}}}
	if err := d.table(); err == nil || !strings.Contains(err.Error(), "1 of 2") || !strings.Contains(out.String(), "NOT AS IT SHOULD BE") {
		t.Errorf("err = %v\n%s", err, &out)
	}
}

// TestDoorSources: the demo's modules are what their sources make.
func TestDoorSources(t *testing.T) {
	wat2wasm, err := exec.LookPath("wat2wasm")
	if err != nil {
		t.Skip("wat2wasm is not installed (Debian: apt-get install wabt)")
	}
	for name, embedded := range map[string][]byte{"door_open": doorOpen, "door_shut": doorShut} {
		built := filepath.Join(t.TempDir(), name+".wasm")
		if out, err := exec.Command(wat2wasm, "demo/"+name+".wat", "-o", built).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got, err := os.ReadFile(built); err != nil || !bytes.Equal(got, embedded) {
			t.Errorf("%s.wasm is not what %s.wat makes (%v)", name, name, err)
		}
	}
}
