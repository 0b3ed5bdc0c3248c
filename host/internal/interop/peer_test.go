package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/fclient"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

// peer is a homeserver made of gomatrixserverlib: an identity, a listener that
// publishes its key, and the library's federation client.
type peer struct {
	name   spec.ServerName
	keyID  gomatrixserverlib.KeyID
	key    ed25519.PrivateKey
	client fclient.FederationClient
}

// newPeer starts a peer on a loopback port. Its server name is the address.
func newPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{keyID: "ed25519:interop", key: newKey(t)}
	mux := http.NewServeMux()
	server := httptest.NewUnstartedServer(mux)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MinVersion: tls.VersionTLS12}
	p.name = spec.ServerName(server.Listener.Addr().String())

	document := p.keyDocument(t)
	mux.HandleFunc("GET /_matrix/key/v2/server", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document)
	})
	server.StartTLS()
	t.Cleanup(server.Close)
	p.client = p.clientWith(p.key)
	return p
}

// clientWith returns the library's client, signing as p with the key given.
func (p *peer) clientWith(key ed25519.PrivateKey) fclient.FederationClient {
	return fclient.NewFederationClient(
		[]*fclient.SigningIdentity{{ServerName: p.name, KeyID: p.keyID, PrivateKey: key}},
		fclient.WithSkipVerify(true), // serve's certificate is self-signed
		fclient.WithTimeout(30*time.Second),
	)
}

// user returns the user of the peer with this localpart.
func (p *peer) user(localpart string) string { return "@" + localpart + ":" + string(p.name) }

// keyDocument returns the body of /_matrix/key/v2/server, signed by the library.
func (p *peer) keyDocument(t *testing.T) []byte {
	t.Helper()
	fields, err := json.Marshal(gomatrixserverlib.ServerKeyFields{
		ServerName: p.name,
		VerifyKeys: map[gomatrixserverlib.KeyID]gomatrixserverlib.VerifyKey{
			p.keyID: {Key: spec.Base64Bytes(p.key.Public().(ed25519.PublicKey))},
		},
		OldVerifyKeys: map[gomatrixserverlib.KeyID]gomatrixserverlib.OldVerifyKey{},
		ValidUntilTS:  spec.AsTimestamp(time.Now().Add(24 * time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	document, err := gomatrixserverlib.SignJSON(string(p.name), p.keyID, p.key, fields)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// do sends a request that the library signs, and decodes the answer into
// result. It is for answers of which the library's own types keep only a part.
func (p *peer) do(ctx context.Context, method string, server spec.ServerName, target string, content, result any) error {
	request := fclient.NewFederationRequest(method, p.name, server, target)
	if content != nil {
		if err := request.SetContent(content); err != nil {
			return err
		}
	}
	if err := request.Sign(p.name, p.keyID, p.key); err != nil {
		return err
	}
	httpRequest, err := request.HTTPRequest()
	if err != nil {
		return err
	}
	return p.client.DoRequestAndParseResponse(ctx, httpRequest, result)
}

// keyRing returns the library's own verifier, which fetches every key anew
// from the server it belongs to.
func (p *peer) keyRing() gomatrixserverlib.KeyRing {
	fetcher := &gomatrixserverlib.DirectKeyFetcher{
		Client:            p.client,
		IsLocalServerName: func(spec.ServerName) bool { return false },
	}
	return gomatrixserverlib.KeyRing{KeyFetchers: []gomatrixserverlib.KeyFetcher{fetcher}, KeyDatabase: noDatabase{}}
}

// noDatabase is a key cache that keeps nothing.
type noDatabase struct{}

func (noDatabase) FetcherName() string { return "none" }

func (noDatabase) FetchKeys(context.Context, map[gomatrixserverlib.PublicKeyLookupRequest]spec.Timestamp) (map[gomatrixserverlib.PublicKeyLookupRequest]gomatrixserverlib.PublicKeyLookupResult, error) {
	return nil, nil
}

func (noDatabase) StoreKeys(context.Context, map[gomatrixserverlib.PublicKeyLookupRequest]gomatrixserverlib.PublicKeyLookupResult) error {
	return nil
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// selfSigned returns a certificate for 127.0.0.1 and 127.0.0.2.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
