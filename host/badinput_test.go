package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServeRefuses: a start that cannot work ends with exit code 1 and a line
// that names the file and what to do, and leaves no state behind.
func TestServeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const head = "server_name = \"127.0.0.1:1\"\n[listen]\nfederation = \"127.0.0.1:0\"\n"
	const policy = head + "[[policy]]\nname = \"a\"\nmodule = \"a.wasm\"\n"
	tests := []struct {
		name, config string
		module       string
		want         []string
	}{
		{"unknown key", head + "[polices]\n", "", []string{"config.toml", "polices", "unknown key"}},
		{"no module", policy, "", []string{"config.toml", "policy a", "a.wasm", "no such file"}},
		{"no Wasm", policy, "#!/bin/sh\n", []string{"policy a", "a.wasm", "WebAssembly"}},
		{"empty module", policy, "\x00asm\x01\x00\x00\x00", []string{"policy a", "a.wasm", "knock_v1_decide"}},
		{"port in use", strings.Replace(head, "127.0.0.1:0", taken.Addr().String(), 1), "", []string{"config.toml", "listen.federation", taken.Addr().String(), "in use"}},
		{"admin port in use", head + "[admin]\nlisten = \"" + taken.Addr().String() + "\"\n", "", []string{"config.toml", "admin.listen", taken.Addr().String(), "in use"}},
		{"state is a file", "state_dir = \"config.toml\"\n" + head, "", []string{"state_dir", "config.toml"}},
		{"exceptions beyond loopback", strings.Replace(head, "127.0.0.1:0", "0.0.0.0:0", 1) + "[federation]\nloopback_self_signed = true\n", "", []string{"loopback_self_signed", "loopback address"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "config.toml")
			if err := os.WriteFile(path, []byte(tt.config), 0o600); err != nil {
				t.Fatal(err)
			}
			if tt.module != "" {
				if err := os.Mkdir(filepath.Join(dir, "policies"), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "policies", "a.wasm"), []byte(tt.module), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out, errs strings.Builder
			if code := runContext(context.Background(), []string{"serve", "--config", path}, &out, &errs); code != exitFailed {
				t.Errorf("exit code %d, want %d", code, exitFailed)
			}
			said := errs.String()
			for _, want := range tt.want {
				if !strings.Contains(said, want) {
					t.Errorf("the error does not say %q:\n%s", want, said)
				}
			}
			if n := strings.Count(said, "\n"); n != 1 {
				t.Errorf("the error has %d lines, want 1:\n%s", n, said)
			}
			if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
				t.Error("a state folder was left behind")
			}
		})
	}
}

// TestMissingConfig names the file and the flag.
func TestMissingConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.toml")
	var errs strings.Builder
	for _, args := range [][]string{{"serve"}, {"room", "list"}, {"decisions"}, {"policy", "status"}, {"policy", "rollback"}, {"key", "show"}, {"key", "rotate"}} {
		errs.Reset()
		if code := runContext(context.Background(), append(args, "--config", path), &errs, &errs); code != exitFailed {
			t.Errorf("%v: exit code %d", args, code)
		}
		if !strings.Contains(errs.String(), path) || !strings.Contains(errs.String(), "--config") {
			t.Errorf("%v: %s", args, &errs)
		}
	}
}

// TestCommandLineErrors: what a person mistypes is named.
func TestCommandLineErrors(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"serv"}, "serv"},
		{[]string{"serve", "extra"}, "extra"},
		{[]string{"serve", "--confg", "x"}, "--confg"},
		{[]string{"knock"}, "1 arg"},
		{[]string{"knock", "lobby"}, `"lobby"`},
		{[]string{"knock", "--server", "a b", "!r:a"}, "--server"},
		{[]string{"knock", "--as", "127.0.0.1", "!r:a"}, "--as"},
		{[]string{"knock", "--repeat", "0", "!r:a"}, "--repeat"},
		{[]string{"knock", "--ca", "/nowhere.pem", "!r:a"}, "--ca"},
		{[]string{"knock", "!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"}, "--server"},
		{[]string{"room", "create", "--version", "6"}, "--version"},
		{[]string{"decisions", "--last", "0"}, "--last"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			var out strings.Builder
			if code := runContext(context.Background(), tt.args, &out, &out); code != exitFailed {
				t.Errorf("exit code %d, want %d", code, exitFailed)
			}
			if !strings.Contains(out.String(), tt.want) {
				t.Errorf("the error does not say %q:\n%s", tt.want, &out)
			}
		})
	}
}
