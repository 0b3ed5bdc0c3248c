package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// ErrNoService is returned, wrapped, for a server whose SRV record says that
// it offers no federation (a target of ".").
var ErrNoService = errors.New("the server's SRV record says that it offers no federation")

const defaultPort = "8448"

// Resolve returns where the server called name may be reached, to be tried in
// order. It asks DNS for SRV records and the server for its well-known file as
// needed; addresses are looked up when a target is dialled.
//
// It fails if the name has an impossible port, if DNS cannot answer (a name
// that does not exist is an answer) and with [ErrNoService].
//
// Spec: Server-Server API, "Resolving server names".
func (c *Client) Resolve(ctx context.Context, name matrix.ServerName) ([]Target, error) {
	if _, ok := name.IPLiteral(); ok {
		return direct(name)
	}
	if _, ok := name.Port(); ok {
		return direct(name)
	}
	delegated, ok, err := c.wellKnown(ctx, name.Host())
	if err != nil {
		return nil, err
	}
	if !ok {
		return c.resolveSRV(ctx, name.Host())
	}
	_, literal := delegated.IPLiteral()
	if _, port := delegated.Port(); literal || port {
		return direct(delegated)
	}
	return c.resolveSRV(ctx, delegated.Host())
}

// direct is steps 1, 2, 3.1 and 3.2: the name says where.
func direct(name matrix.ServerName) ([]Target, error) {
	port, ok := name.Port()
	if !ok {
		port = defaultPort
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("server name %q: no such port", name)
	}
	host := strings.Trim(name.Host(), "[]")
	return []Target{{
		Address: net.JoinHostPort(host, strconv.FormatUint(n, 10)),
		Host:    string(name),
		TLSName: strings.TrimSuffix(host, "."),
	}}, nil
}

// resolveSRV is steps 3.3 to 3.5 and 4 to 6: SRV records, the deprecated ones
// last, and else the host itself on the default port.
func (c *Client) resolveSRV(ctx context.Context, host string) ([]Target, error) {
	tlsName := strings.TrimSuffix(host, ".")
	for _, service := range [...]string{"matrix-fed", "matrix"} {
		records, err := c.lookupSRV(ctx, service, host)
		if err != nil {
			return nil, err
		}
		if len(records) == 1 && records[0].Target == "." {
			return nil, fmt.Errorf("server name %q: %w", host, ErrNoService)
		}
		var targets []Target
		for _, r := range records {
			if r.Port == 0 || r.Target == "." || r.Target == "" {
				continue
			}
			targets = append(targets, Target{
				Address: net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))),
				Host:    host,
				TLSName: tlsName,
			})
		}
		if len(targets) > 0 {
			return targets[:min(len(targets), maxTargets)], nil
		}
	}
	return []Target{{Address: net.JoinHostPort(tlsName, defaultPort), Host: host, TLSName: tlsName}}, nil
}

// lookupSRV returns the records in the order to try them; none if DNS has none.
// Some records may be malformed: the others are used.
func (c *Client) lookupSRV(ctx context.Context, service, host string) ([]*net.SRV, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.dns)
	defer cancel()
	_, records, err := c.resolver.LookupSRV(ctx, service, "tcp", rooted(host))
	switch {
	case err == nil || len(records) > 0:
		return records, nil
	case notFound(err):
		return nil, nil
	}
	return nil, fmt.Errorf("SRV record _%s._tcp.%s: %w", service, host, err)
}
