package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// synapseRoot is the folder with a Synapse that .ci/synapse makes. Tests that
// need it are skipped where there is none.
func synapseRoot(t *testing.T) string {
	t.Helper()
	root := os.Getenv("KNOCKGATE_SYNAPSE")
	if root == "" {
		t.Skip("KNOCKGATE_SYNAPSE is not set; bash .ci/synapse makes a folder with a real Synapse and prints its name")
	}
	if os.Geteuid() != 0 {
		t.Skip("entering the folder of Synapse needs root")
	}
	if _, err := os.Stat(filepath.Join(root, "made")); err != nil {
		t.Fatalf("KNOCKGATE_SYNAPSE: %v; bash .ci/synapse makes it", err)
	}
	return root
}

// synapse is a running Synapse, with one user.
type synapse struct {
	// name is its server name, and federation where it listens, with TLS if that
	// is what it is called.
	name       string
	federation string
	process    int    // its process ID
	secret     string // for registering administrators
	client     string // base URL of its client API
	user       string
	token      string
	since      string // up to where its client has read
}

// home says what a Synapse is to be like.
type home struct {
	// name is its server name. Empty: federation.
	name string
	// federation is where it listens for other servers, with TLS if that is its
	// name: else another program has the name's address. Empty: a free address.
	federation string
	// client is where it listens for clients and administrators. Empty: a free
	// address.
	client string
	// trust are certificates that it trusts, as PEM, beside the one that all
	// Synapses of a test have.
	trust [][]byte
	// modules are Python modules to load, as its configuration has them, and code
	// the files they are in.
	modules []any
	code    []string
	// appservice is the registration of its application service, if it has one.
	appservice []byte
}

