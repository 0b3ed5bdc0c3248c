package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"
)

// FederationListener returns where the file at path has the server listen, and
// whether without TLS, whatever else in it is wrong: a server that runs on an earlier version of the file still listens
// there. It fails if the file is no TOML.
func FederationListener(path string) (listen Listen, err error) {
	var f struct {
		Listen struct {
			Federation string `toml:"federation"`
			TLS        any    `toml:"tls"`
		} `toml:"listen"`
	}
	f.Listen.Federation = DefaultListen
	text, err := os.ReadFile(path)
	if err != nil {
		return listen, err
	}
	if _, err := toml.Decode(string(text), &f); err != nil {
		return listen, fmt.Errorf("%s: %s", path, decodeError(err))
	}
	if listen.Federation, err = netip.ParseAddrPort(f.Listen.Federation); err != nil {
		return listen, fmt.Errorf("%s: listen.federation: %q is not ADDRESS:PORT with an IP address", path, f.Listen.Federation)
	}
	listen.Plain = f.Listen.TLS == false
	return listen, nil
}

// AdminListener returns where the file at path has the admin listener and the token of
// its API, whatever else in it is wrong. It fails where there is none of them.
func AdminListener(path string) (a Admin, err error) {
	var f struct {
		Admin struct {
			Listen      string `toml:"listen"`
			TokenFile   string `toml:"token_file"`
			Certificate string `toml:"tls_certificate"`
		} `toml:"admin"`
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return a, err
	}
	if _, err := toml.Decode(string(text), &f); err != nil {
		return a, fmt.Errorf("%s: %s", path, decodeError(err))
	}
	if f.Admin.Listen == "" || f.Admin.TokenFile == "" {
		return a, fmt.Errorf("%s: listen or token_file of [admin] is missing, so there is no admin API; SIGHUP to the server reloads too", path)
	}
	if a.Listen, err = netip.ParseAddrPort(f.Admin.Listen); err != nil {
		return a, fmt.Errorf("%s: admin.listen: %q is not ADDRESS:PORT with an IP address", path, f.Admin.Listen)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return a, err
	}
	a.TokenFile, a.Certificate = under(filepath.Dir(abs), f.Admin.TokenFile), f.Admin.Certificate
	return a, nil
}
