package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommittedModules builds every policy anew and compares it with the one in
// the repository. Another toolchain makes other bytes, so that it is only asked
// of the one that SHA256SUMS names.
func TestCommittedModules(t *testing.T) {
	if testing.Short() {
		t.Skip("builds every policy: left out with -short")
	}
	folder := filepath.Join("..", "..")
	want, err := os.ReadFile(filepath.Join(folder, sumsName))
	if err != nil {
		t.Fatal(err)
	}
	version, err := toolchain()
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(want), "\n")
	if head != "# built with "+version {
		t.Skipf("the toolchain here is %s; %s says: %s", version, sumsName, head)
	}
	names, err := policyNames(folder)
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	place := func(name string) string { return filepath.Join(temp, name+".wasm") }
	got, err := build(folder, names, place)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("run go generate ./policies: the sources give\n%s, %s has\n%s", got, sumsName, want)
	}
	for _, name := range names {
		built, err := os.ReadFile(place(name))
		if err != nil {
			t.Fatal(err)
		}
		committed, err := os.ReadFile(filepath.Join(folder, name, name+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(built, committed) {
			t.Errorf("%s.wasm is not what its source gives: run go generate ./policies", name)
		}
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"one", "two", "two"} {
		if err := writeFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("got %q, %v, want %q", got, err, text)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("got %v, %v, want the file alone", left, err)
	}
	if err := writeFile(filepath.Join(path, "x"), nil); err == nil {
		t.Error("a file below a file: no error")
	}
}
