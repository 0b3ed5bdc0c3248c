package plugins

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// TestHostileHostCalls holds that a guest that misuses host functions gets a
// right answer or a fault, the same on both engines for the same fuel, and that
// none of them calls back into it: its allocators trap.
func TestHostileHostCalls(t *testing.T) {
	for _, tt := range []struct {
		name  string
		call  string
		class FaultClass // none: allow
	}{
		{"23 key and value the same bytes", "a", FaultNone},
		{"23 value written across its key", "b", FaultNone},
		{"22, 23 random bytes over the frame", "c", FaultNone},
		{"23 2^32-1 random bytes", "d", FaultTrap},
		{"23 room for 2^32-1 bytes", "e", FaultTrap},
		{"22, 23 a vector that is its own text and count", "f", FaultNone},
		{"23 2^32-1 vectors", "g", FaultNone},
		{"23 a vector that wraps", "h", FaultTrap},
		{"22, 23 events over their subscriptions", "i", FaultNone},
		{"23 2^32-1 subscriptions", "j", FaultNone},
		{"23 a line that wraps", "k", FaultTrap},
		{"23 a pattern that is its own text", "l", FaultNone},
		{"23 a list that is its own key", "m", FaultNone},
		{"28 clocks around little and much work", "o", FaultNone},
		{"31 new keys without end", "n", FaultExhausted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var fuel []int64
			for _, interpreter := range []bool{false, true} {
				kv := &mapKV{}
				e := newEngine(t, EngineOptions{Interpreter: interpreter, KV: kv, Lists: mapLists{}})
				spec := policyOf("hostile_host")
				spec.Grants, spec.OnError = []string{"kv", "lists"}, abi.Pass
				c := load(t, e, ChainSpec{Policies: []PolicySpec{spec}, Default: abi.Deny})
				f := knockFacts()
				f.Reason = abi.Some(tt.call)
				want := abi.Allow
				if tt.class != FaultNone {
					want = abi.Deny // on_error passes on to the default
				}
				var d Decision
				c.Evaluate(context.Background(), f, &d)
				if d.Verdict != want || d.Steps[0].Fault.Class != tt.class {
					t.Errorf("%s, fault %+v; want %s, fault %q", d.Verdict, d.Steps[0].Fault, want, tt.class)
				}
				if discarded := e.Stats().Discarded; (discarded == 1) != (tt.class != FaultNone) {
					t.Errorf("%d instances discarded after fault %q", discarded, tt.class)
				}
				if len(kv.m) > maxKVCalls {
					t.Errorf("%d keys were put, want at most the %d calls of a decision", len(kv.m), maxKVCalls)
				}
				fuel = append(fuel, d.Fuel)
			}
			if fuel[0] != fuel[1] || fuel[0] <= 0 || fuel[0] > 200_000 {
				t.Errorf("fuel %d, on the compiler and the interpreter; want the same, at most the budget", fuel)
			}
		})
	}
}

// TestCacheTampering is row 29 as far as the engine sees it: a file of the cache
// that was cut or changed is not run: a child makes it anew, and where there is none
// the load says so. Who may write there is TestCacheDir's.
func TestCacheTampering(t *testing.T) {
	for name, tamper := range map[string]func([]byte) []byte{
		"cut":           func(b []byte) []byte { return b[:len(b)/2] },
		"empty":         func([]byte) []byte { return nil },
		"another magic": func(b []byte) []byte { b[0] ^= 1; return b },
		"changed code":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"all of it":     func(b []byte) []byte { return slices.Repeat([]byte{0xcc}, len(b)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			child := EngineOptions{CacheDir: dir, Compiler: childOf(t)}
			spec := ChainSpec{Policies: []PolicySpec{policyOf("deny_message")}}
			load(t, newEngine(t, child), spec)
			files := 0
			err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
				if err != nil || !entry.Type().IsRegular() {
					return err
				}
				files++
				b, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				return os.WriteFile(path, tamper(b), 0o600)
			})
			if err != nil || files == 0 {
				t.Fatalf("%d files in the cache, err %v", files, err)
			}
			c := load(t, newEngine(t, child), spec)
			var d Decision
			c.Evaluate(context.Background(), knockFacts(), &d)
			if d.Verdict != abi.Deny || d.Fault.Class != FaultNone || d.Message == "" {
				t.Errorf("%s, message %q, fault %+v; want deny with the policy's message", d.Verdict, d.Message, d.Fault)
			}
		})
	}
}
