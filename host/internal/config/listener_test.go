package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFederationListener: other faults of the file do not matter.
func TestFederationListener(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"given", "[listen]\nfederation = \"[::]:443\"\n", "[::]:443"},
		{"without TLS", "[listen]\nfederation = \"127.0.0.1:1\"\ntls = false\n", "127.0.0.1:1 plain"},
		{"no word on TLS", "[listen]\nfederation = \"127.0.0.1:1\"\ntls = \"no\"\n", "127.0.0.1:1"},
		{"default", "server_name = \"a.test\"\n", DefaultListen},
		{"unknown keys, wrong kinds, missing files", "server_name = 3\nx = 1\n[listen]\nfederation = \"127.0.0.1:1\"\ntls_key = \"gone\"\n[[policy]]\nmodul = \"x\"\n", "127.0.0.1:1"},
		{"no address", "[listen]\nfederation = \"localhost\"\n", ""},
		{"no TOML", "[listen\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.toml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			listen, err := FederationListener(path)
			got := listen.Federation.String()
			if listen.Plain {
				got += " plain"
			}
			if (err == nil) != (tt.want != "") || err == nil && got != tt.want {
				t.Errorf("got %s, %v; want %q", got, err, tt.want)
			}
		})
	}
	if _, err := FederationListener(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no file: no error")
	}
}
