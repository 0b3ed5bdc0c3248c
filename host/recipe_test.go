package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/certificate"
	"github.com/knockgate/knockgate/host/internal/doctor"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// program is a reverse proxy.
type program struct {
	name string
	// args starts it; %s is the file.
	args []string
	// around is what stands around a recipe in the file: first the recipe, then the
	// folder of the test.
	around string
}

var (
	nginx   = program{"nginx", []string{"-c", "%s"}, aroundNginx}
	haproxy = program{"haproxy", []string{"-db", "-f", "%s"}, "%[1]s"}
	caddy   = program{"caddy", []string{"run", "--adapter", "caddyfile", "--config", "%s"}, aroundCaddy}
	apache  = program{"apache2", []string{"-X", "-f", "%s"}, aroundApache}
)

// recipes are the files of host/recipes.
var recipes = []struct {
	file string
	program
	// knocks says that only what could be a knock goes to Knockgate.
	knocks bool
}{
	{"nginx-knocks.conf", nginx, true},
	{"nginx-all.conf", nginx, false},
	{"haproxy-knocks.cfg", haproxy, true},
	{"haproxy-all.cfg", haproxy, false},
	{"Caddyfile-knocks", caddy, true},
	{"Caddyfile-all", caddy, false},
	{"apache-knocks.conf", apache, true},
	{"apache-all.conf", apache, false},
}

const (
	aroundNginx = `daemon off;
master_process off;
pid %[2]s/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path %[2]s;
    proxy_temp_path %[2]s;
    fastcgi_temp_path %[2]s;
    uwsgi_temp_path %[2]s;
    scgi_temp_path %[2]s;
%[1]s
}
`
	aroundApache = `ServerRoot %[2]s
DefaultRuntimeDir %[2]s
PidFile %[2]s/httpd.pid
ErrorLog /dev/stderr
ServerName a.example
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
%[1]s`
	aroundCaddy = "{\n\tadmin off\n\tauto_https off\n\tskip_install_trust\n}\n%[1]s"
)

// recipe is a recipe's program that runs before a gateway and a homeserver.
type recipe struct {
	*proxied
	// direct keeps what the program sends to the homeserver itself.
	direct *wiretap
}

