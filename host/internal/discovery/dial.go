package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// dialError marks a request that never left: no connection was made, so another
// target may be tried.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// dialer opens TCP connections to host:port addresses, under the address rules.
type dialer struct {
	rules    addressRules
	resolver Resolver
	dns      time.Duration
	connect  time.Duration
}

// dial connects to the first address of the host that answers, each getting a
// head start over the next. All its errors are *dialError.
func (d *dialer) dial(ctx context.Context, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &dialError{err}
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, &dialError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, d.connect)
	defer cancel()
	conn, err := d.race(ctx, addrs, port)
	if err != nil {
		return nil, &dialError{err}
	}
	return conn, nil
}

// race starts the attempts and waits for the first that succeeds.
func (d *dialer) race(ctx context.Context, addrs []netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(addrs))
	started, pending := 0, 0
	start := func() {
		address := net.JoinHostPort(addrs[started].String(), port)
		go func() {
			conn, err := d.dialOne(ctx, address)
			results <- result{conn, err}
		}()
		started++
		pending++
	}
	// The losers end as soon as ctx is cancelled; one that had already
	// connected is closed.
	defer func() {
		cancel()
		for ; pending > 0; pending-- {
			if r := <-results; r.conn != nil {
				r.conn.Close()
			}
		}
	}()

	var first error
	timer := time.NewTimer(attemptDelay)
	defer timer.Stop()
	start()
	for {
		select {
		case r := <-results:
			pending--
			if r.err == nil {
				return r.conn, nil
			}
			if first == nil {
				first = r.err
			}
			if started < len(addrs) {
				start()
				timer.Reset(attemptDelay)
			} else if pending == 0 {
				return nil, first
			}
		case <-timer.C:
			if started < len(addrs) {
				start()
				timer.Reset(attemptDelay)
			}
		}
	}
}

// dialOne connects to one IP:port. The rules are applied in Control, to the
// address the socket connects to.
func (d *dialer) dialOne(ctx context.Context, address string) (net.Conn, error) {
	nd := net.Dialer{
		FallbackDelay: -1,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return d.rules.check(ap.Addr())
		},
	}
	return nd.DialContext(ctx, "tcp", address)
}

// lookup returns the addresses of a host, IPv6 and IPv4 taking turns.
func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.dns)
	defer cancel()
	// A name of one label may stand in the hosts file ("localhost"), where the
	// standard library does not find it with a final dot.
	name := host
	if strings.Contains(strings.TrimSuffix(host, "."), ".") {
		name = rooted(host)
	}
	found, err := d.resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, fmt.Errorf("address of %q: %w", host, err)
	}
	var v4, v6, out []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	for i := range max(len(v4), len(v6)) {
		if i < len(v6) {
			out = append(out, v6[i])
		}
		if i < len(v4) {
			out = append(out, v4[i])
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("address of %q: none", host)
	}
	return out[:min(len(out), maxAddresses)], nil
}

// rooted returns the name with a final dot, so that no search list applies.
func rooted(name string) string { return strings.TrimSuffix(name, ".") + "." }

// notFound reports whether DNS says that there is no such record, as opposed
// to not being able to say.
func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}
