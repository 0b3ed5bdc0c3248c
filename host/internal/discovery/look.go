package discovery

import (
	"context"
	"crypto/tls"
	"net/netip"
	"strings"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// The functions here are for those who want to see a server as its peers do, step
// by step. Resolve and Do are what peers themselves use.

// WellKnown asks a host for its well-known file now, whatever is remembered, and
// returns the server that it delegates to. It fails, and says why, if there is no
// valid one.
func (c *Client) WellKnown(ctx context.Context, host string) (matrix.ServerName, error) {
	answer, err := c.fetchWellKnown(ctx, strings.ToLower(strings.TrimSuffix(host, ".")))
	return answer.server, err
}

// Handshake connects to a target of the server called name as Do does, and closes
// the connection again. It returns the address that answered, which is the zero
// AddrPort if none did, and the certificate that it showed.
func (c *Client) Handshake(ctx context.Context, name matrix.ServerName, t Target) (netip.AddrPort, tls.ConnectionState, error) {
	e := c.endpoint(name, t)
	raw, err := c.dialer.dial(ctx, e.address)
	if err != nil {
		return netip.AddrPort{}, tls.ConnectionState{}, err
	}
	address, _ := netip.ParseAddrPort(raw.RemoteAddr().String())
	conn, err := c.secure(ctx, e, raw)
	if err != nil {
		return address, tls.ConnectionState{}, err
	}
	defer conn.Close()
	return address, conn.ConnectionState(), nil
}

// CheckPublic fails with an [*AddressError] for an address that is not on the
// public internet.
func CheckPublic(a netip.Addr) error { return addressRules{}.check(a) }
