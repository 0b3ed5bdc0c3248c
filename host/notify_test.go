package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// managerSocket is a service manager's socket.
type managerSocket struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManagerSocket(t *testing.T) *managerSocket {
	t.Helper()
	dir, err := os.MkdirTemp("", "n") // t.TempDir can be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Skip("no Unix datagrams here:", err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return &managerSocket{t, conn}
}

// next waits for the next message and returns its assignments.
func (m *managerSocket) next() []string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		m.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := m.conn.Read(buf)
	if err != nil {
		m.t.Fatalf("waited for a message: %v", err)
	}
	return strings.Split(string(buf[:n]), "\n")
}

// want holds that the next message has these assignments; one that ends in '='
// may have any value but none.
func (m *managerSocket) want(assignments ...string) {
	m.t.Helper()
	got := m.next()
	for i, want := range assignments {
		if i < len(got) && (got[i] == want || strings.HasSuffix(want, "=") && strings.HasPrefix(got[i], want) && got[i] != want) {
			continue
		}
		m.t.Fatalf("the manager is told %q, want %q", got, assignments)
	}
	if len(got) != len(assignments) {
		m.t.Fatalf("the manager is told %q, want %q", got, assignments)
	}
}

// TestServiceManager runs serve as systemd does, under Type=notify: it says when
// it is ready, when it reloads and how that ended, and that it stops.
func TestServiceManager(t *testing.T) {
	m := newManagerSocket(t)
	s := newStarter(t, strings.Replace(doorPolicy, "[policies]", "[policies]\nwatch = false", 1))
	s.write("policies/door.wasm", doorShut)
	s.write("config.toml", []byte(s.text))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan int, 1)
	var out logBuffer
	go func() {
		done <- runContext(ctx, []string{"serve", "--config", filepath.Join(s.dir, "config.toml")}, &out, &out)
	}()
	m.want("READY=1", "STATUS=")

	hup := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hup()
	m.want("RELOADING=1", "MONOTONIC_USEC=", "STATUS=loading the policies")
	m.want("READY=1", "STATUS=")
	s.write("policies/door.wasm", []byte("no module"))
	hup()
	m.want("RELOADING=1", "MONOTONIC_USEC=", "STATUS=loading the policies")
	m.want("READY=1", "STATUS=")
	if len(out.lines("reload failed", "door.wasm")) != 1 {
		t.Errorf("the log does not say that a reload failed:\n%s", out.String())
	}
	stop()
	m.want("STOPPING=1", "STATUS=answering the requests that are under way")
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d:\n%s", code, out.String())
	}
}

// TestServiceManagerWatch: what loads because a file has changed is no reload to
// the manager, to which a service that reloads is not active, but how it ended is
// said.
func TestServiceManagerWatch(t *testing.T) {
	m := newManagerSocket(t)
	s := newStarter(t, doorPolicy)
	s.write("policies/door.wasm", doorShut)
	s.write("config.toml", []byte(s.text))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan int, 1)
	go func() {
		done <- runContext(ctx, []string{"serve", "--config", filepath.Join(s.dir, "config.toml")}, s.log, s.log)
	}()
	m.want("READY=1", "STATUS=")
	s.write("policies/door.wasm", []byte("no module"))
	for {
		got := m.next()
		if len(got) != 1 || !strings.HasPrefix(got[0], "STATUS=") {
			t.Fatalf("the manager is told %q, want a status alone", got)
		}
		if strings.HasPrefix(got[0], "STATUS=reload failed; ") {
			break
		}
	}
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d:\n%s", code, s.log)
	}
}

// TestNotifierStatus: whatever an error says, it is one assignment of text that
// the manager takes.
func TestNotifierStatus(t *testing.T) {
	m := newManagerSocket(t)
	for _, tt := range []struct{ name, status, want string }{
		{"plain", "ready", "STATUS=ready"},
		{"a second assignment", "bad\nMAINPID=1\r\nFDSTORE=1", "STATUS=bad; MAINPID=1 ; FDSTORE=1"},
		{"not UTF-8", "a\xffb", "STATUS=ab"},
		{"long", strings.Repeat("ä", 400), "STATUS=" + strings.Repeat("ä", 250)},
		{"cut within a letter", "x" + strings.Repeat("ä", 400), "STATUS=x" + strings.Repeat("ä", 249)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			notifier{}.ready(tt.status)
			m.want("READY=1", tt.want)
			notifier{}.running(tt.status)
			m.want(tt.want)
		})
	}
}

// TestNoServiceManager: without one, nothing is said; one that is not there is
// logged and no more.
func TestNoServiceManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	notifier{}.ready("nobody listens") // a log would be needed
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	var out logBuffer
	notifier{slog.New(slog.NewTextHandler(&out, nil))}.stopping()
	if len(out.lines("the service manager cannot be told", "STOPPING=1")) != 1 {
		t.Errorf("the log says %q", out.String())
	}
}
