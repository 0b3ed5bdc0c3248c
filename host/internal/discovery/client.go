package discovery

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

const userAgent = "knockgate"

// ErrTooLarge is returned, wrapped, for a body that is longer than its cap.
var ErrTooLarge = errors.New("the body is too large")

// Target is one place where a server may be reached.
type Target struct {
	// Address is the host:port to dial.
	Address string
	// Host is the Host header of requests.
	Host string
	// TLSName is the name that is sent as SNI and that the certificate must be
	// for; for an IP literal the IP, which is not sent.
	TLSName string
}

// Resolver looks names up in DNS. [net.Resolver] satisfies it. LookupSRV
// returns the records in the order in which they are to be tried.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// Options configures a Client. The zero value is what production uses: the
// system's resolver and certificates, and no address that is not public.
type Options struct {
	// AllowPrivate opens these networks to connections although they are not
	// public, and nothing else.
	AllowPrivate []netip.Prefix
	// LoopbackSelfSigned takes any certificate from a server whose name is a
	// loopback IP literal, on a connection to that very address. It is for
	// trying things out on one machine. The address must be open in
	// AllowPrivate too.
	LoopbackSelfSigned bool
	// InsecureSkipVerify takes any certificate from anybody. Only for tests
	// and closed networks.
	InsecureSkipVerify bool
	// RootCAs are the authorities; nil for the system's.
	RootCAs *x509.CertPool
	// Resolver asks DNS; nil for the system's.
	Resolver Resolver
	// Now tells the time for caches; nil for [time.Now].
	Now func() time.Time
}

// Client sends requests to servers by their Matrix server name. It is safe for
// concurrent use. Close it when done.
type Client struct {
	loopbackSelfSigned bool
	insecureSkipVerify bool
	rootCAs            *x509.CertPool
	resolver           Resolver
	now                func() time.Time
	limits             timeouts
	wellKnownPort      string // "" for 443; tests set it

	dialer        *dialer
	transports    *lru[endpoint, *http.Transport]
	wellKnowns    *lru[string, wellKnownEntry]
	wellKnownHTTP *http.Client
}

// NewClient returns a Client.
func NewClient(o Options) *Client { return newClient(o, defaultTimeouts) }

func newClient(o Options, limits timeouts) *Client {
	c := &Client{
		loopbackSelfSigned: o.LoopbackSelfSigned,
		insecureSkipVerify: o.InsecureSkipVerify,
		rootCAs:            o.RootCAs,
		resolver:           o.Resolver,
		now:                o.Now,
		limits:             limits,
		transports:         newLRU[endpoint](maxTransports, (*http.Transport).CloseIdleConnections),
		wellKnowns:         newLRU[string, wellKnownEntry](maxWellKnowns, nil),
	}
	if c.resolver == nil {
		c.resolver = &net.Resolver{PreferGo: true}
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.dialer = &dialer{
		rules:    addressRules{append([]netip.Prefix(nil), o.AllowPrivate...)},
		resolver: c.resolver,
		dns:      limits.dns,
		connect:  limits.connect,
	}
	transport := c.newTransport(c.dialWellKnown)
	transport.DisableKeepAlives = true // one file from one host
	c.wellKnownHTTP = &http.Client{Transport: transport, CheckRedirect: checkRedirect}
	return c
}

// Do sends req to the server called name and returns its response, whose body
// the caller must close. The bytes of the request-target are those of req.URL's
// path and query as [url.URL.RequestURI] gives them (set Opaque to be in charge
// of each byte); scheme, host and Host header come from the resolution. A
// redirect is returned, not followed.
//
// The request, whose body Do closes, ends with [RequestTimeout] or with ctx, the body included. If a
// target cannot be connected to, the next is tried; once bytes were sent the
// outcome stands.
func (c *Client) Do(ctx context.Context, name matrix.ServerName, req *http.Request) (*http.Response, error) {
	target := req.URL.RequestURI()
	if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
		closeBody(req)
		return nil, fmt.Errorf("request-target %q: must start with one '/'", target)
	}
	ctx, cancel := context.WithTimeout(ctx, c.limits.request)
	resp, err := c.do(ctx, name, target, req)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("server %q: %w", name, err)
	}
	resp.Body = &cancelBody{resp.Body, cancel}
	return resp, nil
}

func (c *Client) do(ctx context.Context, name matrix.ServerName, target string, req *http.Request) (*http.Response, error) {
	targets, err := c.Resolve(ctx, name)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	var first error
	for _, t := range targets {
		out := outgoing(ctx, t, target, req)
		if first != nil && out.Body != nil && out.Body != http.NoBody {
			// The failed attempt has closed the body.
			if req.GetBody == nil {
				break
			}
			if out.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
		resp, err := c.transport(c.endpoint(name, t)).RoundTrip(out)
		if err == nil {
			return resp, nil
		}
		if first == nil {
			first = err
		}
		var unsent *dialError
		if !errors.As(err, &unsent) || ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// closeBody closes the body of a request that gets to no transport.
func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// outgoing returns the request as it goes to a target.
func outgoing(ctx context.Context, t Target, target string, req *http.Request) *http.Request {
	out := req.Clone(ctx)
	path, query, hasQuery := strings.Cut(target, "?")
	out.URL = &url.URL{Scheme: "https", Host: t.Address, Opaque: path, RawQuery: query, ForceQuery: hasQuery}
	out.Host = t.Host
	out.RequestURI = ""
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", userAgent)
	}
	return out
}

// cancelBody ends the request's context with its body.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// Get fetches target, a path with or without a query, from the server called
// name, and returns the status and the whole body. It fails with [ErrTooLarge],
// wrapped, if the body has more than maxBytes bytes.
func (c *Client) Get(ctx context.Context, name matrix.ServerName, target string, maxBytes int64) (status int, body []byte, err error) {
	return c.whole(ctx, name, http.MethodGet, target, nil, maxBytes)
}

// Post sends a body of JSON to target, and returns the status and the whole
// answer. It fails like Get.
func (c *Client) Post(ctx context.Context, name matrix.ServerName, target string, body []byte, maxBytes int64) (status int, answer []byte, err error) {
	return c.whole(ctx, name, http.MethodPost, target, body, maxBytes)
}

func (c *Client) whole(ctx context.Context, name matrix.ServerName, method, target string, body []byte, maxBytes int64) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	path, query, hasQuery := strings.Cut(target, "?")
	req.URL = &url.URL{Opaque: path, RawQuery: query, ForceQuery: hasQuery}
	req.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(ctx, name, req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if answer, err = readAtMost(resp.Body, maxBytes); err != nil {
		return 0, nil, fmt.Errorf("server %q: %w", name, err)
	}
	return resp.StatusCode, answer, nil
}

// readAtMost reads r to its end, which must come within limit bytes.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return body, nil
}

// Close forgets all answers and closes all connections that are not in use;
// the others close when their request ends. A closed Client must not be used.
func (c *Client) Close() {
	c.transports.clear()
	c.wellKnowns.clear()
	c.wellKnownHTTP.CloseIdleConnections()
}
