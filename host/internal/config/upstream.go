package config

import (
	"cmp"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Upstream is a homeserver of the same name as this server, which stands before
// its federation listener.
type Upstream struct {
	// URL is its scheme ("http" or "https") and address, without a path. Required.
	URL *url.URL
	// CAFile are the PEM certificates that an https upstream's is signed by; ""
	// takes the system's. Default "".
	CAFile string
	// ConnectTimeout bounds the making of a connection, with TLS. Default 5 s.
	ConnectTimeout time.Duration
	// AnswerTimeout bounds the wait for the whole answer to a knock. Default 1 min.
	AnswerTimeout time.Duration
	// TrustedProxies are the addresses whose X-Forwarded-For and
	// X-Forwarded-Proto are believed. Default none.
	TrustedProxies []netip.Prefix
	// FactsMaxAge is how old what policies are told of a room may be. Default 5 s, with
	// an Appservice 1 min.
	FactsMaxAge time.Duration
	// Admin is Synapse's admin API, with the token of an administrator, and Bot the
	// client-server API, with that of a user. Room facts come from the first of them
	// that knows the room; nil: not from there.
	Admin, Bot *UpstreamAPI
	// Appservice is where the homeserver pushes events to; nil: nowhere.
	Appservice *UpstreamAppservice
}

// UpstreamAPI is an API of the homeserver's that takes an access token.
type UpstreamAPI struct {
	// URL is where it is. Default: the upstream's.
	URL *url.URL
	// TokenFile holds the access token. Required.
	TokenFile string
}

// UpstreamAppservice is this server as an application service of the homeserver.
type UpstreamAppservice struct {
	// Listen is where the homeserver pushes to, on plain HTTP. Default
	// "127.0.0.1:8009".
	Listen netip.AddrPort
	// URL is Listen as the homeserver reaches it. Default "http://" and Listen;
	// required where that is an unspecified address or port 0.
	URL *url.URL
	// ID is the unique name of this application service there. Default "knockgate".
	ID string
	// SenderLocalpart is of the user that it is there. Default "knockgate".
	SenderLocalpart string
}

// upstream is an Upstream as it is written.
type upstream struct {
	URL            string   `toml:"url"`
	CAFile         string   `toml:"ca_file"`
	ConnectTimeout string   `toml:"connect_timeout"`
	AnswerTimeout  string   `toml:"answer_timeout"`
	TrustedProxies []string `toml:"trusted_proxies"`
	FactsMaxAge    string   `toml:"facts_max_age"`

	Admin      *upstreamAPI `toml:"admin"`
	Bot        *upstreamAPI `toml:"bot"`
	Appservice *struct {
		Listen          string `toml:"listen"`
		URL             string `toml:"url"`
		ID              string `toml:"id"`
		SenderLocalpart string `toml:"sender_localpart"`
	} `toml:"appservice"`
}

type upstreamAPI struct {
	URL       string `toml:"url"`
	TokenFile string `toml:"token_file"`
}

// Defaults of the keys of [upstream] that have one.
const (
	DefaultConnectTimeout = 5 * time.Second
	DefaultAnswerTimeout  = time.Minute
	DefaultFactsMaxAge    = 5 * time.Second
	DefaultPushedMaxAge   = time.Minute // of facts, where changes are pushed
	DefaultAppservice     = "127.0.0.1:8009"
	DefaultAppserviceID   = "knockgate"
)

func (f *file) checkUpstream(c *Config, faults *faults, dir string) {
	u := f.Upstream
	if u == nil {
		return
	}
	if len(f.Rooms) > 0 {
		faults.addf("room", "not together with [upstream], whose homeserver keeps the rooms: remove one of them")
	}
	c.Upstream = &Upstream{
		URL:            checkURL(faults, "upstream.url", u.URL),
		ConnectTimeout: checkDuration(faults, "upstream.connect_timeout", u.ConnectTimeout, DefaultConnectTimeout),
		AnswerTimeout:  checkDuration(faults, "upstream.answer_timeout", u.AnswerTimeout, DefaultAnswerTimeout),
		TrustedProxies: checkPrefixes(faults, "upstream.trusted_proxies", u.TrustedProxies),
	}
	maxAge := DefaultFactsMaxAge
	if u.Appservice != nil {
		maxAge = DefaultPushedMaxAge
	}
	c.Upstream.FactsMaxAge = checkDuration(faults, "upstream.facts_max_age", u.FactsMaxAge, maxAge)
	if u.CAFile != "" {
		c.Upstream.CAFile = under(dir, u.CAFile)
		faults.mustBeFile("upstream.ca_file", c.Upstream.CAFile)
	}
	c.Upstream.Admin = u.Admin.check(c.Upstream, faults, dir, "upstream.admin", "an administrator of the homeserver")
	c.Upstream.Bot = u.Bot.check(c.Upstream, faults, dir, "upstream.bot", "a user of the homeserver")
	u.checkAppservice(c.Upstream, faults)
}

// check returns the API that is written under key, nil if none is. whose says whose
// token it takes.
func (a *upstreamAPI) check(u *Upstream, faults *faults, dir, key, whose string) *UpstreamAPI {
	if a == nil {
		return nil
	}
	api := &UpstreamAPI{URL: u.URL}
	if a.URL != "" {
		api.URL = checkURL(faults, key+".url", a.URL)
	}
	if a.TokenFile == "" {
		faults.addf(key+".token_file", "missing; a file with the access token of %s", whose)
	} else {
		api.TokenFile = under(dir, a.TokenFile)
		faults.mustBeFile(key+".token_file", api.TokenFile)
	}
	return api
}

func (u *upstream) checkAppservice(c *Upstream, faults *faults) {
	if u.Appservice == nil {
		return
	}
	a := &UpstreamAppservice{
		ID:              cmp.Or(u.Appservice.ID, DefaultAppserviceID),
		SenderLocalpart: cmp.Or(u.Appservice.SenderLocalpart, DefaultAppserviceID),
	}
	c.Appservice = a
	listen := cmp.Or(u.Appservice.Listen, DefaultAppservice)
	var err error
	if a.Listen, err = netip.ParseAddrPort(listen); err != nil {
		faults.addf("upstream.appservice.listen", "%q is not ADDRESS:PORT with an IP address, such as %q", listen, DefaultAppservice)
	}
	switch {
	case u.Appservice.URL != "":
		a.URL = checkURL(faults, "upstream.appservice.url", u.Appservice.URL)
	case err == nil && (a.Listen.Addr().IsUnspecified() || a.Listen.Port() == 0):
		faults.addf("upstream.appservice.url", "missing; how the homeserver reaches %s, such as \"http://knockgate:8009\"", listen)
	default:
		a.URL = &url.URL{Scheme: "http", Host: listen}
	}
	if !isName(a.ID, 255) {
		faults.addf("upstream.appservice.id", "%q; %s", a.ID, nameRule)
	}
	if !isName(a.SenderLocalpart, 128) {
		faults.addf("upstream.appservice.sender_localpart", "%q; %s", a.SenderLocalpart, nameRule)
	}
}

const nameRule = "must be of lower-case letters, digits, '.', '_' and '-'"

// isName reports whether text is a localpart that needs no escape anywhere:
// Synapse refuses one that does in a registration.
func isName(text string, most int) bool {
	return text != "" && len(text) <= most && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// checkURL returns the URL that text is: a scheme, an address and nothing more.
func checkURL(faults *faults, key, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || *u != (url.URL{Scheme: u.Scheme, Host: u.Host}) {
		faults.addf(key, "%q; must be a scheme and an address without a path, such as \"http://127.0.0.1:8008\"", text)
		return &url.URL{}
	}
	return u
}

// checkDuration returns the duration that text is, or otherwise if it is empty.
func checkDuration(faults *faults, key, text string, otherwise time.Duration) time.Duration {
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		faults.addf(key, "%q; must be a time of more than 0, such as %q", text, otherwise)
		return otherwise
	}
	return d
}
