package config

import (
	"fmt"
	"net/netip"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// checkListen sets c.Listen.
func (f *file) checkListen(c *Config, faults *faults, dir string) {
	addr, err := netip.ParseAddrPort(f.Listen.Federation)
	if err != nil {
		faults.addf("listen.federation", "%q is not ADDRESS:PORT with an IP address, such as %q or \"[::]:8448\"", f.Listen.Federation, DefaultListen)
	}
	c.Listen.Federation, c.Listen.Plain = addr, !f.Listen.TLS
	if c.Listen.Plain {
		f.checkPlain(c, faults)
		return
	}
	if (f.Listen.Certificate == "") != (f.Listen.Key == "") {
		faults.addf("listen", "tls_certificate and tls_key go together: give both, or neither for a self-signed certificate")
		return
	}
	if f.Listen.Certificate != "" {
		c.Listen.Certificate, c.Listen.Key = under(dir, f.Listen.Certificate), under(dir, f.Listen.Key)
		faults.mustBeFile("listen.tls_certificate", c.Listen.Certificate)
		faults.mustBeFile("listen.tls_key", c.Listen.Key)
	}
}

// checkPlain refuses what does not go together with plain HTTP. Which addresses a
// machine has is looked at when it listens.
func (f *file) checkPlain(c *Config, faults *faults) {
	if f.Listen.Certificate != "" || f.Listen.Key != "" {
		faults.addf("listen", "tls_certificate and tls_key have no use with tls = false: remove them, or tls")
	}
	addr := c.Listen.Federation.Addr()
	if addr.IsValid() && !addr.IsUnspecified() && !Private(addr) {
		faults.addf("listen.tls", "false, and listen.federation is %s, which others can reach: plain HTTP is for a reverse proxy on the same machine or in a private network; listen on a loopback or private address, or remove tls", c.Listen.Federation)
	}
}

// Private reports whether an address is one of a machine itself or of a private
// network: loopback, RFC 1918, RFC 4193, link-local.
func Private(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}

// CheckPlain fails if the listener is plain HTTP on all addresses of a machine
// that has others than private ones, which addresses are.
func (l Listen) CheckPlain(addresses []netip.Addr) error {
	if !l.Plain || !l.Federation.Addr().IsUnspecified() {
		return nil
	}
	for _, a := range addresses {
		if !Private(a) {
			return fmt.Errorf("listen.tls: false, and listen.federation is %s, so on %s too, which others can reach: name a loopback or private address, or remove tls", l.Federation, a)
		}
	}
	return nil
}

// checkAdmin sets c.Admin.
func (f *file) checkAdmin(c *Config, faults *faults, dir string) {
	a := &f.Admin
	if a.Listen == "" {
		if a.TokenFile != "" || a.Certificate != "" || a.Key != "" || len(a.Hosts) > 0 {
			faults.addf("admin.listen", "missing, and the other keys of [admin] have no use without it; an address such as %q", SampleAdminListen)
		}
		return
	}
	addr, err := netip.ParseAddrPort(a.Listen)
	switch {
	case err != nil:
		faults.addf("admin.listen", "%q is not ADDRESS:PORT with an IP address, such as %q; \"\" for none", a.Listen, SampleAdminListen)
	case !addr.Addr().Unmap().IsLoopback() && (a.TokenFile == "" || a.Certificate == "" || a.Key == ""):
		faults.addf("admin.listen", "%s is no loopback address, so others may reach it: that needs token_file, tls_certificate and tls_key; or use one such as %q", addr, SampleAdminListen)
	case addr == c.Listen.Federation && addr.Port() != 0:
		faults.addf("admin.listen", "%s is listen.federation too; use another port", addr)
	default:
		c.Admin.Listen = addr
	}
	if a.TokenFile != "" {
		c.Admin.TokenFile = under(dir, a.TokenFile)
	}
	for i, h := range a.Hosts {
		if name, err := matrix.ParseServerName(h); err != nil || name.Host() != h {
			faults.addf(fmt.Sprintf("admin.hosts[%d]", i), "%q is no name of a host without a port, such as \"admin.example.org\"", h)
		}
	}
	c.Admin.Hosts = a.Hosts
	switch {
	case (a.Certificate == "") != (a.Key == ""):
		faults.addf("admin", "tls_certificate and tls_key go together: give both, or neither for plain HTTP on a loopback address")
	case a.Certificate != "":
		c.Admin.Certificate, c.Admin.Key = under(dir, a.Certificate), under(dir, a.Key)
		faults.mustBeFile("admin.tls_certificate", c.Admin.Certificate)
		faults.mustBeFile("admin.tls_key", c.Admin.Key)
	}
}