// readRecipe returns a file of host/recipes.
func readRecipe(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("recipes", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// startRecipe starts a program with a recipe, in place of the proxy of newProxied.
func startRecipe(t *testing.T, with program, text string) *recipe {
	t.Helper()
	path, err := exec.LookPath(with.name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + with.name); err != nil {
			t.Skipf("%s is not installed", with.name)
		}
	}
	p := &recipe{proxied: newGatewayBehind(t, "127.0.0.1:%d", same, "trusted_proxies = [\"127.0.0.0/8\"]\n")}
	p.direct = newWiretap(t, p.homeserver.server.Handler)
	dir := t.TempDir()
	certPEM, keyPEM, err := certificate.SelfSigned("127.0.0.1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"c.pem": certPEM, "k.pem": keyPEM, "both.pem": append(certPEM, keyPEM...)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port := fmt.Sprint(p.proxy.Addr().(*net.TCPAddr).Port)
	own := strings.NewReplacer(
		"listen [::]:8448 ssl;", "", "listen 8448", "listen 127.0.0.1:"+port, "Listen 8448", "Listen 127.0.0.1:"+port, "*:8448", "*:"+port, "bind :8448", "bind 127.0.0.1:"+port, "\n:8448 {", "\n:"+port+" {\n\tbind 127.0.0.1",
		"/etc/ssl/example.org/fullchain.pem", filepath.Join(dir, "c.pem"), "/etc/ssl/example.org/privkey.pem", filepath.Join(dir, "k.pem"), "/etc/haproxy/example.org.pem", filepath.Join(dir, "both.pem"),
		"127.0.0.1:8449", string(p.address()), "127.0.0.1:8008", strings.TrimPrefix(p.direct.url, "http://"),
	).Replace(text)
	file := filepath.Join(dir, "config")
	if err := os.WriteFile(file, fmt.Appendf(nil, with.around, own, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	p.proxy.Close()
	p.run(t, path, with.args, file, dir)
	return p
}

// run starts the program and waits until it listens.
func (p *recipe) run(t *testing.T, path string, args []string, file, dir string) {
	t.Helper()
	said := &logBuffer{}
	cmd := exec.Command(path)
	for _, a := range args {
		cmd.Args = append(cmd.Args, strings.Replace(a, "%s", file, 1))
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, said, said
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", path, said.tail(4<<10))
		}
	})
	for range 300 {
		if conn, err := net.Dial("tcp", p.proxy.Addr().String()); err == nil {
			conn.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", path, err, said)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not listen\n%s", path, said)
}

// TestRecipes: with the configurations of host/recipes, knocks arrive as they were
// sent, everything else gets to the homeserver, and no way to write the knock
// endpoints gets there past the gateway.
func TestRecipes(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one knock at a time, of which other tests make many")
	}
	for _, r := range recipes {
		t.Run(r.file, func(t *testing.T) {
			p := startRecipe(t, r.program, readRecipe(t, r.file))
			t.Run("knocks", p.knocks)
			t.Run("doctor", func(t *testing.T) {
				hops, list := p.examine(p.client)
				if !doctor.Healthy(list) || hops["sender"].State != doctor.OK {
					t.Errorf("%+v", list)
				}
			})
			t.Run("spellings", p.spelt)
			t.Run("the rest", func(t *testing.T) { p.rest(t, r.knocks) })
		})
	}
}

// knocks sends signed knocks whose targets are easily changed.
func (p *recipe) knocks(t *testing.T) {
	ada := p.peer()
	for _, version := range []string{"7", "12"} {
		k := p.knock(ada, "ada", p.homeserver.room(version, "knock"))
		p.mustKnock(ada, k, peer.Allowed)
		if got := p.homeserver.membership(k.Room, k.User); got != "knock" {
			t.Errorf("version %s: membership %q, want knock", version, got)
		}
		k.Retract = true
		p.mustKnock(ada, k, peer.Allowed)
	}
	user := string(ada.User("ada"))
	for _, room := range []string{"!r:a.example", "%21r%3Aa.example", "%21r%3aa.example", "!r%2Fs:a.example", "!r+s:a.example", "!r%20s:a.example", "!r%7Cs:a.example", "!%22r%22:a.example", "!r;s:a.example", "!r%25s:a.example", "!r~%7E*'():a.example", "!r%3F%23:a.example"} {
		for _, query := range []string{"?ver=11", "?ver=11&ver=11&ver=1", "?ver=", "?ver=1%31&x=a+b", "?x&ver=11?"} {
			target := "/_matrix/federation/v1/make_knock/" + room + "/" + strings.NewReplacer("@", "%40", ":", "%3a").Replace(user) + query
			p.take()
			x := p.do(t, ada, http.MethodGet, target, nil)
			seen := p.take()
			if len(seen) != 1 || seen[0].target != target || seen[0].header.Get("Authorization") != x.Authorization || seen[0].host != string(p.name) {
				t.Errorf("%q: %d %s, reached the homeserver as %+v", target, x.Status, x.Body, seen)
			}
			if len(seen) == 1 && (seen[0].header.Get("X-Forwarded-For") != "127.0.0.1" || seen[0].header.Get("X-Forwarded-Proto") != "https") {
				t.Errorf("%q: %v", target, seen[0].header)
			}
		}
	}
}

// spelt sends what no homeserver may get.
func (p *recipe) spelt(t *testing.T) {
	p.take()
	p.direct.take()
	for _, target := range spellings() {
		for _, method := range []string{"GET", "PUT"} {
			status, body := p.ask(t, method+" "+target+" HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			switch status {
			case 0, 400, 401, 403, 404, 405, 414, 308, 301:
			default:
				t.Errorf("%s %q: %d %s", method, target, status, body)
			}
			if seen := append(p.take(), p.direct.take()...); len(seen) > 0 {
				t.Errorf("%s %q reached the homeserver: %+v", method, target, seen)
			}
		}
	}
}

// rest sends what is no knock.
func (p *recipe) rest(t *testing.T, knocks bool) {
	ada := p.peer()
	for _, target := range []string{
		"/_matrix/federation/v1/version", "/_matrix/federation/v1/version?", "/_matrix/key/v2/server", "/_matrix/federation/v1/make_leave/%21r%3Aa/@u:a?x=1", "/_matrix/federation/v1/query/profile?user_id=%40a%3Ab&field=a+b",
		"/_matrix/media/v3/download/a/!x%2Fy~%7e", "/_matrix/federation/v1/event/$a%2Bb_-",
	} {
		p.take()
		p.direct.take()
		authorization := xmatrix.Header(ada.Key(), ada.Name(), p.name, http.MethodGet, target, nil)
		status, body := p.ask(t, "GET "+target+" HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 192.0.2.1\r\nAuthorization: "+authorization+"\r\nConnection: close\r\n\r\n")
		direct := p.direct.take()
		seen := append(p.take(), direct...)
		// Apache does not decode "%2F", and so cannot say that nobody else could.
		if want := knocks && !strings.Contains(target, "%2F"); want && len(direct) != 1 || !knocks && len(direct) > 0 {
			t.Errorf("%q: %d requests reached the homeserver past Knockgate", target, len(direct))
		}
		if len(seen) != 1 || seen[0].target != target || seen[0].header.Get("Authorization") != authorization || seen[0].header.Get("X-Forwarded-For") != "127.0.0.1" || seen[0].host != "a.example" {
			t.Errorf("%q: %d %s, reached the homeserver as %+v", target, status, body, seen)
		}
	}
}

// ask sends bytes as they stand to the program, and returns status 0 where it
// closes the connection.
func (p *recipe) ask(t *testing.T, request string) (int, []byte) {
	t.Helper()
	conn, answers := p.dial(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(answers, nil)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	return response.StatusCode, body
}

// TestCarelessRecipes: what is easily done wrong in these programs is found by the
// doctor, which names what to change there.
func TestCarelessRecipes(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one knock at a time, of which other tests make many")
	}
	tests := []struct {
		name string
		program
		file, was, is string
		hop, advice   string
	}{
		{"nginx with a path", nginx, "nginx-all.conf", "127.0.0.1:8449;", "127.0.0.1:8449/;", "request-target", "nginx: proxy_pass"},
		{"nginx with its own Host", nginx, "nginx-all.conf", "proxy_set_header Host $http_host;", "", "host", "nginx: proxy_set_header Host $http_host"},
		{"nginx with a Host without port", nginx, "nginx-knocks.conf", "$http_host", "$host", "host", "$http_host"},
		{"nginx with a log-in", nginx, "nginx-knocks.conf", "proxy_http_version 1.1;", "proxy_http_version 1.1; proxy_set_header Authorization \"\";", "authorization", "nginx: no"},
		{"nginx without the knocks", nginx, "nginx-knocks.conf", "knock|", "knocks|", "arrival", "nginx: location"},
		{"HAProxy that decodes", haproxy, "haproxy-all.cfg", "    mode http\n    bind", "    mode http\n    http-request set-path %[path,url_dec,regsub(\" \",+,g)]\n    bind", "request-target", "HAProxy: no http-request normalize-uri, set-path"},
		{"HAProxy without Authorization", haproxy, "haproxy-all.cfg", "http-request set-header X-Forwarded-Proto https", "http-request del-header Authorization", "authorization", "HAProxy: no http-request del-header"},
		{"HAProxy to a dead port", haproxy, "haproxy-all.cfg", "127.0.0.1:8449", "127.0.0.1:1", "arrival", "HAProxy: the address"},
		{"Apache without nocanon", apache, "apache-all.conf", " nocanon", "", "request-target", "nocanon"},
		{"Apache that refuses encoded slashes", apache, "apache-knocks.conf", "AllowEncodedSlashes NoDecode", "", "request-target", "AllowEncodedSlashes NoDecode"},
		{"Apache with its own Host", apache, "apache-all.conf", "ProxyPreserveHost On", "", "host", "ProxyPreserveHost On"},
		{"Caddy with its own Host", caddy, "Caddyfile-all", "reverse_proxy 127.0.0.1:8449", "reverse_proxy 127.0.0.1:8449 {\n\t\theader_up Host {upstream_hostport}\n\t}", "host", "Caddy: no header_up Host"},
		{"Caddy that rewrites", caddy, "Caddyfile-all", "reverse_proxy 127", "uri replace %2F /\n\treverse_proxy 127", "request-target", "Caddy: no handle_path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := readRecipe(t, tt.file)
			if !strings.Contains(text, tt.was) {
				t.Fatalf("%s has no %q", tt.file, tt.was)
			}
			text = strings.ReplaceAll(text, tt.was, tt.is)
			p := startRecipe(t, tt.program, text)
			hops, list := p.examine(p.client)
			if h := hops[tt.hop]; h.State != doctor.Wrong || !strings.Contains(strings.Join(h.Change, "\n"), tt.advice) {
				t.Errorf("%s: %+v, want wrong, and %q\n%+v", tt.hop, h, tt.advice, list)
			}
		})
	}
}
