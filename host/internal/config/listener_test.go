package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
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

// TestAdmin: the admin listener with its API, as a whole and for a command that looks
// at nothing else.
func TestAdmin(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"c.pem", "k.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "config.toml")
	in := func(name string) string { return filepath.Join(dir, name) }
	tests := []struct {
		name, text string
		want       Admin
		url        string
	}{
		{"loopback", "listen = \"127.0.0.1:9448\"\ntoken_file = \"admin.token\"\n",
			Admin{Listen: netip.MustParseAddrPort("127.0.0.1:9448"), TokenFile: in("admin.token")}, "http://127.0.0.1:9448"},
		{"for others", "listen = \"[::]:9448\"\ntoken_file = \"/t\"\ntls_certificate = \"c.pem\"\ntls_key = \"k.pem\"\nhosts = [\"a.example\"]\n",
			Admin{Listen: netip.MustParseAddrPort("[::]:9448"), TokenFile: "/t", Certificate: in("c.pem"), Key: in("k.pem"), Hosts: []string{"a.example"}}, "https://[::1]:9448"},
		{"on all addresses of IPv4", "listen = \"0.0.0.0:9448\"\ntoken_file = \"/t\"\ntls_certificate = \"c.pem\"\ntls_key = \"k.pem\"\n",
			Admin{Listen: netip.MustParseAddrPort("0.0.0.0:9448"), TokenFile: "/t", Certificate: in("c.pem"), Key: in("k.pem")}, "https://127.0.0.1:9448"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "[admin]\n" + tt.text
			c, err := Parse(least+text, path)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(c.Admin, tt.want) || c.Admin.URL().String() != tt.url {
				t.Errorf("got %+v at %s, want %+v at %s", c.Admin, c.Admin.URL(), tt.want, tt.url)
			}
			if err := os.WriteFile(path, []byte("server_nam = 3\n"+text), 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := AdminListener(path)
			if err != nil || a.Listen != tt.want.Listen || a.TokenFile != tt.want.TokenFile || a.URL().String() != tt.url {
				t.Errorf("AdminListener: %+v, %v", a, err)
			}
		})
	}
	for text, want := range map[string]string{
		"": "listen or token_file", "[admin]\nlisten = \"127.0.0.1:9448\"\n": "listen or token_file",
		"[admin]\nlisten = \"x\"\ntoken_file = \"t\"\n": "admin.listen", "[admin": "line 1",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := AdminListener(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
