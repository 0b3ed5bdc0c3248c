package upstream

import (
	"net/http"
	"net/netip"
	"strings"
)

// setForwarded says in h who sent the request and by which scheme, in place of
// whatever the sender said of that. Only a trusted proxy is believed: the last
// address of its X-Forwarded-For that is no trusted proxy's is the sender's. One
// address is given and no list, since homeservers take the first of a list.
func (u *Upstream) setForwarded(h http.Header, r *http.Request) {
	h.Del("X-Real-Ip")
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	var from string
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		address := peer.Addr().Unmap()
		if u.trusts(address) {
			address = u.senderOf(address, r.Header["X-Forwarded-For"])
			if s := r.Header.Get("X-Forwarded-Proto"); s == "http" || s == "https" {
				scheme = s
			}
		}
		from = address.String()
	}
	h.Del("X-Forwarded-For")
	if from != "" {
		h.Set("X-Forwarded-For", from)
	}
	h.Set("X-Forwarded-Proto", scheme)
}

// senderOf returns the last address of the lists that is no trusted proxy's; the
// first if all are; the proxy's own where they hold what is no address.
func (u *Upstream) senderOf(proxy netip.Addr, lists []string) netip.Addr {
	sender := proxy
	hops := strings.Split(strings.Join(lists, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return sender
		}
		if sender = hop.Unmap(); !u.trusts(sender) {
			return sender
		}
	}
	return sender
}

func (u *Upstream) trusts(address netip.Addr) bool {
	for _, p := range u.TrustedProxies {
		if p.Contains(address) {
			return true
		}
	}
	return false
}
