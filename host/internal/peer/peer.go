// Package peer plays a homeserver whose user knocks, for real: its own signing
// key, published on its own TLS listener; requests signed with X-Matrix; the
// template checked as the specification demands; the event hashed and signed.
//
// The knock command, the demo and the tests are the same peer. That is why it
// is no test helper: what a newcomer tries is what the tests prove.
package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/certificate"
	"github.com/knockgate/knockgate/host/internal/discovery"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/serverkey"
)

// Options says who the peer is.
type Options struct {
	// Listen is the address of its TLS listener, such as "127.0.0.1:0".
	Listen string
	// Name is its server name. Empty: the address it listens on.
	Name matrix.ServerName
	// Client reaches other servers. Required.
	Client *discovery.Client
	// Key signs. Nil: a new one.
	Key *serverkey.SigningKey
	// Certificate serves TLS. Nil: self-signed for the name.
	Certificate *tls.Certificate
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Peer is a running homeserver with nothing but a key. Its methods are safe
// for concurrent use.
type Peer struct {
	name   matrix.ServerName
	key    *serverkey.SigningKey
	client *discovery.Client
	now    func() time.Time
	server *http.Server
	served chan error
}

// Start listens, and serves the peer's key until Close.
func Start(o Options) (*Peer, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	var err error
	if o.Key == nil {
		if o.Key, err = serverkey.Generate(); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("the knocking server's own listener: %w", err)
	}
	if o.Name == "" {
		o.Name = matrix.ServerName(ln.Addr().String())
	}
	if o.Certificate == nil {
		if o.Certificate, err = selfSigned(o.Name, o.Now()); err != nil {
			ln.Close()
			return nil, err
		}
	}
	p := &Peer{name: o.Name, key: o.Key, client: o.Client, now: o.Now, served: make(chan error, 1)}
	p.server = &http.Server{
		Handler:           http.HandlerFunc(p.serveKey),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{*o.Certificate}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
	}
	go func() { p.served <- p.server.ServeTLS(ln, "", "") }()
	return p, nil
}

// Name returns the peer's server name.
func (p *Peer) Name() matrix.ServerName { return p.name }

// Key returns the key that the peer signs with.
func (p *Peer) Key() *serverkey.SigningKey { return p.key }

// User returns the user of the peer with this localpart.
func (p *Peer) User(localpart string) matrix.UserID {
	return matrix.UserID("@" + localpart + ":" + string(p.name))
}

// Close stops the listener and waits for it.
func (p *Peer) Close() error {
	err := p.server.Shutdown(context.Background())
	if served := <-p.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	p.served <- http.ErrServerClosed // a second Close finds it here
	return err
}

// serveKey answers /_matrix/key/v2/server and nothing else.
func (p *Peer) serveKey(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || strings.TrimSuffix(r.URL.Path, "/") != "/_matrix/key/v2/server" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(serverkey.AppendDocument(nil, p.name, p.key, nil, p.now().Add(24*time.Hour)))
}

func selfSigned(name matrix.ServerName, now time.Time) (*tls.Certificate, error) {
	certPEM, keyPEM, err := certificate.SelfSigned(name.Host(), now)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	return &cert, err
}
