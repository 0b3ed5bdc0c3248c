package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheck: a check finds, before a start and after one, what a start would fail
// by, names it, and changes nothing.
func TestCheck(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one thing after the other, in processes of its own or in one goroutine")
	}
	tests := []struct {
		name    string
		started bool
		spoil   func(s *starter)
		want    []string // of the output
		code    int
	}{
		{"before the first start", false, func(*starter) {}, []string{"policies", "1 policy, revision", "not there yet"}, exitOK},
		{"after a start", true, func(*starter) {}, []string{"ed25519:", "knockgate.db", "self-signed, until"}, exitOK},
		{"an unknown key", true, func(s *starter) { s.text += "\n[polices]\n" }, []string{"config.toml", "polices", "unknown key"}, exitFailed},
		{"no module", true, func(s *starter) { os.Remove(filepath.Join(s.dir, "policies", "door.wasm")) }, []string{"policies", "FAULT", "door.wasm", "no such file"}, exitFailed},
		{"garbage as a store", true, func(s *starter) { s.write("state/knockgate.db", []byte(strings.Repeat("garbage ", 1000))) }, []string{"store", "FAULT", "not a store"}, exitFailed},
		{"a damaged store", true, func(s *starter) { damage(s.t, filepath.Join(s.dir, "state", storeFile)) }, []string{"store", "FAULT", "damaged"}, exitFailed},
		{"garbage as a key", true, func(s *starter) { s.write("state/signing.key", []byte("x")) }, []string{"key", "FAULT", "signing.key"}, exitFailed},
		{"a certificate without its key", true, func(s *starter) { os.Remove(filepath.Join(s.dir, "state", "tls.key")) }, []string{"certificate", "FAULT", "tls.key"}, exitFailed},
		{"a file as the state folder", false, func(s *starter) { s.text = "state_dir = \"config.toml\"\n" + s.text }, []string{"state", "FAULT", "not a folder"}, exitFailed},
		{"no token in its file", false, func(s *starter) {
			s.write("token", nil)
			s.text += "\n[upstream]\nurl = \"http://127.0.0.1:1\"\n[upstream.admin]\ntoken_file = \"token\"\n"
		}, []string{"upstream", "FAULT", "token", "not one token"}, exitFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStarter(t, doorPolicy)
			s.write("policies/door.wasm", doorShut)
			if tt.started {
				s.mustStart("")
			}
			tt.spoil(s)
			s.write("config.toml", []byte(s.text))
			before := tree(t, s.dir)
			out, code := s.command("check")
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("does not say %q:\n%s", want, out)
				}
			}
			if after := tree(t, s.dir); after != before {
				t.Errorf("the check changed files: %s\nbefore: %s", after, before)
			}
		})
	}
}

// damage writes over what a store has after its first page.
func damage(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("garbage ", int(info.Size()-8192)/8)), 8192); err != nil {
		t.Fatal(err)
	}
}

// tree lists the files of a folder with when they were written, but for compiled
// modules, which note when they were last used.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && !strings.Contains(path, "/"+compiledDir+"/") {
			b.WriteString(path + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestVersion: the command says what it is, and of which Go.
func TestVersion(t *testing.T) {
	var out strings.Builder
	if code := runContext(t.Context(), []string{"version"}, &out, &out); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	if said := out.String(); !strings.HasPrefix(said, "knockgate "+version()+"\n") || !strings.Contains(said, "go1.") {
		t.Errorf("says %q", said)
	}
}
