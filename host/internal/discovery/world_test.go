package discovery

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// shortTimeouts end what hangs; nothing else in the tests comes near them.
var shortTimeouts = timeouts{
	dns:       5 * time.Second,
	connect:   5 * time.Second,
	tls:       5 * time.Second,
	header:    5 * time.Second,
	request:   10 * time.Second,
	wellKnown: 5 * time.Second,
}

// world is an internet of its own: a certificate authority, DNS and servers on
// loopback addresses.
type world struct {
	t     *testing.T
	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
	pool  *x509.CertPool
	now   time.Time

	mu      sync.Mutex
	hosts   map[string][]string   // name without final dot -> addresses
	srv     map[string][]*net.SRV // "_service._tcp.name"
	dnsErr  map[string]error      // host or SRV name
	lookups []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return &world{
		t: t, ca: ca, caKey: key, pool: pool, now: time.Now(),
		hosts: map[string][]string{}, srv: map[string][]*net.SRV{}, dnsErr: map[string]error{},
	}
}

// certificate returns one for the names, signed by the authority, or by itself.
func (w *world) certificate(selfSigned bool, names ...string) tls.Certificate {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	parent, parentKey := w.ca, w.caKey
	if selfSigned {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		w.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serve starts an HTTPS server on ip and returns its port.
func (w *world) serve(ip string, cert tls.Certificate, h http.HandlerFunc) (port string) {
	w.t.Helper()
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		w.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	w.t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// client returns a client of this world in which loopback is open.
func (w *world) client(change func(*Options)) *Client {
	return w.clientWithin(shortTimeouts, change)
}

func (w *world) clientWithin(limits timeouts, change func(*Options)) *Client {
	o := Options{AllowPrivate: loopback, RootCAs: w.pool, Resolver: w, Now: w.clock}
	if change != nil {
		change(&o)
	}
	c := newClient(o, limits)
	w.t.Cleanup(c.Close)
	return c
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// LookupNetIP answers from hosts.
func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups = append(w.lookups, host)
	name := strings.TrimSuffix(host, ".")
	if err := w.dnsErr[name]; err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, s := range w.hosts[name] {
		out = append(out, netip.MustParseAddr(s))
	}
	if len(out) == 0 {
		return nil, nxdomain(host)
	}
	return out, nil
}

// LookupSRV answers from srv.
func (w *world) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	full := "_" + service + "._" + proto + "." + strings.TrimSuffix(name, ".")
	w.lookups = append(w.lookups, full)
	if err := w.dnsErr[full]; err != nil {
		return "", nil, err
	}
	if records := w.srv[full]; len(records) > 0 {
		return full, records, nil
	}
	return "", nil, nxdomain(full)
}

func nxdomain(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func servfail(name string) error {
	return &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
}
