// Package certificate makes and keeps the TLS certificate of a listener whose
// operator has given none: self-signed, for a server that is tried out on its
// own machine. A server that others reach needs a certificate they trust.
package certificate

import (
	"crypto"
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
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	if certPEM, err = selfSign(key, host, now); err != nil {
		return nil, nil, err
	}
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// selfSign returns a new certificate of key as PEM.
func selfSign(key crypto.Signer, host string, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
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
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// LoadOrCreate returns the certificate kept in dir, or makes a self-signed one
// for host there if there is none. created tells which. A key that is there without
// a certificate, as a kill between the two leaves it, is the new one's.
//
// It fails, changing nothing, where the certificate is there without its key, where
// they do not fit each other, and where the certificate has expired or is for
// another host.
func LoadOrCreate(dir, host string, now time.Time) (cert tls.Certificate, created bool, err error) {
	certPath, keyPath := filepath.Join(dir, CertificateFile), filepath.Join(dir, KeyFile)
	if _, err := os.Stat(certPath); errors.Is(err, fs.ErrNotExist) {
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

// create writes the key first, unless there is one, so that a certificate is never
// there alone.
func create(certPath, keyPath, host string, now time.Time) error {
	if _, err := os.Stat(keyPath); err == nil {
		key, err := loadKey(keyPath)
		if err != nil {
			return err
		}
		certPEM, err := selfSign(key, host, now)
		if err != nil {
			return fmt.Errorf("self-signed certificate for %q: %w", host, err)
		}
		return replace(certPath, certPEM, 0o644)
	}
	certPEM, keyPEM, err := SelfSigned(host, now)
	if err != nil {
		return fmt.Errorf("self-signed certificate for %q: %w", host, err)
	}
	if err := replace(keyPath, keyPEM, 0o600); err != nil {
		return err
	}
	if err := replace(certPath, certPEM, 0o644); err != nil {
		os.Remove(keyPath)
		return err
	}
	return nil
}

// loadKey returns a key that SelfSigned has made.
func loadKey(path string) (crypto.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(text); block != nil {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if signer, ok := key.(crypto.Signer); err == nil && ok {
			return signer, nil
		}
	}
	return nil, fmt.Errorf("%s: no key in PEM, and no certificate beside it; move it away to have new ones made", path)
}

// replace writes a file in one step: whoever reads it finds all of it or nothing,
// also after a kill.
func replace(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no effect once it is renamed
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
