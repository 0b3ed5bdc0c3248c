package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"aead.dev/minisign"
)

// TestSigners: with signers, a start and a reload take a module only with a
// signature of its own under one of the keys; what runs stays as it is.
func TestSigners(t *testing.T) {
	newKey := func() (minisign.PublicKey, minisign.PrivateKey) {
		public, private, err := minisign.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return public, private
	}
	ours, oursPrivate := newKey()
	second, secondPrivate := newKey()
	_, strangers := newKey()
	// What minisign itself writes: a signature of the hash.
	hashed := func(key minisign.PrivateKey, module []byte) []byte {
		r := minisign.NewReader(bytes.NewReader(module))
		if _, err := new(bytes.Buffer).ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		return r.Sign(key)
	}
	tests := []struct {
		name      string
		signature []byte
		want      string // part of the refusal; "" if it loads
	}{
		{"ours", minisign.Sign(oursPrivate, doorShut), ""},
		{"the second's, of the hash", hashed(secondPrivate, doorShut), ""},
		{"none", nil, "policy sign"},
		{"a stranger's", minisign.Sign(strangers, doorShut), "not among the signers"},
		{"of another module", minisign.Sign(oursPrivate, doorOpen), "has changed since it was signed"},
		{"no signature", []byte("untrusted comment: x\nRWQ\n"), "no minisign signature"},
		{"a large file", make([]byte, maxSignature+1), "at most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStarter(t, signedDoor(ours, second))
			s.write("policies/door.wasm", doorShut)
			if tt.signature != nil {
				s.write("policies/door.wasm"+signatureSuffix, tt.signature)
			}
			_, _, err := s.start()
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "policy door: signature: ") || !strings.Contains(err.Error(), "door.wasm"+signatureSuffix) {
				t.Errorf("start: %v, want %q", err, tt.want)
			}
			if out, code := s.command("policy", "verify", filepath.Join(s.dir, "policies/door.wasm")); code != exitFailed || !strings.Contains(out, tt.want) {
				t.Errorf("verify: exit code %d: %s", code, out)
			}
		})
	}
}

// signedDoor is doorPolicy with signers.
func signedDoor(signers ...minisign.PublicKey) string {
	quoted := make([]string, len(signers))
	for i, key := range signers {
		quoted[i] = strconv.Quote(key.String())
	}
	text := "[" + strings.Join(quoted, ", ") + "]"
	return strings.Replace(doorPolicy, "[policies]\n", fmt.Sprintf("[policies]\nsigners = %s\n", text), 1)
}

// TestEncryptedKey: a key with a password signs with that password alone.
func TestEncryptedKey(t *testing.T) {
	if os.Getenv("KNOCKGATE_SCRYPT") == "" {
		t.Skip("KNOCKGATE_SCRYPT is not set; each use of an encrypted key takes seconds and 1 GiB of memory")
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"password": "tr0ub4dor\r\nmore\n", "wrong": "troubador\n", "door.wasm": string(doorShut)} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		args []string
		want string // part of a failure; "" is none
	}{
		{[]string{"key", in("key"), "--password-file", in("password")}, ""},
		{[]string{"sign", in("door.wasm"), "--key", in("key")}, "encrypted; give its password"},
		{[]string{"sign", in("door.wasm"), "--key", in("key"), "--password-file", in("wrong")}, "not its password"},
		{[]string{"sign", in("door.wasm"), "--key", in("key"), "--password-file", in("password")}, ""},
	} {
		var out strings.Builder
		code := runContext(t.Context(), append([]string{"policy"}, step.args...), &out, &out)
		if (code == exitOK) != (step.want == "") || !strings.Contains(out.String(), step.want) {
			t.Errorf("policy %v: exit code %d, want %q: %s", step.args, code, step.want, &out)
		}
	}
}

// TestPolicySign follows the commands from a new key to a module that a server with
// that signer takes, and no longer once it has changed.
func TestPolicySign(t *testing.T) {
	s := newStarter(t, "")
	s.write("policies/door.wasm", doorShut)
	in := func(name string) string { return filepath.Join(s.dir, name) }
	run := func(want int, args ...string) string {
		t.Helper()
		var out strings.Builder
		if code := runContext(t.Context(), args, &out, &out); code != want {
			t.Fatalf("%v: exit code %d, want %d: %s", args, code, want, &out)
		}
		return strings.TrimSpace(out.String())
	}
	signer := run(exitOK, "policy", "key", in("modules.key"))
	if info, err := os.Stat(in("modules.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret key: %v, %v", info, err)
	}
	if out := run(exitFailed, "policy", "key", in("modules.key")); !strings.Contains(out, "is there already") {
		t.Errorf("a key over a key: %s", out)
	}
	run(exitOK, "policy", "sign", in("policies/door.wasm"), "--key", in("modules.key"))
	run(exitOK, "policy", "verify", in("policies/door.wasm"), "--signer", signer)
	var key minisign.PublicKey
	if err := key.UnmarshalText([]byte(signer)); err != nil {
		t.Fatalf("policy key prints %q: %v", signer, err)
	}
	s.text += signedDoor(key)
	was := s.mustStart("")
	if out, code := s.command("policy", "verify", in("policies/door.wasm")); code != exitOK {
		t.Errorf("verify by the configuration: %s", out)
	}

	// A module that somebody else has put there: what was in force runs, and it is said.
	s.write("policies/door.wasm", doorOpen)
	revision, fallback, err := s.start()
	if err != nil || revision != was || !strings.Contains(fallback, "has changed since it was signed") {
		t.Errorf("start with a changed module: revision %.12s, %v, %q; want %.12s as a fallback", revision, err, fallback, was)
	}
}
