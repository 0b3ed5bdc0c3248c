package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// probe sends probes to the public name and says how they arrived.
func (d *doctor) probe(ctx context.Context) {
	rest := []string{"request-target", "host", "authorization", "signature", "body", "other spellings", "sender"}
	const name = "arrival"
	if !d.heard {
		d.add(untried("the server does not answer on this machine", append([]string{name}, rest...)...)...)
		return
	}
	// Without anything that could be changed, so that what is wrong is the route.
	plain := d.makeProbe(mark + d.token)
	a, err := d.send(ctx, plain)
	if err != nil {
		d.add(wrong(name, nil, "%v", err))
		d.add(untried("no probe arrives", rest...)...)
		return
	}
	if a.seen == nil {
		d.add(d.lost(name, a))
		d.add(untried("no probe arrives", rest...)...)
		return
	}
	d.add(ok(name, "a make_knock to %s reaches this server", d.Server))
	d.targets(ctx, a)
	d.add(d.body(ctx), d.around(ctx), d.sender(a))
}

// lost says where a probe ended that did not arrive.
func (d *doctor) lost(name string, a *answered) Hop {
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status == http.StatusOK:
		return wrong(name, adviceRoute.of(a.server), "a make_knock is answered %d %.100q by another server than this: knocks go past the policies", a.status, a.body)
	case a.status >= 300 && a.status < 400:
		return wrong(name, adviceTarget.of(a.server), "a make_knock is redirected (%d), which no peer follows", a.status)
	case a.status >= 500:
		return wrong(name, adviceDown.of(a.server), "the proxy answers a make_knock %d: it does not get through to this server", a.status)
	}
	return wrong(name, append(adviceRoute.of(a.server), adviceTarget.of(a.server)...), "a make_knock is answered %d %.100q and does not reach this server, at least not with its path", a.status, a.body)
}

// targets sends what a careless proxy changes, and adds what it did.
func (d *doctor) targets(ctx context.Context, plain *answered) {
	// The first fault of each kind is shown: the others are the same.
	faults := map[string]*Hop{}
	fault := func(name string, change []string, format string, args ...any) {
		if faults[name] == nil {
			h := wrong(name, change, format, args...)
			faults[name] = &h
		}
	}
	targets := d.trickyTargets()
	host := ""
	var rare Hop
	for _, t := range targets {
		target := t.text
		method, body := http.MethodGet, []byte(nil)
		if strings.HasPrefix(target, sendPath) {
			method, body = http.MethodPut, []byte("{}")
		}
		p := d.sign(method, target, body)
		a, err := d.send(ctx, p)
		switch {
		case err != nil:
			fault("request-target", nil, "%s %s: %v", method, target, err)
			continue
		case a.seen == nil:
			fault("request-target", adviceTarget.of(plain.server), "%s %s does not arrive: it is answered %d %.100q", method, target, a.status, a.body)
			continue
		}
		s := a.seen
		if t.rare && s.Target != target {
			if faults["request-target"] == nil && rare.Name == "" {
				rare = Hop{"request-target", Note, fmt.Sprintf("what homeservers usually send arrives as it was sent, but %s arrived as %s: a peer that writes it so is refused", target, s.Target), adviceTarget.of(a.server)}
			}
			continue // its signature is wrong too
		}
		if s.Target != target || s.Method != method {
			fault("request-target", adviceTarget.of(a.server), "%s %s was sent, and %s %s arrived", method, target, s.Method, s.Target)
		}
		if host = d.host(ctx); s.Host != host {
			fault("host", adviceHost.of(a.server), "%q was sent, and %q arrived", host, s.Host)
		}
		if len(s.Authorization) != 1 || s.Authorization[0] != p.authorization {
			fault("authorization", adviceAuthorization.of(a.server), "one header was sent, and %q arrived", s.Authorization)
		}
		if s.Signature != "ok" {
			fault("signature", nil, "%s", s.Signature)
		}
	}
	if h := faults["signature"]; h != nil && len(faults) > 1 {
		h.Change = []string{"what is wrong above; the signature is over the request-target, as it was sent"}
	}
	right := []Hop{
		ok("request-target", "%d that are easily changed arrive as they were sent", len(targets)),
		ok("host", "%s", host), ok("authorization", "arrives"), ok("signature", "right, for the destination %s", d.Server),
	}
	if rare.Name != "" {
		right[0] = rare
	}
	for _, h := range right {
		if f := faults[h.Name]; f != nil {
			h = *f
		}
		d.add(h)
	}
}

