package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// MaxAnswer is the longest answer to a knock that is handed on, in bytes: seven
// state events of the largest size, with escapes, stay below it.
const MaxAnswer = 4 << 20

// maxHeader bounds the header of an answer.
const maxHeader = 256 << 10

// Options says where the homeserver is.
type Options struct {
	// URL is its scheme and address.
	URL *url.URL
	// Roots are the certificate authorities of an https upstream; nil: the system's.
	Roots *x509.CertPool
	// ConnectTimeout bounds the making of a connection.
	ConnectTimeout time.Duration
	// AnswerTimeout bounds an Exchange. Streamed requests have no bound.
	AnswerTimeout time.Duration
	// TrustedProxies are the peers whose X-Forwarded headers are believed.
	TrustedProxies []netip.Prefix
	// ErrorLog is told of answers that break off while they are passed through;
	// nil: the program's.
	ErrorLog *log.Logger
}

// Upstream is the homeserver behind this server. It is safe for concurrent use.
type Upstream struct {
	Options
	transport *http.Transport
}

// New returns the upstream. It connects to nothing yet.
func New(o Options) *Upstream {
	return &Upstream{Options: o, transport: newTransport(o.ConnectTimeout, o.Roots)}
}

// newTransport returns a transport that speaks HTTP/1.1, follows nothing, goes
// through no proxy and leaves encodings as they are.
func newTransport(connect time.Duration, roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: connect}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connect,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        30 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// LoadRoots returns the certificates in a PEM file. It fails if there are none.
func LoadRoots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no PEM certificate in it", file)
	}
	return roots, nil
}

// RoundTrip makes a request of this server's own, over the connections of the
// others.
func (u *Upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	return u.transport.RoundTrip(r)
}

// Close closes the connections that are idle.
func (u *Upstream) Close() { u.transport.CloseIdleConnections() }

// Stream passes a request through, whatever it is, and its answer back as it
// comes. target is the request-target in origin form. A fault before the answer
// has begun is handed to fail.
func (u *Upstream) Stream(w http.ResponseWriter, r *http.Request, target string, fail func(*matrix.Error)) {
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = u.url(target)
			if !strings.EqualFold(p.Out.Header.Get("Upgrade"), "websocket") {
				// A change to another protocol would let requests by unseen.
				p.Out.Header.Del("Upgrade")
				p.Out.Header.Del("Connection")
			}
			u.setForwarded(p.Out.Header, p.In)
		},
		Transport:     u.transport,
		FlushInterval: -1,
		ErrorLog:      u.ErrorLog,
		ErrorHandler:  func(_ http.ResponseWriter, _ *http.Request, err error) { fail(fault(err)) },
	}
	proxy.ServeHTTP(w, r)
}

// Exchange sends a request on, with the body that was read from it, and returns
// the whole answer. It fails with a [*matrix.Error] of status 502 or 504 if there
// is none, if it is a redirect, a fault of the homeserver's own, over MaxAnswer
// or a success that is no JSON.
//
// It ends with ctx, and after AnswerTimeout.
func (u *Upstream) Exchange(ctx context.Context, r *http.Request, target string, body []byte) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, u.AnswerTimeout)
	defer cancel()
	out := (&http.Request{Method: r.Method, URL: u.url(target), Host: r.Host, Header: r.Header.Clone()}).WithContext(ctx)
	if len(body) > 0 {
		// The connection may still read it after this has returned.
		body = bytes.Clone(body)
		out.ContentLength = int64(len(body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.Body, _ = out.GetBody()
	}
	removeHopByHop(out.Header)
	for _, name := range []string{"Forwarded", "X-Forwarded-Host", "Expect"} {
		out.Header.Del(name)
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header.Set("User-Agent", "") // and not Go's
	}
	out.Header.Set("Accept-Encoding", "identity") // the answer is read here
	u.setForwarded(out.Header, r)

	response, err := u.transport.RoundTrip(out)
	if err != nil {
		return nil, fault(err)
	}
	defer response.Body.Close()
	a := &Answer{Status: response.StatusCode, Header: response.Header}
	if a.Body, err = io.ReadAll(io.LimitReader(response.Body, MaxAnswer+1)); err != nil {
		return nil, fault(err)
	}
	if err := a.check(); err != nil {
		return nil, matrix.BadGateway(err).Of(FaultAnswer)
	}
	removeHopByHop(a.Header)
	return a, nil
}

// url returns the URL whose request-target is target, byte for byte.
func (u *Upstream) url(target string) *url.URL {
	path, query, mark := strings.Cut(target, "?")
	return &url.URL{Scheme: u.URL.Scheme, Host: u.URL.Host, Opaque: path, RawQuery: query, ForceQuery: mark && query == ""}
}

// The kinds of fault, as the Kind of a matrix.Error has them.
const (
	FaultUnreachable = "unreachable" // no connection, or one that broke off
	FaultTimeout     = "timeout"     // no answer in time
	FaultAnswer      = "bad_answer"  // an answer that cannot be handed on
)

// fault returns the wire error for a round trip that failed.
func fault(err error) *matrix.Error {
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return matrix.GatewayTimeout(err).Of(FaultTimeout)
	}
	return matrix.BadGateway(err).Of(FaultUnreachable)
}

// hopByHop are the headers of one connection.
//
// Spec: RFC 9110, section 7.6.1.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

func removeHopByHop(h http.Header) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
}
