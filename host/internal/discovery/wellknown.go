package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// wellKnown returns the server that the host's well-known file delegates to,
// and false if the host has no valid one. Answers of both kinds are remembered.
// It fails only if ctx ends.
func (c *Client) wellKnown(ctx context.Context, host string) (matrix.ServerName, bool, error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	now := c.now()
	old, known := c.wellKnowns.get(host)
	if known && now.Before(old.expires) {
		return old.server, old.server != "", nil
	}
	fetched, err := c.fetchWellKnown(ctx, host)
	if ctx.Err() != nil {
		return "", false, context.Cause(ctx)
	}
	now = c.now()
	next := wellKnownEntry{server: fetched.server, expires: now.Add(fetched.lifetime)}
	switch {
	case err == nil:
		next.goodUntil = next.expires.Add(wellKnownGrace)
	default:
		next.failures = old.failures + 1
		next.expires = now.Add(errorLifetime(next.failures))
		if old.server != "" && now.Before(old.goodUntil) {
			next.server, next.goodUntil = old.server, old.goodUntil
		}
	}
	c.wellKnowns.put(host, next)
	return next.server, next.server != "", nil
}

// wellKnownEntry is what is remembered of one host.
type wellKnownEntry struct {
	server    matrix.ServerName // "" if there is no valid file
	expires   time.Time
	goodUntil time.Time // until when server is used if the file cannot be had
	failures  int       // in a row
}

// errorLifetime returns how long a failure is remembered: 2 minutes, doubled
// with each one in a row, at most an hour.
func errorLifetime(failures int) time.Duration {
	return min(wellKnownErrorMin<<min(failures-1, 8), wellKnownErrorMax)
}

type wellKnownAnswer struct {
	server   matrix.ServerName
	lifetime time.Duration
}

var errRedirectLoop = errors.New("the redirects of the well-known file loop")

// fetchWellKnown asks the host itself. Any failure means that there is no
// delegation.
func (c *Client) fetchWellKnown(ctx context.Context, host string) (wellKnownAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.wellKnown)
	defer cancel()
	authority := host
	if c.wellKnownPort != "" {
		authority += ":" + c.wellKnownPort
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+authority+"/.well-known/matrix/server", nil)
	if err != nil {
		return wellKnownAnswer{}, err
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := c.wellKnownHTTP.Do(req)
	if err != nil {
		return wellKnownAnswer{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return wellKnownAnswer{}, fmt.Errorf("well-known file: status %d", resp.StatusCode)
	}
	body, err := readAtMost(resp.Body, MaxWellKnown)
	if err != nil {
		return wellKnownAnswer{}, err
	}
	server, err := parseWellKnown(body)
	if err != nil {
		return wellKnownAnswer{}, err
	}
	return wellKnownAnswer{server, wellKnownLifetime(resp.Header, c.now())}, nil
}

// checkRedirect follows HTTPS only, a few times, and never to where it was.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if req.URL.Scheme != "https" {
		return fmt.Errorf("the well-known file redirects to %q, which is not HTTPS", req.URL.Scheme)
	}
	if len(via) > MaxRedirects {
		return errors.New("the well-known file redirects too often")
	}
	for _, v := range via {
		if v.URL.String() == req.URL.String() {
			return errRedirectLoop
		}
	}
	return nil
}

// parseWellKnown returns the m.server of a well-known file. It fails if the
// body is not one JSON object or m.server is not a server name.
//
// Spec: Server-Server API, "GET /.well-known/matrix/server".
func parseWellKnown(body []byte) (matrix.ServerName, error) {
	var doc canonicaljson.Doc
	limits := canonicaljson.Limits{MaxBytes: MaxWellKnown, MaxDepth: 32, MaxNodes: 4096}
	if err := doc.ParseLimits(body, limits); err != nil {
		return "", fmt.Errorf("well-known file: %v", err)
	}
	text, ok := doc.Root().Get("m.server").Text()
	if !ok {
		return "", errors.New("well-known file: m.server is not a string")
	}
	server, err := matrix.ParseServerName(text)
	if err != nil {
		return "", fmt.Errorf("well-known file: m.server: %v", err)
	}
	return server, nil
}

// wellKnownLifetime returns how long a good answer is remembered, from its
// Cache-Control and Expires headers.
//
// Spec: RFC 9111, section 4.2.1: max-age goes before Expires.
func wellKnownLifetime(h http.Header, now time.Time) time.Duration {
	life, set := wellKnownDefault, false
	for _, line := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch strings.ToLower(name) {
			case "no-store", "no-cache":
				return wellKnownMin
			case "max-age":
				if s, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
					life, set = time.Duration(s)*time.Second, true
				}
			}
		}
	}
	if expires := h.Get("Expires"); !set && expires != "" {
		life = 0 // an invalid date, such as "0", is one in the past
		if t, err := http.ParseTime(expires); err == nil {
			life = t.Sub(now)
		}
	}
	return min(max(life, wellKnownMin), wellKnownMax)
}
