package admin

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/time/rate"
)

const (
	// wrongRate and wrongBurst are how many wrong tokens are told so, and logged: a
	// second, and at once. The others are answered 429. A right one is never refused
	// for the wrong ones of others; to guess 32 bytes is hopeless at any rate.
	wrongRate  = 1
	wrongBurst = 20
)

// guard keeps out who has no business here.
type guard struct {
	token *Token
	hosts []string
	log   *slog.Logger
	wrong *rate.Limiter
	cross *http.CrossOriginProtection
}

func newGuard(o *Options) *guard {
	return &guard{token: o.Token, hosts: o.Hosts, log: o.Log, wrong: rate.NewLimiter(wrongRate, wrongBurst), cross: http.NewCrossOriginProtection()}
}

// ours lets requests through that are for one of the listener's own names, so that a
// page elsewhere whose name is made to point here reads nothing.
func (g *guard) ours(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.isOurs(r) {
			fail(w, http.StatusMisdirectedRequest, fmt.Errorf("the host %.255q is none of this listener: use its address, localhost, or a name in hosts of [admin]", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g *guard) isOurs(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Unmap().IsLoopback() {
			return true
		}
		local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		return ok && local.AddrPort().Addr().Unmap() == ip.Unmap()
	}
	return strings.EqualFold(host, "localhost") || slices.ContainsFunc(g.hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// here refuses requests that change something and that a page of another site makes.
func (g *guard) here(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.cross.Check(r); err != nil {
			fail(w, http.StatusForbidden, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hereOnly refuses all that a page of another site asks for.
func (g *guard) hereOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		changing := r.WithContext(r.Context()) // as if it were one that changes something
		changing.Method = http.MethodPost
		if err := g.cross.Check(changing); err != nil {
			fail(w, http.StatusForbidden, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// known lets requests through that have the token.
func (g *guard) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			given = ""
		}
		right, err := g.token.Right(strings.TrimSpace(given))
		switch {
		case err != nil:
			g.log.Error("the admin API has no token", "err", err)
			fail(w, http.StatusServiceUnavailable, fmt.Errorf("no token: %w", err))
		case right:
			next.ServeHTTP(w, r)
		case !g.wrong.Allow():
			w.Header().Set("Retry-After", "1")
			fail(w, http.StatusTooManyRequests, fmt.Errorf("too many wrong tokens"))
		default:
			g.log.Warn("admin API: no token, or a wrong one", "who", Who(r.Context()), "path", fmt.Sprintf("%.200s", r.URL.Path))
			w.Header().Set("WWW-Authenticate", `Bearer realm="knockgate"`)
			fail(w, http.StatusUnauthorized, fmt.Errorf("the header Authorization must be \"Bearer\" and the token in the file that token_file of [admin] names"))
		}
	})
}
