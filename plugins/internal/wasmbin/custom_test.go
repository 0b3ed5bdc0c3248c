package wasmbin

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestWithCustom: the section is there once, at the end; again it changes
// nothing; every other section keeps its bytes and its order, and Meter keeps
// the section.
func TestWithCustom(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.wasm")
	if err != nil || len(paths) < 4 {
		t.Fatalf("%d modules, %v", len(paths), err)
	}
	binaries := [][]byte{
		wasm(),
		wasm(sec(secCustom, str("x"), []byte("old"))),
		wasm(sec(secCustom, str("a")), sec(secCustom, str("x"), []byte("old")), sec(secType, vec()), sec(secCustom, str("x")), sec(secCustom, str("b"), []byte("kept"))),
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		binaries = append(binaries, b)
	}
	contents := bytes.Repeat([]byte("new"), 100) // a size of two bytes
	for i, bin := range binaries {
		m := scanned(t, bin)
		out := m.WithCustom("x", contents)
		n := scanned(t, out)
		if got, _ := n.Custom("x"); !bytes.Equal(got, contents) || n.Customs[len(n.Customs)-1].Name != "x" {
			t.Errorf("module %d: the section holds %q, and the sections are %v", i, got, n.Customs)
		}
		if want, got := others(m), others(n); !slices.EqualFunc(want, got, bytes.Equal) {
			t.Errorf("module %d: %d other sections before, %d after, or they have changed", i, len(want), len(got))
		}
		if again := n.WithCustom("x", contents); !bytes.Equal(again, out) {
			t.Errorf("module %d: the same section again gives other bytes", i)
		}
		w, err := Meter(n, MeterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := scannedMetered(t, w.Bin).Custom("x"); !bytes.Equal(got, contents) {
			t.Errorf("module %d: metered, the section holds %q", i, got)
		}
	}
}

func scanned(t *testing.T, bin []byte) *Module {
	t.Helper()
	m, err := Scan(bin, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// scannedMetered reads the custom sections of a binary whose names Scan refuses.
func scannedMetered(t *testing.T, bin []byte) *Module {
	t.Helper()
	return scanned(t, bytes.ReplaceAll(bin, []byte(Prefix), []byte("knock----.")))
}

// others returns the sections that are not called x, whole.
func others(m *Module) (list [][]byte) {
	custom := 0
	for _, s := range m.sections {
		if s.id == secCustom {
			if custom++; m.Customs[custom-1].Name == "x" {
				continue
			}
		}
		list = append(list, m.bin[s.head:s.end])
	}
	return list
}
