package serverkey

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const specSeed = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"

// specKey is the key of the specification's examples.
func specKey(t testing.TB) *SigningKey {
	t.Helper()
	k, err := parseSigningKey([]byte("ed25519 1 " + specSeed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustKey(t testing.TB, text string) matrix.PublicKey {
	t.Helper()
	k, err := matrix.ParsePublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSpecSignatures: the examples of the appendices, "Cryptographic Test
// Vectors", "Signing JSON".
func TestSpecSignatures(t *testing.T) {
	k := specKey(t)
	if got, want := k.Public(), mustKey(t, "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"); got != want {
		t.Fatalf("public key %x, want %x", got, want)
	}
	for message, want := range map[string]string{
		`{}`:                    "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ",
		`{"one":1,"two":"Two"}`: "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
	} {
		sig := k.Sign([]byte(message))
		if got := base64.RawStdEncoding.EncodeToString(sig); got != want {
			t.Errorf("signature of %s: %s, want %s", message, got, want)
		}
		if !Verify(k.Public(), []byte(message), sig) {
			t.Errorf("Verify of %s: false, want true", message)
		}
		sig[0] ^= 1
		if Verify(k.Public(), []byte(message), sig) || Verify(k.Public(), []byte(message), sig[1:]) || Verify(k.Public(), []byte(message), nil) {
			t.Errorf("Verify of %s with a wrong signature: true, want false", message)
		}
	}
}

func TestGenerate(t *testing.T) {
	seen := map[matrix.PublicKey]bool{}
	for range 10 {
		k, err := Generate()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := matrix.ParseKeyID(string(k.KeyID())); err != nil || len(k.KeyID()) != len("ed25519:a_abcd") {
			t.Errorf("key ID %q: %v", k.KeyID(), err)
		}
		if seen[k.Public()] {
			t.Error("the same key twice")
		}
		seen[k.Public()] = true
	}
}

// TestKeyStaysSecret: no way of printing a key shows its seed.
func TestKeyStaysSecret(t *testing.T) {
	k := specKey(t)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, k); strings.Contains(got, "96 144") || strings.Contains(got, "0x60") || !strings.Contains(got, "ed25519:1") {
			t.Errorf("%s prints %s, want the ID alone", format, got)
		}
	}
}

func TestParseSigningKey(t *testing.T) {
	tests := []struct {
		name, data string
		ok         bool
	}{
		{"Synapse's", "ed25519 1 " + specSeed + "\n", true},
		{"without a line break", "ed25519 1 " + specSeed, true},
		{"with blank lines and CRLF", "\r\ned25519 1 " + specSeed + "\r\n\n", true},
		{"padded", "ed25519 1 " + specSeed + "=\n", true},
		{"empty", "", false},
		{"two keys", "ed25519 1 " + specSeed + "\ned25519 2 " + specSeed + "\n", false},
		{"other algorithm", "rsa 1 " + specSeed, false},
		{"no version", "ed25519 " + specSeed, false},
		{"bad version", "ed25519 a-b " + specSeed, false},
		{"short seed", "ed25519 1 " + specSeed[4:], false},
		{"long seed", "ed25519 1 AAAA" + specSeed, false},
		{"no base64", "ed25519 1 " + strings.Repeat("!", 43), false},
		{"PEM", "-----BEGIN PRIVATE KEY-----\n" + specSeed + "\n-----END PRIVATE KEY-----\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, err := parseSigningKey([]byte(tt.data))
			if (err == nil) != tt.ok {
				t.Fatalf("got error %v, want success %v", err, tt.ok)
			}
			if tt.ok && (k.KeyID() != "ed25519:1" || k.Public() != specKey(t).Public()) {
				t.Errorf("got %v", k)
			}
			if err != nil && strings.Contains(err.Error(), specSeed[4:]) {
				t.Errorf("the error shows the seed: %v", err)
			}
		})
	}
}

// FuzzParseSigningKey: what was parsed is written to a file that parses to the
// same key; nothing is returned on error.
func FuzzParseSigningKey(f *testing.F) {
	for _, s := range []string{"ed25519 1 " + specSeed + "\n", "ed25519 a_b " + specSeed + "=", "\ned25519\t1 AA", "ed25519"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := parseSigningKey(data)
		if err != nil {
			if k != nil {
				t.Fatalf("%v with error %v", k, err)
			}
			return
		}
		again, err := parseSigningKey(k.marshal())
		if err != nil || again.KeyID() != k.KeyID() || !bytes.Equal(again.private, k.private) {
			t.Fatalf("%q: written and parsed: %v, %v, want %v", data, again, err, k)
		}
	})
}

func TestLoadOrCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "signing.key")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Load of no file: %v, want fs.ErrNotExist and the path", err)
	}
	k, created, err := LoadOrCreate(path)
	if err != nil || !created {
		t.Fatalf("LoadOrCreate = %v, %v, want a new key", created, err)
	}
	again, created, err := LoadOrCreate(path)
	if err != nil || created || again.Public() != k.Public() || again.KeyID() != k.KeyID() {
		t.Errorf("LoadOrCreate again = %v, %v, %v, want the same key", again, created, err)
	}
	if got, err := Load(path); err != nil || got.Public() != k.Public() {
		t.Errorf("Load = %v, %v, want the same key", got, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode().Perm(), fs.FileMode(0o600); got != want {
		t.Errorf("mode %v, want %v", got, want)
	}
	wantFiles(t, dir, "signing.key")
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := "ed25519 1 " + specSeed + "\n"
	tests := []struct {
		name, data string
		mode       fs.FileMode
		ok         bool
	}{
		{"owner only", good, 0o600, true},
		{"read-only", good, 0o400, true},
		{"readable by the group", good, 0o640, true},
		{"writable by the group", good, 0o660, false},
		{"writable by all", good, 0o602, false},
		{"no key", "hello\n", 0o600, false},
		{"huge", good + strings.Repeat("\n", maxKeyFile), 0o600, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "k")
			if err := os.WriteFile(path, []byte(tt.data), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path)
			if (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("Load: %v, want success %v", err, tt.ok)
			}
			// A file that is there is never replaced.
			_, created, err := LoadOrCreate(path)
			if (err == nil) != tt.ok || created {
				t.Errorf("LoadOrCreate: created %v, %v, want success %v", created, err, tt.ok)
			}
			if got, err := os.ReadFile(path); string(got) != tt.data || err != nil {
				t.Errorf("the file has changed: %q, %v", got, err)
			}
			wantFiles(t, dir, "k")
		})
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("Load of a directory: got nil, want an error")
	}
	if _, _, err := LoadOrCreate(filepath.Join(t.TempDir(), "no", "k")); err == nil {
		t.Error("LoadOrCreate in no directory: got nil, want an error")
	}
}

// TestCreateHammer: many creators agree on one key, and nothing is left over.
func TestCreateHammer(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k")
	keys := make([]matrix.PublicKey, 16)
	made := make([]bool, len(keys))
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, created, err := LoadOrCreate(path)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i], made[i] = k.Public(), created
		})
	}
	wg.Wait()
	creators := 0
	for i := range keys {
		if keys[i] != keys[0] {
			t.Errorf("creator %d has another key than creator 0", i)
		}
		if made[i] {
			creators++
		}
	}
	if creators != 1 {
		t.Errorf("%d created the key, want 1", creators)
	}
	wantFiles(t, dir, "k")
}
