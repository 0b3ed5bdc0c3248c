package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/knockgate/knockgate/sdk/abi"
)

// target is what a request-target is to a server that stands before another.
type target struct {
	// origin is its origin form, as it goes to upstream.
	origin string
	// knock is the endpoint that it names; nil: something else.
	knock *endpoint
	// first and second are the two segments behind the endpoint, still encoded.
	first, second string
}

// The endpoints that are never passed through.
var (
	makeKnock = endpoint{method: http.MethodGet, path: "/_matrix/federation/v1/make_knock/", phase: abi.MakeKnock, name: "make_knock"}
	sendKnock = endpoint{method: http.MethodPut, path: "/_matrix/federation/v1/send_knock/", phase: abi.SendKnock, name: "send_knock"}
)

// readTarget returns what a request-target is. It is false for one that goes
// nowhere: that upstream, or a program before it, could read as one of the knock
// endpoints although it is not written as they are, or as Synapse's admin API,
// which is not for the federation listener.
func readTarget(requestTarget string) (target, bool) {
	t := target{origin: requestTarget}
	if !strings.HasPrefix(t.origin, "/") {
		// The absolute form is for proxies; a server behind one gets the other.
		scheme, rest, ok := strings.Cut(requestTarget, "://")
		slash := strings.IndexByte(rest, '/')
		if !ok || !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") || slash <= 0 || strings.ContainsAny(rest[:slash], "?#") {
			return t, false
		}
		t.origin = rest[slash:]
	}
	if strings.HasPrefix(t.origin, "//") {
		return t, false // nothing of Matrix, and the authority of a URL to some
	}
	path, _, _ := strings.Cut(t.origin, "?")
	segments, ok := decoded(path)
	if !ok {
		return t, false
	}
	switch {
	case isAdmin(segments):
		return t, false
	case !isKnock(segments):
		return t, true
	}
	for _, s := range segments {
		if s == "." || s == ".." {
			return t, false
		}
	}
	for _, e := range []*endpoint{&makeKnock, &sendKnock} {
		rest, ok := strings.CutPrefix(path, e.path)
		if !ok {
			continue
		}
		first, second, ok := strings.Cut(rest, "/")
		if ok && first != "" && second != "" && !strings.Contains(second, "/") {
			t.knock, t.first, t.second = e, first, second
			return t, true
		}
	}
	return t, false
}

// maxDecodings is how often a path may be percent-encoded upon itself.
const maxDecodings = 8

// decoded returns the segments of a path, percent-decoded until there is nothing
// left to decode. It is false for one that is encoded more than maxDecodings times.
func decoded(path string) ([]string, bool) {
	for range maxDecodings {
		once := decodeOnce(path)
		if once == path {
			return strings.Split(strings.ReplaceAll(path, `\`, "/"), "/"), true
		}
		path = once
	}
	return nil, false
}

// decodeOnce decodes what is an escape and leaves the rest.
func decodeOnce(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		if s[0] == '%' && len(s) >= 3 {
			if c, err := url.PathUnescape(s[:3]); err == nil {
				b.WriteString(c)
				s = s[3:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}

// plain returns a segment as a careless reader takes it: without parameters, white
// space, control characters and dots at its ends.
func plain(segment string) string {
	segment = strings.TrimFunc(segment, isDropped)
	if i := strings.IndexAny(segment, ";?#\x00"); i >= 0 {
		segment = segment[:i]
	}
	return strings.TrimFunc(segment, isDropped)
}

func isDropped(c rune) bool { return c <= ' ' || c == 0x7f || c == '.' }

func isKnock(segments []string) bool {
	for _, s := range segments {
		if s = plain(s); strings.EqualFold(s, makeKnock.name) || strings.EqualFold(s, sendKnock.name) {
			return true
		}
	}
	return false
}

// isAdmin reports whether _synapse is followed by admin, whatever stands between
// them that somebody could leave out.
func isAdmin(segments []string) bool {
	after := false
	for _, s := range segments {
		switch s = plain(s); {
		case strings.EqualFold(s, "_synapse"):
			after = true
		case after && strings.EqualFold(s, "admin"):
			return true
		}
	}
	return false
}