// host returns the Host that peers send.
func (d *doctor) host(ctx context.Context) string {
	targets, err := d.Client.Resolve(ctx, d.Server)
	if err != nil || len(targets) == 0 {
		return string(d.Server)
	}
	return targets[0].Host
}

// body sends a body that a careless proxy changes.
func (d *doctor) body(ctx context.Context) Hop {
	const name = "body"
	p := d.sign(http.MethodPut, sendPath+mark+d.token+"/x", []byte(probeBody))
	a, err := d.send(ctx, p)
	switch {
	case err != nil:
		return wrong(name, nil, "%v", err)
	case a.seen == nil:
		return wrong(name, append(adviceRoute.of(a.server), "all: the method PUT must be allowed"), "a send_knock does not arrive: it is answered %d %.100q", a.status, a.body)
	case a.seen.BodySHA256 != p.sum():
		return wrong(name, adviceBody.of(a.server), "the body of a send_knock arrives changed")
	case a.seen.Signature != "ok":
		return wrong(name, nil, "%s", a.seen.Signature)
	}
	return ok(name, "that of a send_knock arrives as it was sent")
}

// around looks for a way to write the endpoint by which a knock reaches a
// homeserver and not this server. A homeserver that takes a probe for a knock
// refuses it as not authenticated, since nobody can fetch its keys.
func (d *doctor) around(ctx context.Context) Hop {
	const name = "other spellings"
	spellings := d.spellings()
	here := 0
	for _, target := range spellings {
		a, err := d.send(ctx, d.sign(http.MethodGet, target, nil))
		switch {
		case err != nil:
			return wrong(name, nil, "%s: %v", target, err)
		case a.seen != nil:
			here++
		case a.status == http.StatusOK || a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
			return wrong(name, adviceRoute.of(a.server), "%s is answered %d %.100q by another server than this: so written, a knock may go past the policies", target, a.status, a.body)
		}
	}
	return ok(name, "of %d other ways to write the endpoint, %d come here and no other is taken for a knock", len(spellings), here)
}

// sender says whose address the homeserver is told.
func (d *doctor) sender(a *answered) Hop {
	const name = "sender"
	if d.Homeserver == nil {
		return ok(name, "requests come from %s", a.seen.Remote)
	}
	remote, err := netip.ParseAddrPort(a.seen.Remote)
	trusted := false
	for _, p := range d.TrustedProxies {
		trusted = trusted || err == nil && p.Contains(remote.Addr().Unmap())
	}
	switch forwarded := len(a.seen.ForwardedFor) > 0; {
	case forwarded && !trusted:
		return Hop{name, Note, fmt.Sprintf("requests come from %s with X-Forwarded-For, which is not believed: the homeserver is told the proxy's address instead of the peer's", a.seen.Remote),
			[]string{fmt.Sprintf("upstream.trusted_proxies = [\"%s/%d\"], if that is the proxy's address", remote.Addr().Unmap(), remote.Addr().Unmap().BitLen())}}
	case trusted && !forwarded:
		return Hop{name, Note, fmt.Sprintf("the trusted proxy %s does not say who sent a request: the homeserver is told the proxy's address", a.seen.Remote),
			[]string{"set X-Forwarded-For in the proxy to the peer's address"}}
	case trusted:
		return ok(name, "the proxy %s says whose a request is", a.seen.Remote)
	}
	return ok(name, "requests come from %s, without a proxy's X-Forwarded-For", a.seen.Remote)
}
