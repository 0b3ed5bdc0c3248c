package discovery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// endpoint is what tells connections apart: where they go and whose
// certificate is expected.
type endpoint struct {
	address string
	tlsName string
	// selfSigned is the loopback address whose certificate is taken without a
	// chain; the zero Addr for none.
	selfSigned netip.Addr
}

// endpoint returns the endpoint of a target of the server called name.
func (c *Client) endpoint(name matrix.ServerName, t Target) endpoint {
	e := endpoint{address: t.Address, tlsName: t.TLSName}
	if c.loopbackSelfSigned {
		if a, ok := name.IPLiteral(); ok && a.Unmap().IsLoopback() {
			e.selfSigned = a.Unmap()
		}
	}
	return e
}

// transport returns the transport that keeps the endpoint's connections.
func (c *Client) transport(e endpoint) *http.Transport {
	return c.transports.getOrPut(e, func() *http.Transport {
		return c.newTransport(func(ctx context.Context, _, _ string) (net.Conn, error) {
			return c.dialTLS(ctx, e)
		})
	})
}

// newTransport returns a transport of HTTP/1.1 over the connections of dialTLS.
// HTTP/2 is left out: federation peers do not need it, and HTTP/1.1 sends the
// request-target as bytes.
func (c *Client) newTransport(dialTLS func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialTLSContext: dialTLS,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("only HTTPS is spoken")
		},
		Protocols:              protocols,
		DisableCompression:     true, // the byte caps are on what is sent
		MaxIdleConnsPerHost:    2,
		MaxConnsPerHost:        16,
		IdleConnTimeout:        IdleTimeout,
		ResponseHeaderTimeout:  c.limits.header,
		MaxResponseHeaderBytes: MaxHeader,
	}
}

// dialTLS connects to the endpoint and checks its certificate. It fails with a
// *dialError: nothing of a request was sent.
func (c *Client) dialTLS(ctx context.Context, e endpoint) (net.Conn, error) {
	raw, err := c.dialer.dial(ctx, e.address)
	if err != nil {
		return nil, err
	}
	conn, err := c.secure(ctx, e, raw)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// secure begins TLS on a connection, which it closes if that fails.
func (c *Client) secure(ctx context.Context, e endpoint, raw net.Conn) (*tls.Conn, error) {
	config := &tls.Config{
		ServerName:         e.tlsName,
		RootCAs:            c.rootCAs,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: c.insecureSkipVerify || e.selfSigned.IsValid() && remoteIs(raw, e.selfSigned),
	}
	ctx, cancel := context.WithTimeout(ctx, c.limits.tls)
	defer cancel()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, &dialError{fmt.Errorf("TLS with %v as %q: %w", raw.RemoteAddr(), e.tlsName, err)}
	}
	return conn, nil
}

// remoteIs reports whether the connection goes to addr.
func remoteIs(conn net.Conn, addr netip.Addr) bool {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && tcp.AddrPort().Addr().Unmap() == addr
}

// dialWellKnown connects to a host of the well-known lookup, which is held to
// an ordinary certificate.
func (c *Client) dialWellKnown(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return c.dialTLS(ctx, endpoint{address: address, tlsName: strings.TrimSuffix(host, ".")})
}