// startSynapse makes a home in root and runs Synapse on it until the test ends.
func startSynapse(t *testing.T, root string, h home) *synapse {
	t.Helper()
	for _, address := range []*string{&h.federation, &h.client} {
		if *address == "" {
			var err error
			if *address, err = freeAddress(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if h.name == "" {
		h.name = h.federation
	}
	dir, err := os.MkdirTemp(filepath.Join(root, "srv"), "home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &synapse{name: h.name, federation: h.federation, client: "http://" + h.client, secret: rand.Text()}
	s.writeHome(t, root, dir, h)
	s.run(t, root, dir, "--generate-keys").wait(t)
	s.process = s.run(t, root, dir).cmd.Process.Pid
	return s
}

// writeHome writes what Synapse needs: configuration, certificate, and whom to
// trust.
func (s *synapse) writeHome(t *testing.T, root, dir string, h home) {
	t.Helper()
	cert := synapseCertificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	inside := "/" + strings.TrimPrefix(strings.TrimPrefix(dir, root), "/")
	listener := func(address string, secure bool, names ...string) map[string]any {
		host, port, _ := strings.Cut(address, ":")
		return map[string]any{
			"port": json.Number(port), "type": "http", "tls": secure, "x_forwarded": !secure, "bind_addresses": []string{host},
			"resources": []any{map[string]any{"names": names, "compress": false}},
		}
	}
	registrations := []string{}
	if h.appservice != nil {
		registrations = []string{inside + "/appservice.yaml"}
	}
	for _, path := range h.code {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trusted := []string{inside + "/tls.crt"}
	for i, pem := range h.trust { // of each file, Synapse takes the first certificate
		name := fmt.Sprintf("trust%d.pem", i)
		trusted = append(trusted, inside+"/"+name)
		if err := os.WriteFile(filepath.Join(dir, name), pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, err := json.MarshalIndent(map[string]any{ // YAML holds JSON
		"app_service_config_files":                 registrations,
		"server_name":                              s.name,
		"pid_file":                                 inside + "/pid",
		"signing_key_path":                         inside + "/signing.key",
		"media_store_path":                         inside + "/media",
		"tls_certificate_path":                     inside + "/tls.crt",
		"tls_private_key_path":                     inside + "/tls.key",
		"federation_custom_ca_list":                trusted,
		"database":                                 map[string]any{"name": "sqlite3", "args": map[string]any{"database": inside + "/home.db"}},
		"listeners":                                []any{listener(s.federation, s.federation == s.name, "federation"), listener(h.client, false, "client", "metrics")},
		"ip_range_blacklist":                       []string{},
		"federation_ip_range_blacklist":            []string{},
		"trusted_key_servers":                      []string{},
		"suppress_key_server_warning":              true,
		"report_stats":                             false,
		"enable_metrics":                           true,
		"modules":                                  append([]any{}, h.modules...),
		"enable_registration":                      true,
		"enable_registration_without_verification": true,
		"macaroon_secret_key":                      rand.Text(),
		"registration_shared_secret":               s.secret,
		"rc_federation":                            map[string]any{"window_size": 1000, "sleep_limit": 1000000, "sleep_delay": 1, "reject_limit": 1000000, "concurrent": 100},
		"rc_message":                               map[string]any{"per_second": 1000, "burst_count": 1000},
		"rc_room_creation":                         map[string]any{"per_second": 1000, "burst_count": 1000},
		"rc_invites":                               map[string]any{"per_user": map[string]any{"per_second": 1000, "burst_count": 1000}},
		"rc_registration":                          map[string]any{"per_second": 1000, "burst_count": 1000},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"homeserver.yaml": config,
		"tls.crt":         certificate,
		"tls.key":         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"appservice.yaml": h.appservice,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// synapseCertificate returns the certificate that all Synapses of a run have, so
// that they trust each other.
func synapseCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	synapseCert.Do(func() { synapseCert.cert = selfSigned(t) })
	return synapseCert.cert
}

var synapseCert struct {
	sync.Once
	cert tls.Certificate
}

// process is a Synapse process.
type process struct {
	cmd    *exec.Cmd
	log    *bytes.Buffer // read once the process has ended
	exited chan error
}

// run starts Synapse on dir, inside root. It is killed at the end of the test
// if it still runs.
func (s *synapse) run(t *testing.T, root, dir string, args ...string) *process {
	t.Helper()
	inside := strings.TrimPrefix(dir, root)
	p := &process{log: new(bytes.Buffer), exited: make(chan error, 1)}
	p.cmd = exec.Command("/usr/bin/python3", append([]string{"-m", "synapse.app.homeserver", "-c", inside + "/homeserver.yaml"}, args...)...)
	p.cmd.Dir = "/"
	p.cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/root", "PYTHONPATH=" + inside}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.exited
		if t.Failed() {
			t.Logf("Synapse said:\n%s", p.log)
		}
	})
	return p
}

// wait waits for the end of a process that ends by itself.
func (p *process) wait(t *testing.T) {
	t.Helper()
	err := <-p.exited
	p.exited <- nil
	if err != nil {
		t.Fatalf("Synapse: %v\n%s", err, p.log)
	}
}

// register makes a user as soon as Synapse answers.
func (s *synapse) register(t *testing.T, name string) {
	t.Helper()
	for end := time.Now().Add(startTime); ; {
		status, answer, err := s.call(http.MethodPost, "/_matrix/client/v3/register", map[string]any{
			"username": name, "password": rand.Text(), "auth": map[string]any{"type": "m.login.dummy"},
		})
		switch {
		case err == nil && status == http.StatusOK:
			s.user, _ = answer["user_id"].(string)
			s.token, _ = answer["access_token"].(string)
			return
		case err == nil:
			t.Fatalf("register: %d %v", status, answer)
		case time.Now().After(end):
			t.Fatalf("Synapse did not answer within %v: %v", startTime, err)
		}
		time.Sleep(100 * time.Millisecond) // until it listens
	}
}

// call makes a request of the client API.
func (s *synapse) call(method, path string, body any) (int, map[string]any, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequest(method, s.client+path, content)
	if err != nil {
		return 0, nil, err
	}
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	var fields map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&fields); err != nil {
		return 0, nil, errors.Join(fmt.Errorf("%s %s: %s", method, path, answer.Status), err)
	}
	return answer.StatusCode, fields, nil
}

// knock has the user knock on a room by way of a server.
func (s *synapse) knock(t *testing.T, room, via, reason string) (int, map[string]any) {
	t.Helper()
	body := map[string]any{}
	if reason != "" {
		body["reason"] = reason
	}
	status, answer, err := s.call(http.MethodPost, "/_matrix/client/v3/knock/"+url.PathEscape(room)+"?server_name="+url.QueryEscape(via)+"&via="+url.QueryEscape(via), body)
	if err != nil {
		t.Fatal(err)
	}
	return status, answer
}

// knocked returns the state that the user's client is shown of a room it has
// knocked on since it last looked, by type.
func (s *synapse) knocked(t *testing.T, room string) map[string]map[string]any {
	t.Helper()
	path := "/_matrix/client/v3/sync"
	if s.since != "" {
		path += "?since=" + url.QueryEscape(s.since)
	}
	status, answer, err := s.call(http.MethodGet, path, nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("sync: %d %v %v", status, answer, err)
	}
	s.since, _ = answer["next_batch"].(string)
	b, err := json.Marshal(answer["rooms"])
	if err != nil {
		t.Fatal(err)
	}
	var rooms struct {
		Knock map[string]struct {
			State struct {
				Events []struct {
					Type    string
					Content map[string]any
				}
			} `json:"knock_state"`
		}
	}
	if err := json.Unmarshal(b, &rooms); err != nil {
		t.Fatal(err)
	}
	state := map[string]map[string]any{}
	for _, e := range rooms.Knock[room].State.Events {
		state[e.Type] = e.Content
	}
	return state
}
