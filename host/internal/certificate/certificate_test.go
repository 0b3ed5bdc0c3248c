package certificate

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoadOrCreate(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, host := range []string{"127.0.0.1", "[::1]", "matrix.example"} {
		t.Run(host, func(t *testing.T) {
			dir := t.TempDir()
			first, created, err := LoadOrCreate(dir, host, now)
			if err != nil || !created {
				t.Fatalf("first call: created=%v, err=%v; want a new certificate", created, err)
			}
			again, created, err := LoadOrCreate(dir, host, now.Add(time.Hour))
			if err != nil || created {
				t.Fatalf("second call: created=%v, err=%v; want the kept certificate", created, err)
			}
			if got, want := again.Leaf.SerialNumber.String(), first.Leaf.SerialNumber.String(); got != want {
				t.Errorf("serial number after a second load = %s, want %s", got, want)
			}
			if fi, err := os.Stat(filepath.Join(dir, KeyFile)); err != nil || fi.Mode().Perm() != 0o600 {
				t.Errorf("key file: mode %v, err %v; want 0600", fi.Mode().Perm(), err)
			}
		})
	}
}

// TestKilledBetweenTheTwo: a key without its certificate gets one, and stays.
func TestKilledBetweenTheTwo(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	if _, _, err := LoadOrCreate(dir, "127.0.0.1", now); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, CertificateFile)); err != nil {
		t.Fatal(err)
	}
	if _, created, err := LoadOrCreate(dir, "127.0.0.1", now); err != nil || !created {
		t.Errorf("created %v, %v; want a new certificate", created, err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, KeyFile)); err != nil || string(after) != string(key) {
		t.Errorf("the key has changed: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("%d files, %v; want the two", len(files), err)
	}
}

func TestLoadOrCreateRefuses(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
		host  string
		now   time.Time
		want  string
	}{
		{"expired", func(*testing.T, string) {}, "127.0.0.1", now.Add(Lifetime + time.Hour), "expired on"},
		{"other host", func(*testing.T, string) {}, "127.0.0.2", now, "delete it and"},
		{"key gone", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, KeyFile)); err != nil {
				t.Fatal(err)
			}
		}, "127.0.0.1", now, KeyFile},
		{"no key in place of both", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, CertificateFile)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, KeyFile), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "127.0.0.1", now, "move it away"},
		{"key of another certificate", func(t *testing.T, dir string) {
			_, key, err := SelfSigned("127.0.0.1", now)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, KeyFile), key, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "127.0.0.1", now, "does not match"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, _, err := LoadOrCreate(dir, "127.0.0.1", now); err != nil {
				t.Fatal(err)
			}
			tt.spoil(t, dir)
			_, _, err := LoadOrCreate(dir, tt.host, tt.now)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want one that says %q", err, tt.want)
			}
		})
	}
}

func TestSelfSignedServesTLS(t *testing.T) {
	certPEM, keyPEM, err := SelfSigned("127.0.0.1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatalf("the pair does not load: %v", err)
	}
}
