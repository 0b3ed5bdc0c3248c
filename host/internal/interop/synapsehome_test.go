package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
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
	cert       []byte // as PEM
	secret     string // for registering administrators
	client     string // base URL of its client API
	user       string
	token      string
	since      string // up to where its client has read
	appservice []byte // the registration of its application service, if it has one
}

// startSynapse makes a home in root and runs Synapse on it until the test ends.
// It trusts the certificates in trust, beside its own.
func startSynapse(t *testing.T, root string, trust ...[]byte) *synapse {
	t.Helper()
	federation, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	client, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	s := startSynapseAt(t, root, federation, federation, client, trust...)
	s.register(t, "bob")
	return s
}

// startSynapseAt starts a Synapse without users that listens for federation at an
// address that may not be its name: then another program has the name's. client
// is where it listens for clients and administrators.
func startSynapseAt(t *testing.T, root, name, federation, client string, trust ...[]byte) *synapse {
	t.Helper()
	s := &synapse{name: name, federation: federation}
	s.start(t, root, client, trust...)
	return s
}

// start makes a home for s and runs Synapse on it until the test ends.
func (s *synapse) start(t *testing.T, root, client string, trust ...[]byte) {
	t.Helper()
	home, err := os.MkdirTemp(filepath.Join(root, "srv"), "home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	s.client, s.secret = "http://"+client, rand.Text()
	s.writeHome(t, root, home, client, trust)
	s.run(t, root, home, "--generate-keys").wait(t)
	s.run(t, root, home)
}

// writeHome writes what Synapse needs: configuration, certificate, and whom to
// trust.
func (s *synapse) writeHome(t *testing.T, root, home, client string, trust [][]byte) {
	t.Helper()
	cert := selfSigned(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	s.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	inside := "/" + strings.TrimPrefix(strings.TrimPrefix(home, root), "/")
	listener := func(address string, tls bool, names ...string) map[string]any {
		host, port, _ := strings.Cut(address, ":")
		return map[string]any{
			"port": json.Number(port), "type": "http", "tls": tls, "x_forwarded": !tls, "bind_addresses": []string{host},
			"resources": []any{map[string]any{"names": names, "compress": false}},
		}
	}
	registrations := []string{}
	if s.appservice != nil {
		registrations = []string{inside + "/appservice.yaml"}
	}
	config, err := json.MarshalIndent(map[string]any{ // YAML holds JSON
		"app_service_config_files":                 registrations,
		"server_name":                              s.name,
		"pid_file":                                 inside + "/pid",
		"signing_key_path":                         inside + "/signing.key",
		"media_store_path":                         inside + "/media",
		"tls_certificate_path":                     inside + "/tls.crt",
		"tls_private_key_path":                     inside + "/tls.key",
		"federation_custom_ca_list":                []string{inside + "/trust.pem"},
		"database":                                 map[string]any{"name": "sqlite3", "args": map[string]any{"database": inside + "/home.db"}},
		"listeners":                                []any{listener(s.federation, s.federation == s.name, "federation"), listener(client, false, "client")},
		"ip_range_blacklist":                       []string{},
		"federation_ip_range_blacklist":            []string{},
		"trusted_key_servers":                      []string{},
		"suppress_key_server_warning":              true,
		"report_stats":                             false,
		"enable_registration":                      true,
		"enable_registration_without_verification": true,
		"macaroon_secret_key":                      rand.Text(),
		"registration_shared_secret":               s.secret,
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
		"tls.crt":         s.cert,
		"tls.key":         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"trust.pem":       bytes.Join(append(trust, s.cert), nil),
		"appservice.yaml": s.appservice,
	} {
		if err := os.WriteFile(filepath.Join(home, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// process is a Synapse process.
type process struct {
	cmd    *exec.Cmd
	log    *bytes.Buffer // read once the process has ended
	exited chan error
}

// run starts Synapse on home, inside root. It is killed at the end of the test
// if it still runs.
func (s *synapse) run(t *testing.T, root, home string, args ...string) *process {
	t.Helper()
	inside := strings.TrimPrefix(home, root)
	p := &process{log: new(bytes.Buffer), exited: make(chan error, 1)}
	p.cmd = exec.Command("/usr/bin/python3", append([]string{"-m", "synapse.app.homeserver", "-c", inside + "/homeserver.yaml"}, args...)...)
	p.cmd.Dir = "/"
	p.cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/root"}
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
