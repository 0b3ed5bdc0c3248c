package config

import (
	"fmt"
	"net/netip"
	"os"

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
