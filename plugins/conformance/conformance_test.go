package conformance

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the modules of the SDKs anew")

// TestProbes holds the probe of each SDK to the table.
func TestProbes(t *testing.T) {
	for _, tc := range toolchains {
		t.Run(tc.language, func(t *testing.T) {
			if testing.Short() && tc.language != "c" {
				t.Skip("the rows are the same as those of c")
			}
			Run(t, read(t, modulePath(tc.language, "probe")))
		})
	}
	t.Run("go", func(t *testing.T) {
		if testing.Short() {
			t.Skip("the rows are the same as those of c")
		}
		Run(t, read(t, buildGo(t, "probe")))
	})
}

// buildGo makes a module of a folder of the Go SDK and returns its path.
func buildGo(t testing.TB, name string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name+".wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, "./"+name)
	cmd.Dir = sdkFolder("go")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	return out
}
