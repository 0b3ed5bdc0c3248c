package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/certificate"
	"github.com/knockgate/knockgate/host/internal/discovery"
	"github.com/knockgate/knockgate/host/internal/doctor"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/upstream"
)

// proxied is a gateway on plain HTTP behind a reverse proxy, which has the public
// name, and before a homeserver. The proxy sends all that could be a knock to the
// gateway, and the rest to the homeserver.
type proxied struct {
	*front
	proxy net.Listener
	// cert is what the proxy shows.
	cert tls.Certificate
	// change may change what the proxy hands on, or where to, or answer itself: then
	// it returns false.
	change func(w http.ResponseWriter, r *http.Request, to *handedOn) bool
}

// handedOn is what a proxy makes of a request.
type handedOn struct {
	target string
	server *upstream.Upstream
	// gateway and homeserver are where it may go.
	gateway, homeserver *upstream.Upstream
}

// newProxied starts all three. name has %d in place of the proxy's port; rest is
// added to [upstream].
func newProxied(t *testing.T, name string, homeserverName func(name string) string, rest string) *proxied {
	t.Helper()
	p := newGatewayBehind(t, name, homeserverName, rest)
	p.cert = selfSignedTLS(t, "127.0.0.1").Certificates[0]
	p.serveProxy()
	return p
}

// newGatewayBehind starts the homeserver, the gateway, and of the proxy its
// listener alone.
func newGatewayBehind(t *testing.T, name string, homeserverName func(name string) string, rest string) *proxied {
	t.Helper()
	p := &proxied{proxy: listenLow(t)}
	public := fmt.Sprintf(name, p.proxy.Addr().(*net.TCPAddr).Port)
	homeserver := newHomeserver(t, homeserverName(public))
	p.front = &front{homeserver: homeserver, wiretap: newWiretap(t, homeserver.server.Handler)}
	p.world = &world{t: t, dir: t.TempDir(), log: &logBuffer{}}
	p.startOn(listen(t), func(address string) string {
		return fmt.Sprintf("server_name = %q\n[listen]\nfederation = %q\ntls = false\n[admin]\nlisten = %q\n", public, address, freeAddress(t)) +
			testFederation + fmt.Sprintf("[upstream]\nurl = %q\n", p.url) + rest + allowAll
	})
	p.name = matrix.ServerName(public)
	return p
}

func same(name string) string { return name }

// listenLow listens on a loopback port that no connection and no other test is
// given by the system, so that it can be closed and taken by another program.
func listenLow(t *testing.T) net.Listener {
	t.Helper()
	for range 100 {
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000))); err == nil {
			return ln
		}
	}
	t.Fatal("no free port from 15000 to 29999")
	return nil
}

// serveProxy starts the proxy.
func (p *proxied) serveProxy() {
	to := func(address string) *upstream.Upstream {
		u := upstream.New(upstream.Options{URL: &url.URL{Scheme: "http", Host: address}, ConnectTimeout: 5 * time.Second,
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		p.t.Cleanup(u.Close)
		return u
	}
	gateway, homeserver := to(string(p.address())), to(strings.TrimPrefix(p.url, "http://"))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		way := &handedOn{r.RequestURI, homeserver, gateway, homeserver}
		if path := strings.ToLower(r.URL.Path); strings.Contains(path, "knock") || strings.Contains(path, "%") {
			way.server = gateway
		}
		if p.change != nil && !p.change(w, r, way) {
			return
		}
		way.server.Stream(w, r, way.target, func(e *matrix.Error) { http.Error(w, e.Message, e.Status) })
	}))
	server.Listener.Close()
	server.Listener = p.proxy
	server.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &p.cert, nil }}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	p.t.Cleanup(server.Close)
}

// examine runs the doctor and returns its hops by their names.
func (p *proxied) examine(client *discovery.Client) (map[string]doctor.Hop, []doctor.Hop) {
	p.t.Helper()
	list, err := examine(p.t.Context(), p.cfg, client)
	if err != nil {
		p.t.Fatal(err)
	}
	hops := map[string]doctor.Hop{}
	for _, h := range list {
		hops[h.Name] = h
	}
	if len(hops) != 14 {
		p.t.Errorf("%d hops, want 14: %+v", len(hops), list)
	}
	return hops, list
}

