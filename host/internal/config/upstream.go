package config

import (
	"net/netip"
	"net/url"
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
	// Admin is where room facts come from; nil: there are none.
	Admin *UpstreamAdmin
}

// UpstreamAdmin is Synapse's admin API.
type UpstreamAdmin struct {
	// URL is where it is. Default: the upstream's.
	URL *url.URL
	// TokenFile holds the access token of an administrator. Required.
	TokenFile string
	// MaxAge is how old facts may be. Default 5 s.
	MaxAge time.Duration
}

// upstream is an Upstream as it is written.
type upstream struct {
	URL            string   `toml:"url"`
	CAFile         string   `toml:"ca_file"`
	ConnectTimeout string   `toml:"connect_timeout"`
	AnswerTimeout  string   `toml:"answer_timeout"`
	TrustedProxies []string `toml:"trusted_proxies"`
	Admin          *struct {
		URL       string `toml:"url"`
		TokenFile string `toml:"token_file"`
		MaxAge    string `toml:"max_age"`
	} `toml:"admin"`
}

// Defaults of the keys of [upstream] that have one.
const (
	DefaultConnectTimeout = 5 * time.Second
	DefaultAnswerTimeout  = time.Minute
	DefaultFactsMaxAge    = 5 * time.Second
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
	if u.CAFile != "" {
		c.Upstream.CAFile = under(dir, u.CAFile)
		faults.mustBeFile("upstream.ca_file", c.Upstream.CAFile)
	}
	if u.Admin == nil {
		return
	}
	admin := &UpstreamAdmin{
		URL:    c.Upstream.URL,
		MaxAge: checkDuration(faults, "upstream.admin.max_age", u.Admin.MaxAge, DefaultFactsMaxAge),
	}
	if u.Admin.URL != "" {
		admin.URL = checkURL(faults, "upstream.admin.url", u.Admin.URL)
	}
	if u.Admin.TokenFile == "" {
		faults.addf("upstream.admin.token_file", "missing; a file with the access token of an administrator of the homeserver")
	} else {
		admin.TokenFile = under(dir, u.Admin.TokenFile)
		faults.mustBeFile("upstream.admin.token_file", admin.TokenFile)
	}
	c.Upstream.Admin = admin
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
