package policytest

import (
	"path/filepath"
	"testing"
)

// TestStockPolicies holds every policy that is shipped to its fixtures, on both of
// the engine's halves, which must take the same fuel.
func TestStockPolicies(t *testing.T) {
	modules, err := filepath.Glob(filepath.Join("..", "..", "..", "policies", "*", "*.wasm"))
	if err != nil || len(modules) < 2 {
		t.Fatalf("modules %q, %v; want the stock policies", modules, err)
	}
	for _, path := range modules {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			t.Parallel()
			module, folder, err := Find(filepath.Dir(path))
			if err != nil || module != path {
				t.Fatalf("Find = %q, %v; want %q", module, err, path)
			}
			files, err := Load(folder)
			if err != nil {
				t.Fatal(err)
			}
			var fuel []int64
			for _, interpreter := range []bool{false, true} {
				r, err := Run(t.Context(), module, files, Options{Interpreter: interpreter})
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Results) < 8 {
					t.Errorf("%d fixtures, want at least 8", len(r.Results))
				}
				for i, result := range r.Results {
					for _, d := range result.Differences {
						t.Errorf("interpreter %v, %s, %s: %s: got %s, want %s", interpreter, result.File, result.Name, d.What, d.Got, d.Want)
					}
					if !interpreter {
						fuel = append(fuel, result.Got.Fuel)
					} else if fuel[i] != result.Got.Fuel {
						t.Errorf("%s, %s: %d ticks compiled, %d interpreted", result.File, result.Name, fuel[i], result.Got.Fuel)
					}
				}
			}
		})
	}
}