// TestDoctorProxies: each fault of a reverse proxy is named at its hop, and only
// there and where it must show too; the others are right.
func TestDoctorProxies(t *testing.T) {
	knock := func(r *http.Request) bool { return strings.Contains(r.URL.Path, "_knock") }
	tests := []struct {
		name   string
		change func(w http.ResponseWriter, r *http.Request, to *handedOn) bool
		wrong  map[string]string // by hop, what its text or its advice says
	}{
		{"right", nil, nil},
		{
			"decodes the path", func(_ http.ResponseWriter, r *http.Request, to *handedOn) bool {
				to.target = strings.NewReplacer(" ", "%20", "?", "%3F", "#", "%23").Replace(r.URL.Path)
				if r.URL.RawQuery != "" {
					to.target += "?" + r.URL.RawQuery
				}
				return true
			}, map[string]string{"request-target": "nocanon", "signature": "wrong"},
		},
		{
			"encodes the path anew", func(_ http.ResponseWriter, r *http.Request, to *handedOn) bool {
				to.target = (&url.URL{Path: r.URL.Path, RawQuery: r.URL.RawQuery}).RequestURI()
				return true
			}, map[string]string{"request-target": "arrived", "signature": "wrong"},
		},
		{
			"has digits in upper case, and what needs no encoding decoded", func(_ http.ResponseWriter, r *http.Request, to *handedOn) bool {
				to.target = strings.NewReplacer("%2d", "-", "%2D", "-", "%7E", "~", "%3a", "%3A", "%2f", "%2F").Replace(to.target)
				return true
			}, map[string]string{},
		},
		{
			"sorts the parameters", func(_ http.ResponseWriter, r *http.Request, to *handedOn) bool {
				if r.URL.RawQuery != "" {
					to.target = r.URL.EscapedPath() + "?" + r.URL.Query().Encode()
				}
				return true
			}, map[string]string{"request-target": "x=a+b+c arrived", "signature": "wrong"},
		},
		{
			"drops Authorization", func(_ http.ResponseWriter, r *http.Request, _ *handedOn) bool {
				r.Header.Del("Authorization")
				return true
			}, map[string]string{"authorization": "auth_basic", "signature": "Missing", "body": "Missing"},
		},
		{
			"changes Host", func(w http.ResponseWriter, r *http.Request, _ *handedOn) bool {
				r.Host = "127.0.0.1"
				w.Header().Set("Server", "nginx/1.22.1")
				return true
			}, map[string]string{"host": "$http_host"},
		},
		{
			"writes the body anew", func(_ http.ResponseWriter, r *http.Request, _ *handedOn) bool {
				body, _ := io.ReadAll(r.Body)
				var v any
				if json.Unmarshal(body, &v) == nil {
					body, _ = json.Marshal(v)
				}
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				return true
			}, map[string]string{"body": "changed"},
		},
		{
			"refuses PUT", func(w http.ResponseWriter, r *http.Request, _ *handedOn) bool {
				if r.Method == http.MethodPut {
					w.WriteHeader(http.StatusMethodNotAllowed)
					return false
				}
				return true
			}, map[string]string{"body": "405", "request-target": "405"},
		},
		{
			"refuses encoded slashes", func(w http.ResponseWriter, r *http.Request, _ *handedOn) bool {
				if strings.Contains(strings.ToUpper(r.RequestURI), "%2F") {
					w.WriteHeader(http.StatusBadRequest)
					return false
				}
				return true
			}, map[string]string{"request-target": "3.6.4"},
		},
		{
			"sends knocks to the homeserver", func(_ http.ResponseWriter, _ *http.Request, to *handedOn) bool {
				to.server = to.homeserver
				return true
			}, map[string]string{"arrival": "go past the policies"},
		},
		{
			"redirects", func(w http.ResponseWriter, r *http.Request, _ *handedOn) bool {
				if knock(r) {
					http.Redirect(w, r, "https://elsewhere.invalid/", http.StatusPermanentRedirect)
					return false
				}
				return true
			}, map[string]string{"arrival": "redirected"},
		},
		{
			"does not get through", func(w http.ResponseWriter, r *http.Request, _ *handedOn) bool {
				if knock(r) {
					w.WriteHeader(http.StatusBadGateway)
					return false
				}
				return true
			}, map[string]string{"arrival": "502"},
		},
		{
			"strips the prefix", func(_ http.ResponseWriter, r *http.Request, to *handedOn) bool {
				to.target = strings.TrimPrefix(to.target, "/_matrix/federation")
				return true
			}, map[string]string{"request-target": "arrived", "signature": "wrong", "body": "wrong"},
		},
		{
			"knows the plain spelling alone", func(w http.ResponseWriter, r *http.Request, to *handedOn) bool {
				if strings.HasPrefix(r.RequestURI, "/_matrix/federation/v1/make_knock/") || strings.HasPrefix(r.RequestURI, "/_matrix/federation/v1/send_knock/") || !knock(r) {
					return true
				}
				w.WriteHeader(http.StatusUnauthorized) // a homeserver that decodes
				return false
			}, map[string]string{"other spellings": "%6dake_knock"},
		},
		{
			"has the keys of another", func(w http.ResponseWriter, r *http.Request, _ *handedOn) bool {
				if r.URL.Path == "/_matrix/key/v2/server" {
					_, _ = io.WriteString(w, `{"server_name":"b.example"}`)
					return false
				}
				return true
			}, map[string]string{"published keys": "b.example"},
		},
		{
			"keeps the keys back", func(w http.ResponseWriter, r *http.Request, _ *handedOn) bool {
				if r.URL.Path == "/_matrix/key/v2/server" {
					http.NotFound(w, r)
					return false
				}
				return true
			}, map[string]string{"published keys": "404"},
		},
	}
	p := newProxied(t, "127.0.0.1:%d", same, "trusted_proxies = [\"127.0.0.0/8\"]\n")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p.change = tt.change
			p.take()
			hops, list := p.examine(p.client)
			if doctor.Healthy(list) != (len(tt.wrong) == 0) {
				t.Errorf("healthy = %v", doctor.Healthy(list))
			}
			lost := tt.wrong["arrival"] != ""
			for _, h := range list {
				want, bad := tt.wrong[h.Name]
				after := lost && h.State == doctor.Untried
				switch said := h.Text + "\n" + strings.Join(h.Change, "\n"); {
				case bad && (h.State != doctor.Wrong || !strings.Contains(said, want)):
					t.Errorf("%s: %s, %s; want wrong, and %q", h.Name, h.State, said, want)
				case !bad && h.State != doctor.OK && h.State != doctor.Note && !after:
					t.Errorf("%s: %s, %s; want ok", h.Name, h.State, said)
				}
			}
			if tt.name == "changes Host" && len(hops["host"].Change) != 1 {
				t.Errorf("the proxy says that it is nginx, and the advice is %q", hops["host"].Change)
			}
			if h := hops["request-target"]; strings.Contains(tt.name, "upper case") && (h.State != doctor.Note || !strings.Contains(h.Text, "usually")) {
				t.Errorf("request-target: %+v, want a note", h)
			}
			if tt.change == nil {
				for _, x := range p.take() {
					if strings.Contains(x.target, "knock") {
						t.Errorf("a probe reached the homeserver: %s", x.target)
					}
				}
				if got := hops["sender"]; got.State != doctor.OK {
					t.Errorf("sender: %+v", got)
				}
			}
		})
	}
	if lines := p.log.lines("msg=decision"); len(lines) > 0 {
		t.Errorf("a policy was asked about a probe: %s", lines)
	}
	if _, err := os.Stat(filepath.Join(p.cfg.StateDir, doctor.File)); err == nil {
		t.Error("the announcement is left in the state folder")
	}
	// The same proxy takes a knock through.
	p.change = nil
	ada := p.peer()
	p.mustKnock(ada, p.knock(ada, "ada", p.homeserver.room("11", "knock")), peer.Allowed)
}

