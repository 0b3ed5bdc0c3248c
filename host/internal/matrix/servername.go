package matrix

import (
	"fmt"
	"net/netip"
	"strings"
)

// ServerName is a server name as in the specification's grammar: a DNS name,
// an IPv4 literal or a bracketed IPv6 literal, with an optional port. Two
// names are the same server only if they are equal byte for byte.
//
// Spec: Appendices, "Server Name".
type ServerName string

// ParseServerName returns s as a ServerName. It fails if s does not follow the
// grammar: 1 to 255 bytes of host (letters, digits, '-', '.'; or an IP
// literal), and at most one port of 1 to 5 digits.
func ParseServerName(s string) (ServerName, error) {
	host, port, hasPort := splitPort(s)
	if hasPort && !digits(port, 5) {
		return "", fmt.Errorf("server name %q: the port must be 1 to 5 digits", s)
	}
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		if err != nil || !strings.HasSuffix(host, "]") || !addr.Is6() || addr.Zone() != "" {
			return "", fmt.Errorf("server name %q: not an IPv6 address in brackets", s)
		}
		return ServerName(s), nil
	}
	if len(host) == 0 || len(host) > 255 {
		return "", fmt.Errorf("server name %q: the host must be 1 to 255 bytes", s)
	}
	for i := range len(host) {
		c := host[i]
		if !isAlnum(c) && c != '-' && c != '.' {
			return "", fmt.Errorf("server name %q: only letters, digits, '-' and '.' may stand in a host", s)
		}
	}
	return ServerName(s), nil
}

// Host returns the name without its port; an IPv6 literal keeps its brackets.
func (n ServerName) Host() string {
	host, _, _ := splitPort(string(n))
	return host
}

// Port returns the port of the name as written, and false if it has none.
func (n ServerName) Port() (string, bool) {
	_, port, ok := splitPort(string(n))
	return port, ok
}

// IPLiteral returns the address if the host is an IP literal: dotted IPv4 or
// bracketed IPv6.
func (n ServerName) IPLiteral() (netip.Addr, bool) {
	host := n.Host()
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
		return addr, err == nil
	}
	addr, err := netip.ParseAddr(host)
	return addr, err == nil && addr.Is4()
}

// splitPort splits at the port's colon, if there is one.
func splitPort(s string) (host, port string, ok bool) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || end+1 == len(s) || s[end+1] != ':' {
			return s, "", false
		}
		return s[:end+1], s[end+2:], true
	}
	return strings.Cut(s, ":")
}

func digits(s string, most int) bool {
	if len(s) == 0 || len(s) > most {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
