package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/discovery"
)

// discover finds where peers look for the server.
func (d *doctor) discover(ctx context.Context) []discovery.Target {
	const name = "discovery"
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	_, literal := d.Server.IPLiteral()
	_, port := d.Server.Port()
	var how string
	switch {
	case literal || port:
		how = "the name says where"
	default:
		delegated, err := d.Client.WellKnown(ctx, d.Server.Host())
		if err != nil {
			how = fmt.Sprintf("no well-known file (%v), so SRV records or port 8448", err)
		} else {
			how = fmt.Sprintf("the well-known file says %q", delegated)
		}
	}
	targets, err := d.Client.Resolve(ctx, d.Server)
	if err != nil {
		d.add(wrong(name, []string{"DNS of " + d.Server.Host() + ": the records _matrix-fed._tcp and _matrix._tcp, or https://" + d.Server.Host() + "/.well-known/matrix/server"}, "%s: %v", how, err))
		return nil
	}
	var where []string
	for _, t := range targets {
		where = append(where, t.Address)
	}
	d.add(ok(name, "%s: %s", how, strings.Join(where, ", ")))
	return targets
}

// reach connects to each target as a peer does, and reports whether one is right.
func (d *doctor) reach(ctx context.Context, targets []discovery.Target) bool {
	const name = "certificate"
	reached := false
	for _, t := range targets {
		h, good := d.handshake(ctx, name, t)
		d.add(h)
		reached = reached || good
	}
	if len(targets) == 0 {
		d.add(untried("it is not known where", name)...)
	}
	return reached
}

func (d *doctor) handshake(ctx context.Context, name string, t discovery.Target) (Hop, bool) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	address, state, err := d.Client.Handshake(ctx, d.Server, t)
	if err != nil {
		var host x509.HostnameError
		var authority x509.UnknownAuthorityError
		var invalid x509.CertificateInvalidError
		switch {
		case !address.IsValid():
			return wrong(name, []string{"DNS, the firewall and the proxy's listener; a network that does not let its own hosts reach its public address needs this command outside of it"}, "%s cannot be reached: %v", t.Address, err), false
		case errors.As(err, &host):
			return wrong(name, []string{fmt.Sprintf("the certificate of the proxy's listener must be for %s, the name that peers ask for", t.TLSName)}, "%s at %s shows a certificate for other names: %v", t.TLSName, address, host), false
		case errors.As(err, &authority):
			return wrong(name, []string{"give the proxy a certificate of a public authority, with the whole chain (fullchain.pem)"}, "%s at %s shows a certificate that peers do not trust: %v", t.TLSName, address, err), false
		case errors.As(err, &invalid):
			return wrong(name, []string{"renew the certificate of the proxy's listener"}, "%s at %s: %v", t.TLSName, address, err), false
		}
		return wrong(name, []string{"the proxy must speak TLS 1.2 or 1.3 on this port"}, "%s at %s does not complete a TLS handshake: %v", t.TLSName, address, err), false
	}
	h := ok(name, "%s at %s", t.TLSName, address)
	if len(state.PeerCertificates) > 0 {
		end := state.PeerCertificates[0].NotAfter
		h.Text += ", until " + end.Format(time.DateOnly)
		if end.Sub(d.Now()) < 7*24*time.Hour {
			h.State, h.Change = Note, []string{"renew the certificate"}
		}
	}
	if err := discovery.CheckPublic(address.Addr()); err != nil && h.State == OK {
		h.State, h.Change = Note, []string{"nothing, if peers are in the same network or DNS tells them another address"}
		h.Text += "; from here it is a private address, which peers on the internet cannot reach"
	}
	return h, true
}
