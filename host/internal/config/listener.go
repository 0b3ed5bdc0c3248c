package config

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/BurntSushi/toml"
)

// FederationListener returns listen.federation of the file at path, whatever else
// in it is wrong: a server that runs on an earlier version of the file still listens
// there. It fails if the file is no TOML.
func FederationListener(path string) (netip.AddrPort, error) {
	var f struct {
		Listen struct {
			Federation string `toml:"federation"`
		} `toml:"listen"`
	}
	f.Listen.Federation = DefaultListen
	text, err := os.ReadFile(path)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if _, err := toml.Decode(string(text), &f); err != nil {
		return netip.AddrPort{}, fmt.Errorf("%s: %s", path, decodeError(err))
	}
	addr, err := netip.ParseAddrPort(f.Listen.Federation)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%s: listen.federation: %q is not ADDRESS:PORT with an IP address", path, f.Listen.Federation)
	}
	return addr, nil
}
