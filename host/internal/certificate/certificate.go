// Package certificate makes and keeps the TLS certificate of a listener whose
// operator has given none: self-signed, for a server that is tried out on its
// own machine. A server that others reach needs a certificate they trust.
package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Lifetime is how long a certificate made here is valid.
const Lifetime = 2 * 365 * 24 * time.Hour

// Names of the files that LoadOrCreate keeps in its folder.
const (
	CertificateFile = "tls.crt"
	KeyFile         = "tls.key"
)

// SelfSigned returns a new self-signed certificate for host (a DNS name or an
// IP literal, without port), with its PEM forms, valid from a day before now.
func SelfSigned(host string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Knockgate, self-signed"},
		NotBefore:             now.Add(-24 * time.Hour),
		NotAfter:              now.Add(Lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
	} else {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return certPEM, keyPEM, nil
}

// LoadOrCreate returns the certificate kept in dir, or makes a self-signed one
// for host there if neither of its two files exists. created tells which.
//
// It fails, changing nothing, where one file is there without the other, where
// they do not fit each other, and where the certificate has expired or is for
// another host.
func LoadOrCreate(dir, host string, now time.Time) (cert tls.Certificate, created bool, err error) {
	certPath, keyPath := filepath.Join(dir, CertificateFile), filepath.Join(dir, KeyFile)
	_, certErr := os.Stat(certPath)
	_, keyErr := os.Stat(keyPath)
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		if err := create(certPath, keyPath, host, now); err != nil {
			return cert, false, err
		}
		created = true
	}
	cert, err = Load(certPath, keyPath)
	if err != nil {
		return cert, false, err
	}
	if now.After(cert.Leaf.NotAfter) {
		return cert, false, fmt.Errorf("%s: expired on %s; delete it and %s to have new ones made", certPath, cert.Leaf.NotAfter.Format(time.DateOnly), keyPath)
	}
	if err := cert.Leaf.VerifyHostname(host); err != nil {
		return cert, false, fmt.Errorf("%s: %v; delete it and %s to have new ones made for %q", certPath, err, keyPath, host)
	}
	return cert, created, nil
}

// Load returns the certificate and key of two PEM files, with Leaf set.
func Load(certPath, keyPath string) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err != nil {
		return cert, fmt.Errorf("TLS certificate %s with key %s: %w", certPath, keyPath, err)
	}
	return cert, nil
}

// create writes the key first, so that a certificate is never there alone.
func create(certPath, keyPath, host string, now time.Time) error {
	certPEM, keyPEM, err := SelfSigned(host, now)
	if err != nil {
		return fmt.Errorf("self-signed certificate for %q: %w", host, err)
	}
	if err := os.WriteFile(keyPath, keyPEM, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(certPath, certPEM, 0o644); err != nil {
		os.Remove(keyPath)
		return err
	}
	return nil
}
