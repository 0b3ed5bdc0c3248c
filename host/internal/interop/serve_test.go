package interop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"
)

// Bounds of the two waits for the process. They end a test that hangs; nothing
// is measured with them.
const (
	startTime = 3 * time.Minute
	stopTime  = 30 * time.Second
)

// serve is a running "knockgate serve".
type serve struct {
	// name is its server name and where it listens.
	name    spec.ServerName
	program string
	config  string
	logPath string
	process *exec.Cmd
	exited  chan error
}

// build compiles the program of the module that this one is nested in. An
// experiment that this module is tested with is not passed on: what is tested
// is the program as it is shipped.
func build(out string) error {
	cmd := exec.Command("go", "build", "-C", "../../..", "-o", out, "./host")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "GOEXPERIMENT=") })
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	return nil
}

// start runs the program with a state folder in dir, and returns when it says
// that it listens. extra stands before the policies in its configuration.
func start(program, dir string, extra ...string) (*serve, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &serve{
		name:    spec.ServerName(address),
		program: program,
		config:  filepath.Join(dir, "config.toml"),
		logPath: filepath.Join(dir, "serve.log"),
		exited:  make(chan error, 1),
	}
	if err := s.writeConfig(dir, strings.Join(extra, "\n")); err != nil {
		return nil, err
	}
	if err := s.run(); err != nil {
		return nil, err
	}
	return s, nil
}

// run runs the program, for the first time or after a stop, and returns when it
// says that it listens.
func (s *serve) run() error {
	log, err := os.OpenFile(s.logPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process = exec.Command(s.program, "serve", "--config", s.config)
	s.process.Stderr = log
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		return err
	}
	listening := make(chan struct{})
	go func() {
		watch(stdout, listening)
		s.exited <- s.process.Wait()
	}()
	select {
	case <-listening:
		return nil
	case err := <-s.exited:
		return fmt.Errorf("serve ended before it listened: %v\n%s", err, s.log())
	case <-time.After(startTime):
		return errors.Join(fmt.Errorf("serve did not listen within %v\n%s", startTime, s.log()), s.process.Process.Kill())
	}
}

// watch reads what serve prints to its end, and closes listening at the line
// that says that it listens.
func watch(stdout io.Reader, listening chan<- struct{}) {
	said := false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if !said && strings.HasPrefix(strings.TrimSpace(lines.Text()), "listening") {
			close(listening)
			said = true
		}
	}
}

// writeConfig writes the sample's exceptions for loopback and its two policies,
// with a rate that no test comes near.
func (s *serve) writeConfig(dir, extra string) error {
	policies, err := filepath.Abs("../../../policies")
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`server_name = %q
state_dir = %q

[listen]
federation = %q

[federation]
requests_per_second = 1000000
burst = 1000000
allow_private_addresses = ["127.0.0.0/8"]
loopback_self_signed = true

%s
[policies]
dir = %q
default = "allow"

[[policy]]
name = "servers"
module = "server_rules/server_rules.wasm"
[policy.settings]
rules = [ { deny = ["*.spam.example"] } ]

[[policy]]
name = "reasons"
module = "reason_rules/reason_rules.wasm"
phases = ["send_knock"]
[policy.settings]
required = true
`, s.name, filepath.Join(dir, "state"), s.name, extra, policies)
	return os.WriteFile(s.config, []byte(text), 0o600)
}

// stop interrupts the process and waits for it. It fails unless the process
// was still running and ends with exit code 0.
func (s *serve) stop() error {
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop serve: %w", err)
	}
	select {
	case err := <-s.exited:
		if err != nil {
			return fmt.Errorf("serve, interrupted: %w, want exit code 0", err)
		}
		return nil
	case <-time.After(stopTime):
		return errors.Join(fmt.Errorf("serve did not stop within %v", stopTime), s.process.Process.Kill())
	}
}

// log returns what the process wrote to standard error.
func (s *serve) log() []byte {
	text, err := os.ReadFile(s.logPath)
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

// createRoom makes a knockable room, as an operator would, and returns its ID.
func (s *serve) createRoom(t *testing.T, version string) string {
	t.Helper()
	return s.createRoomWith(t, version, "knock")
}

func (s *serve) createRoomWith(t *testing.T, version, joinRule string) string {
	t.Helper()
	cmd := exec.Command(s.program, "room", "create", "--config", s.config,
		"--version", version, "--name", "Room of version "+version, "--join-rule", joinRule)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("room create --version %s: %v\n%s", version, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// freeAddress returns a loopback address that was free a moment ago. The name
// of a server has to be known before it listens.
func freeAddress() (string, error) { return freeAddressOf("127.0.0.1") }

func freeAddressOf(host string) (string, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