// named resolves every name to loopback.
type named struct{}

func (named) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func (named) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{IsNotFound: true}
}

// TestDoctorCertificates: what a proxy's certificate must be is what its peers ask
// for.
func TestDoctorCertificates(t *testing.T) {
	p := newProxied(t, "a.test:%d", same, "")
	for _, tt := range []struct {
		name, host, want string
		trusted          bool
		from             time.Time
	}{
		{"right", "a.test", "", true, time.Now()},
		{"another name", "b.test", "for a.test", true, time.Now()},
		{"no authority", "a.test", "fullchain", false, time.Now()},
		{"expired", "a.test", "renew", true, time.Now().Add(-certificate.Lifetime - time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			certPEM, keyPEM, err := certificate.SelfSigned(tt.host, tt.from)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := tls.X509KeyPair(certPEM, keyPEM)
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			if tt.trusted {
				roots.AppendCertsFromPEM(certPEM)
			}
			p.cert = cert
			client := discovery.NewClient(discovery.Options{RootCAs: roots, Resolver: named{}, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			defer client.Close()
			hops, list := p.examine(client)
			h := hops["certificate"]
			if tt.want == "" {
				if !doctor.Healthy(list) || h.State != doctor.Note { // a private address
					t.Errorf("%+v", list)
				}
				return
			}
			if said := h.Text + strings.Join(h.Change, ""); h.State != doctor.Wrong || !strings.Contains(said, tt.want) || hops["arrival"].State != doctor.Untried {
				t.Errorf("certificate %s: %s; arrival %s; want wrong, %q, not tried", h.State, said, hops["arrival"].State, tt.want)
			}
		})
	}
}

// TestDoctorHomeserver: the homeserver behind is the one of the name, and there.
func TestDoctorHomeserver(t *testing.T) {
	p := newProxied(t, "127.0.0.1:%d", func(string) string { return "b.example" }, "")
	before := p.answers(http.NotFound)
	hops, _ := p.examine(p.client)
	if hops["homeserver"].State != doctor.Wrong || !strings.Contains(hops["homeserver"].Text, "404") || hops["ready"].State != doctor.Wrong || hops["signature"].State != doctor.OK {
		t.Errorf("no homeserver: %+v", hops)
	}
	p.answers(before)
	hops, _ = p.examine(p.client)
	if h := hops["homeserver"]; h.State != doctor.Wrong || !strings.Contains(h.Text, `"b.example"`) {
		t.Errorf("of another name: %+v", h)
	}
	if h := hops["sender"]; h.State != doctor.Note || !strings.Contains(strings.Join(h.Change, ""), "trusted_proxies = [\"127.0.0.1/32\"]") {
		t.Errorf("a proxy that is not trusted: %+v", h)
	}
}

// TestDoctorAlone: without a running server, or with one of another state folder,
// the doctor says so, and ends with exit code 1.
func TestDoctorAlone(t *testing.T) {
	ln := listen(t)
	address := ln.Addr().String()
	ln.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("server_name = %q\n[listen]\nfederation = %q\n", address, address) + testFederation + allowAll
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	doctorSays := func(want ...string) {
		t.Helper()
		var out, errs strings.Builder
		code := runContext(t.Context(), []string{"doctor", "--config", path}, &out, &errs)
		for _, w := range want {
			if said := out.String() + errs.String(); code != exitFailed || !strings.Contains(said, w) {
				t.Errorf("exit code %d, %q is not in\n%s", code, w, said)
			}
		}
	}
	doctorSays("state_dir", "knockgate serve first")
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	doctorSays("listener", "WRONG", "start knockgate serve", "not tried")

	other := &world{t: t, dir: t.TempDir(), log: &logBuffer{}}
	again, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	other.startOn(again, func(string) string { return text })
	doctorSays("no Knockgate with the state folder " + filepath.Join(dir, "state"))
}

// TestDoctorCommand: for a resident server on TLS of its own, in both forms.
func TestDoctorCommand(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	var out, errs strings.Builder
	if code := runContext(t.Context(), []string{"doctor", "--config", w.cfg.Path}, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, &out, &errs)
	}
	for _, want := range []string{"request-target", "arrive as they were sent", "signs with ed25519:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	out.Reset()
	if code := runContext(t.Context(), []string{"doctor", "--json", "--config", w.cfg.Path}, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, &out, &errs)
	}
	var said struct {
		OK   bool
		Hops []doctor.Hop
	}
	if err := json.Unmarshal([]byte(out.String()), &said); err != nil || !said.OK || len(said.Hops) < 10 {
		t.Errorf("%v: %s", err, &out)
	}
}

// TestProbesNeedTheirToken: without an announcement a probe is a request like any
// other: not authenticated, and no word about how it came.
func TestProbesNeedTheirToken(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	const token = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	target := "/_matrix/federation/v1/make_knock/!knockgate-doctor-" + token + ":a/@a:b?ver=11"
	for _, text := range []string{
		"", "{}", "null", `{"token":""}`,
		fmt.Sprintf(`{"token":%q,"expires_ms":%d}`, token, time.Now().Add(-time.Second).UnixMilli()),
		fmt.Sprintf(`{"token":%q,"expires_ms":%d}`, token, time.Now().Add(time.Hour).UnixMilli()), // longer than one may stand
		fmt.Sprintf(`{"token":%q,"expires_ms":%d}`, strings.ToLower(token), time.Now().Add(time.Minute).UnixMilli()),
		fmt.Sprintf(`{"token":%q,"expires_ms":%d,"x":%q}`, token, time.Now().Add(time.Minute).UnixMilli(), strings.Repeat("x", 2000)),
	} {
		if err := os.WriteFile(filepath.Join(w.cfg.StateDir, doctor.File), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		x, err := p.Send(t.Context(), w.name, http.MethodGet, target, nil, "")
		if err != nil || x.Status != http.StatusUnauthorized {
			t.Errorf("announced as %.80q: %v, %d %s, want 401", text, err, x.Status, x.Body)
		}
	}
	valid := fmt.Sprintf(`{"token":%q,"expires_ms":%d}`, token, time.Now().Add(time.Minute).UnixMilli())
	if err := os.WriteFile(filepath.Join(w.cfg.StateDir, doctor.File), []byte(valid), 0o600); err != nil {
		t.Fatal(err)
	}
	if x, err := p.Send(t.Context(), w.name, http.MethodGet, target, nil, ""); err != nil || x.Status != 200 || !strings.Contains(string(x.Body), "knockgate_doctor") {
		t.Errorf("the token itself: %v, %d %s", err, x.Status, x.Body)
	}
}
