package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells the service manager (systemd's Type=notify) how far the server
// is. Without a manager, which is without NOTIFY_SOCKET in the environment, it
// does nothing. What cannot be delivered is logged: a manager that does not get
// READY ends the start at its own time limit.
type notifier struct{ log *slog.Logger }

// maxStatus is how long a line for people may be, in bytes.
const maxStatus = 500

// ready says that knocks are answered; status is a line for people.
func (n notifier) ready(status string) { n.send(daemon.SdNotifyReady, statusLine(status)) }

// running says what runs, in a line for people, and changes nothing else.
func (n notifier) running(status string) { n.send(statusLine(status)) }

// statusLine returns an assignment that the manager takes, whatever text has.
func statusLine(text string) string {
	text = strings.NewReplacer("\n", "; ", "\r", " ").Replace(text) // a line would be another assignment
	if len(text) > maxStatus {
		text = text[:maxStatus]
	}
	return "STATUS=" + strings.ToValidUTF8(text, "")
}

// reloading says that a reload begins that the manager has asked for; ready ends
// it. Meanwhile the service counts as reloading and not as active.
func (n notifier) reloading() {
	n.send(daemon.SdNotifyReloading, strings.TrimSuffix(daemon.SdNotifyMonotonicUsec(), "\n"), "STATUS=loading the policies")
}

// stopping says that no new request is taken.
func (n notifier) stopping() {
	n.send(daemon.SdNotifyStopping, "STATUS=answering the requests that are under way")
}

func (n notifier) send(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		n.log.Warn("the service manager cannot be told", "state", lines[0], "err", err)
	}
}

// status returns what runs, in a line for people.
func (s *system) status() string {
	chain := s.gate.Acquire()
	defer chain.Release()
	return fmt.Sprintf("%s, %d policies, revision %.12s", s.cfg.ServerName, len(chain.Policies()), chain.Revision())
}
