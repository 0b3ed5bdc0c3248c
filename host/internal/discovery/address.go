package discovery

import (
	"fmt"
	"net/netip"
)

// AddressError reports an address that we do not connect to.
type AddressError struct {
	// Addr is the address that was refused.
	Addr netip.Addr
	// Rule is the network it lies in; the zero Prefix if it is in no network
	// that is routed on the internet.
	Rule netip.Prefix
}

// Error names the address and the network.
func (e *AddressError) Error() string {
	if !e.Rule.IsValid() {
		return fmt.Sprintf("address %v is not on the public internet; allow_private may open it", e.Addr)
	}
	return fmt.Sprintf("address %v lies in %v, which is not on the public internet; allow_private may open it", e.Addr, e.Rule)
}

// denied4 and denied6 are the networks that no server on the internet has: the
// IANA special-purpose registries, and the metadata addresses of clouds that
// lie outside of them.
var (
	denied4 = prefixes(
		"0.0.0.0/8",        // this network
		"10.0.0.0/8",       // private
		"100.64.0.0/10",    // carrier-grade NAT; Alibaba's metadata
		"127.0.0.0/8",      // loopback
		"168.63.129.16/32", // Azure's host
		"169.254.0.0/16",   // link-local; most clouds' metadata
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // IETF protocols; Oracle's metadata
		"192.0.2.0/24",     // documentation
		"192.88.99.0/24",   // 6to4 relays
		"192.168.0.0/16",   // private
		"198.18.0.0/15",    // benchmarks
		"198.51.100.0/24",  // documentation
		"203.0.113.0/24",   // documentation
		"224.0.0.0/4",      // multicast
		"240.0.0.0/4",      // reserved; broadcast
	)
	global6 = netip.MustParsePrefix("2000::/3")
	denied6 = prefixes(
		"2001::/23",     // IETF protocols; Teredo, ORCHID
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4: holds an IPv4 address
		"3fff::/20",     // documentation
	)
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// addressRules say which addresses may be connected to.
type addressRules struct {
	allow []netip.Prefix
}

// check returns an *AddressError if a may not be connected to. An IPv4 address
// inside of IPv6 (mapped, or behind NAT64) is judged as the IPv4 address.
func (r addressRules) check(a netip.Addr) error {
	a = a.Unmap()
	if a.Is6() && nat64.Contains(a) {
		b := a.As16()
		return r.check(netip.AddrFrom4([4]byte(b[12:])))
	}
	if a.Zone() != "" || !a.IsValid() {
		return &AddressError{Addr: a}
	}
	for _, p := range r.allow {
		if p.Contains(a) {
			return nil
		}
	}
	denied := denied4
	if a.Is6() {
		if !global6.Contains(a) {
			return &AddressError{Addr: a}
		}
		denied = denied6
	}
	for _, p := range denied {
		if p.Contains(a) {
			return &AddressError{Addr: a, Rule: p}
		}
	}
	return nil
}
