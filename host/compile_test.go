package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain makes the test binary the program where a server starts it to compile
// a module.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == compileCommand {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	code := m.Run()
	if err := os.RemoveAll(sharedCode.dir); err != nil && code == 0 {
		code = 1
	}
	os.Exit(code)
}

// compiled returns the files of native code and the links to them in a state
// folder.
func (s *starter) compiled() (files, links []string) {
	s.t.Helper()
	dir := filepath.Join(s.dir, "state", compiledDir)
	files, _ = filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	links, _ = filepath.Glob(filepath.Join(dir, strings.Repeat("[0-9a-f]", 64)))
	return files, links
}

// TestCompiledModulesAreKept: the first start leaves the compiled modules in the
// state folder, which the second start and a command use, and a folder that is
// open to others is refused by the one and passed over by the other.
func TestCompiledModulesAreKept(t *testing.T) {
	s := newStarter(t, doorPolicy)
	s.write("policies/door.wasm", doorShut)
	s.mustStart("")
	files, links := s.compiled()
	if len(files) != 1 || len(links) != 1 {
		t.Fatalf("the first start leaves %q and %q, want one each", files, links)
	}
	before, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	s.mustStart("")
	if out, code := s.command("policy", "status"); code != exitOK {
		t.Errorf("status: exit code %d:\n%s", code, out)
	}
	again, _ := s.compiled()
	after, err := os.Stat(files[0])
	if err != nil || len(again) != 1 || !os.SameFile(before, after) {
		t.Errorf("the second start leaves %q (%v), want the file of the first", again, err)
	}

	if err := os.Chmod(filepath.Join(s.dir, "state", compiledDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.start(); err == nil || !strings.Contains(err.Error(), "must be 0700") {
		t.Errorf("start with a folder that others can enter: %v, want it refused", err)
	}
	if out, code := s.command("policy", "status"); code != exitOK {
		t.Errorf("status with a folder that others can enter: exit code %d:\n%s", code, out)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "state", compiledDir)); err != nil {
		t.Fatal(err)
	}
	if out, code := s.command("policy", "status"); code != exitOK {
		t.Errorf("status without the folder: exit code %d:\n%s", code, out)
	}
	if files, _ := s.compiled(); len(files) != 0 {
		t.Errorf("a command that looks made %q", files)
	}
	s.mustStart("")
}

// TestCompileCommandIsHidden: help does not show it, and by hand it says whose it
// is.
func TestCompileCommandIsHidden(t *testing.T) {
	var out strings.Builder
	if code := run([]string{"--help"}, &out, &out); code != exitOK || strings.Contains(out.String(), compileCommand) {
		t.Errorf("--help: exit code %d:\n%s", code, &out)
	}
	out.Reset()
	if run([]string{compileCommand}, &out, &out); !strings.Contains(out.String(), "for the policy engine") {
		t.Errorf("%s by hand: %s", compileCommand, &out)
	}
}
