package admin

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// maxEntries is how many changes an audit remembers. The log has all.
const maxEntries = 100

// Entry is a change that somebody asked for.
type Entry struct {
	At time.Time `json:"at"`
	// Who is the address that it came from.
	Who  string `json:"who"`
	What string `json:"what"`
	// From and To are the revisions in force, where there are any.
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Outcome string `json:"outcome"` // "done", or why not
}

// Audit logs each change and remembers the last 100, in memory.
type Audit struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	entries []Entry // guarded by mu; the oldest first
}

// NewAudit returns an empty audit.
func NewAudit(log *slog.Logger, now func() time.Time) *Audit { return &Audit{log: log, now: now} }

// Entries returns the changes, newest first.
func (a *Audit) Entries() []Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]Entry, 0, len(a.entries))
	for i := len(a.entries); i > 0; i-- {
		list = append(list, a.entries[i-1])
	}
	return list
}

func (a *Audit) note(ctx context.Context, what, from, to string, err error) {
	e := Entry{At: a.now().UTC(), Who: Who(ctx), What: what, From: from, To: to, Outcome: "done"}
	if err != nil {
		e.Outcome = err.Error()
	}
	a.log.Info("admin change", "who", e.Who, "what", e.What, "from", e.From, "to", e.To, "outcome", e.Outcome)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.entries) == maxEntries {
		a.entries = append(a.entries[:0], a.entries[1:]...)
	}
	a.entries = append(a.entries, e)
}

type whoKey struct{}

// withWho notes in a context who asks.
func withWho(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, whoKey{}, who)
}

// Who returns the address of who asks, which the handler of [New] has noted in the
// context of each request.
func Who(ctx context.Context) string {
	who, _ := ctx.Value(whoKey{}).(string)
	return who
}

// Server returns s with its changes audited.
func (a *Audit) Server(s Server) Server { return auditedServer{s, a} }

type auditedServer struct {
	Server
	audit *Audit
}

func (s auditedServer) Reload(ctx context.Context) (string, error) {
	text, err := s.Server.Reload(ctx)
	s.audit.note(ctx, "reload", "", "", err)
	return text, err
}

// Policies returns p with its changes audited.
func (a *Audit) Policies(p Policies) Policies { return auditedPolicies{p, a} }

type auditedPolicies struct {
	Policies
	audit *Audit
}

func (p auditedPolicies) Stage(ctx context.Context, module, signature []byte) (*Module, error) {
	m, err := p.Policies.Stage(ctx, module, signature)
	what := "upload"
	if m != nil {
		what += fmt.Sprintf(" %.12s", m.Digest)
	}
	p.audit.note(ctx, what, "", "", err)
	return m, err
}

func (p auditedPolicies) Apply(ctx context.Context, c Change) (string, error) {
	revision, err := p.Policies.Apply(ctx, c)
	p.audit.note(ctx, c.String(), c.Revision, revision, err)
	return revision, err
}

// String returns what the change does, in one line.
func (c Change) String() string {
	s := c.Do
	for _, part := range [...]struct{ name, value string }{{"policy", c.Policy}, {"module", c.Module}, {"mode", c.Mode}} {
		if part.value != "" {
			s += fmt.Sprintf(" %s %.64q", part.name, part.value)
		}
	}
	return s
}

// Knocks returns k with its changes audited.
func (a *Audit) Knocks(k Knocks) Knocks { return auditedKnocks{k, a} }

type auditedKnocks struct {
	Knocks
	audit *Audit
}

func (k auditedKnocks) Decline(ctx context.Context, room, user, reason string) error {
	err := k.Knocks.Decline(ctx, room, user, reason)
	k.audit.note(ctx, fmt.Sprintf("decline %.255q in %.255q", user, room), "", "", err)
	return err
}
