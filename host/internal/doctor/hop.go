package doctor

import (
	"fmt"
	"strings"
)

// State is what became of a hop.
type State string

const (
	// OK is as it must be.
	OK State = "ok"
	// Note is as it may be, with something to know.
	Note State = "note"
	// Wrong is what keeps knocks from coming through, or lets them by.
	Wrong State = "wrong"
	// Untried is a hop that one before it keeps from being looked at.
	Untried State = "not tried"
)

// Hop is one part of the way of a knock, and what was found there.
type Hop struct {
	// Name is one or two words, such as "certificate".
	Name  string `json:"hop"`
	State State  `json:"state"`
	// Text says what was found.
	Text string `json:"text"`
	// Change says what to change, a line for each program that it may be in. Only
	// where State is Wrong or Note.
	Change []string `json:"change,omitempty"`
}

func ok(name, format string, args ...any) Hop {
	return Hop{Name: name, State: OK, Text: fmt.Sprintf(format, args...)}
}

func wrong(name string, change []string, format string, args ...any) Hop {
	return Hop{Name: name, State: Wrong, Text: fmt.Sprintf(format, args...), Change: change}
}

func untried(why string, names ...string) (hops []Hop) {
	for _, name := range names {
		hops = append(hops, Hop{Name: name, State: Untried, Text: why})
	}
	return hops
}

// advice is what to change in each reverse proxy, by what is wrong.
type advice map[string]string

var (
	adviceRoute = advice{
		"nginx":   `location ~* "knock|_synapse|%" { proxy_pass http://127.0.0.1:8449; }  in the server of the federation port; what Knockgate listens on after "proxy_pass"`,
		"Caddy":   `@knock path_regexp (?i)(knock|_synapse|%)  and  reverse_proxy @knock 127.0.0.1:8449  in the site of the federation port`,
		"HAProxy": `use_backend knockgate if { path,url_dec -m sub -i knock _synapse % }  before the default_backend of the federation port`,
		"Traefik": "a router of higher priority for the path prefixes of make_knock and send_knock, to the service that is Knockgate",
		"Apache":  `ProxyPassMatch "(?i)knock|_synapse|%" "http://127.0.0.1:8449" nocanon  before that of the homeserver`,
	}
	adviceTarget = advice{
		"nginx":   "proxy_pass http://127.0.0.1:8449;  with nothing after the port, not even \"/\", and no rewrite: with a path it sends the one that it has decoded",
		"Caddy":   "no handle_path, rewrite or uri in the route of the knocks",
		"HAProxy": "no http-request normalize-uri, set-path, set-uri or replace-path in the frontend and the backend",
		"Traefik": "no middleware that changes the path in the router; a version that refuses encoded characters (3.6.4) needs encodedCharacters of the entry point to allow them",
		"Apache":  "AllowEncodedSlashes NoDecode, and nocanon at the end of ProxyPass; no RewriteRule",
	}
	adviceHost = advice{
		"nginx":   "proxy_set_header Host $http_host;  ($host leaves out the port, $proxy_host is the upstream's name)",
		"Caddy":   "no header_up Host",
		"HAProxy": "no http-request set-header Host",
		"Traefik": "passHostHeader: true in the service's loadBalancer, which is the default",
		"Apache":  "ProxyPreserveHost On",
	}
	adviceAuthorization = advice{
		"nginx":   "no proxy_set_header Authorization and no auth_basic in the location",
		"Caddy":   "no header_up -Authorization and no basicauth",
		"HAProxy": "no http-request del-header Authorization",
		"Traefik": "no basicAuth, digestAuth or headers middleware that removes Authorization",
		"Apache":  "no RequestHeader unset Authorization and no AuthType for the path",
	}
	adviceBody = advice{
		"nginx":   "no proxy_set_body, and no proxy_pass_request_body off",
		"Caddy":   "no request_body and no handler that changes it",
		"HAProxy": "no filter or Lua that changes it",
		"Traefik": "no buffering or plugin middleware",
		"Apache":  "no SetInputFilter",
	}
	adviceDown = advice{
		"nginx":   "the address after proxy_pass is that of listen.federation, and http:// or https:// as listen.tls has it",
		"Caddy":   "the address after reverse_proxy is that of listen.federation, with https:// and tls_insecure_skip_verify only where listen.tls is true",
		"HAProxy": "the address of the backend's server is that of listen.federation, with ssl only where listen.tls is true",
		"Traefik": "the url of the service is that of listen.federation, http or https as listen.tls has it",
		"Apache":  "the address after ProxyPass is that of listen.federation, http or https as listen.tls has it",
	}
)

// proxies are those that advice is for, in the order in which it is given.
var proxies = [...]string{"nginx", "Caddy", "HAProxy", "Traefik", "Apache"}

// of returns the lines for the proxy that an answer's Server header names, and for
// all of them if it names none.
func (a advice) of(server string) (lines []string) {
	for _, p := range proxies {
		if strings.Contains(strings.ToLower(server), strings.ToLower(p)) {
			return []string{p + ": " + a[p]}
		}
	}
	for _, p := range proxies {
		lines = append(lines, p+": "+a[p])
	}
	return lines
}
