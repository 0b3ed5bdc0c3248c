package admin

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// What the API and the pages show and do. Each interface is a part of the running
// server; the program wires them. What they return is what the API answers as JSON
// and what the pages render: strings in it may be a stranger's.
//
// An error that wraps [ErrNotFound], [ErrConflict] or [ErrInvalid] is answered 404,
// 409 or 400 with its text; any other 500 with its text.

// Server says how it stands.
type Server interface {
	Status(ctx context.Context) (*Status, error)
	// Reload loads the configuration anew, as SIGHUP does, and returns a line for
	// people on how it ended. A reload that fails leaves the policies and returns
	// ErrInvalid.
	Reload(ctx context.Context) (string, error)
}

// Policies changes which policies are in force. What is put in force here is held
// against the configuration until that, or a module of it, changes.
type Policies interface {
	// Stage keeps a module that was uploaded, without putting it in force.
	// signature is the text of its .minisig file, nil for none; it is checked where the
	// configuration names signers.
	Stage(ctx context.Context, module, signature []byte) (*Module, error)
	// Staged lists the modules that are kept, newest first.
	Staged(ctx context.Context) ([]Module, error)
	// Apply loads the chain that change makes of the one in force and swaps it in.
	Apply(ctx context.Context, c Change) (revision string, err error)
	// Judge judges made-up facts by the chain in force, or by what change makes of
	// it. Nothing is stored.
	Judge(ctx context.Context, facts, event json.RawMessage, change *Change) (*Judged, error)
	// Rejudge judges the decisions since a time again by what change makes of the
	// chain in force. done is called with how many are through, now and then.
	Rejudge(ctx context.Context, c Change, since time.Time, done func(done, all int64)) (*Rejudged, error)
}

// Decisions reads what is stored.
type Decisions interface {
	Decisions(ctx context.Context, f DecisionFilter) ([]Decision, error)
	// Decision returns one whole, by its request ID or the beginning of it.
	Decision(ctx context.Context, reference string) (*Decision, error)
	// Overview counts decisions since a time in steps.
	Overview(ctx context.Context, since time.Time, step time.Duration) (*Overview, error)
}

// Knocks are those that wait. Only in resident mode.
type Knocks interface {
	Rooms(ctx context.Context) ([]Room, error)
	// Pending lists who waits, in one room or, with room "", in all.
	Pending(ctx context.Context, room string) ([]Pending, error)
	// Decline refuses a knock that waits, with a reason for the room's state.
	Decline(ctx context.Context, room, user, reason string) error
}

// Status is how the server stands.
type Status struct {
	Version    string    `json:"version"`
	ServerName string    `json:"server_name"`
	Mode       string    `json:"mode"` // resident or gateway
	Started    time.Time `json:"started"`
	// Revision is in force, Configured what the configuration makes, "" where that
	// does not load, and Previous the revision before.
	Revision   string `json:"revision"`
	Configured string `json:"configured"`
	Previous   string `json:"previous"`
	// Held says why Revision stands against the configuration: "rollback", "change",
	// or "".
	Held string `json:"held"`
	// LastReload is how the last reload ended; nil: there was none.
	LastReload *Reloaded     `json:"last_reload,omitempty"`
	Default    string        `json:"default"` // the verdict where all policies pass
	Policies   []PolicyState `json:"policies"`
	Checks     []Result      `json:"checks"`
	// Dropped counts decisions that could not be stored, Undecided knocks that came
	// round this server, by kind.
	Dropped   int64            `json:"dropped"`
	Undecided map[string]int64 `json:"undecided,omitempty"`
}

// Reloaded is the end of a reload.
type Reloaded struct {
	At   time.Time `json:"at"`
	OK   bool      `json:"ok"`
	Text string    `json:"text"` // with the stage, the policy and the reason
}

// PolicyState is a policy of the chain in force.
type PolicyState struct {
	Name        string          `json:"name"`
	Module      string          `json:"module"` // hex SHA-256
	Revision    string          `json:"revision"`
	Mode        string          `json:"mode"`
	OnError     string          `json:"on_error"`
	Phases      []string        `json:"phases"`
	Rooms       []string        `json:"rooms"`
	Origins     []string        `json:"origins"`
	Grants      []string        `json:"grants"`
	Settings    json.RawMessage `json:"settings"`
	Title       string          `json:"title"` // what the module says that it is
	Version     string          `json:"version"`
	Description string          `json:"description"`
	// Resting is set while it is not asked because of too many faults.
	Resting bool      `json:"resting"`
	NextTry time.Time `json:"next_try,omitzero"`
	Busy    int       `json:"busy"` // instances
	Idle    int       `json:"idle"`
	Most    int       `json:"most"`
	Memory  int64     `json:"memory"` // bytes of the largest instance
	// Since the start: verdicts and faults by name, and the distributions of fuel, in
	// ticks, and time, in microseconds.
	Verdicts map[string]int64 `json:"verdicts"`
	Faults   map[string]int64 `json:"faults"`
	Fuel     Histogram        `json:"fuel"`
	Micros   Histogram        `json:"us"`
}

// Histogram counts values up to each bound; the last count has no bound.
type Histogram struct {
	Bounds []float64 `json:"bounds"`
	Counts []int64   `json:"counts"` // one more than Bounds
}

// Module is one that was uploaded or that a kept revision names.
type Module struct {
	Digest      string          `json:"digest"` // hex SHA-256
	Size        int64           `json:"size"`
	At          time.Time       `json:"at"`
	Name        string          `json:"name"`
	Version     string          `json:"version"`
	Description string          `json:"description"`
	Grants      []string        `json:"grants"` // that it needs
	Schema      json.RawMessage `json:"schema,omitempty"`
}

// Change is one change of the chain in force.
type Change struct {
	// Do is "add", "replace" (the module or settings of a policy), "mode", "remove",
	// "rollback" or "configured" (back to what the configuration says).
	Do string `json:"do"`
	// Revision is the one that the change was thought out for: another one in force is
	// ErrConflict. Required.
	Revision string `json:"revision"`
	// Policy is the policy's name. Not for rollback and configured.
	Policy string `json:"policy,omitempty"`
	// Module is the digest of a staged module; for add and replace.
	Module   string          `json:"module,omitempty"`
	Mode     string          `json:"mode,omitempty"` // monitor (default for add) or enforce
	Settings json.RawMessage `json:"settings,omitempty"`
	Grants   []string        `json:"grants,omitempty"`
	Phases   []string        `json:"phases,omitempty"`
	Rooms    []string        `json:"rooms,omitempty"`
	Origins  []string        `json:"origins,omitempty"`
	// Before is the policy that an added one is asked before; "": it is asked last.
	Before string `json:"before,omitempty"`
}

// Judged is what a chain says to facts.
type Judged struct {
	Verdict string `json:"verdict"`
	Policy  string `json:"policy"` // "" is the chain's default
	Message string `json:"message"`
	Note    string `json:"note"`
	Code    string `json:"code"`
	Fault   string `json:"fault"`
	Fuel    int64  `json:"fuel"`
	Steps   []Step `json:"steps"`
}

// Step is what one policy said.
type Step struct {
	Policy  string `json:"policy"`
	Verdict string `json:"verdict"`
	Fault   string `json:"fault"`
	Note    string `json:"note"`
	Code    string `json:"code"`
	Fuel    int64  `json:"fuel"`
	Micros  int64  `json:"us"`
	// Mode is "monitor" for one whose verdict does not count, "" for the others.
	Mode string `json:"mode,omitempty"`
	// Calls are what it asked of the host and was answered, in words.
	Calls []string `json:"calls"`
}

// Rejudged is what would come out otherwise.
type Rejudged struct {
	Decisions int64            `json:"decisions"` // that were judged
	Same      int64            `json:"same"`
	Others    int64            `json:"others"` // the same verdict by another policy, or in other words
	NoFacts   int64            `json:"no_facts"`
	Verdicts  map[string]int64 `json:"verdicts"` // "was -> is"
	Changes   []Changed        `json:"changes"`  // the newest 200 with another verdict
}

// Changed is a decision that comes out otherwise.
type Changed struct {
	RequestID string    `json:"request_id"`
	At        time.Time `json:"at"`
	Phase     string    `json:"phase"`
	Room      string    `json:"room_id"`
	User      string    `json:"user_id"`
	Was       string    `json:"was"`
	Is        string    `json:"is"`
	IsBy      string    `json:"is_by"`
	Message   string    `json:"message"`
}

// DecisionFilter narrows a list. Empty fields take all.
type DecisionFilter struct {
	Monitor                                                   bool
	Room, User, Verdict, Origin, Policy, Code, Phase, Request string
	Faults                                                    bool
	Since                                                     time.Time
	// After and Before bound the IDs, both exclusive; 0 is no bound.
	After, Before int64
	Limit         int // 0: 50; at most 500
}

// Decision is a stored decision. The parts from Steps on are there only where one is
// asked for.
type Decision struct {
	ID        int64     `json:"id"`
	RequestID string    `json:"request_id"`
	At        time.Time `json:"at"`
	Phase     string    `json:"phase"`
	Room      string    `json:"room_id"`
	User      string    `json:"user_id"`
	Origin    string    `json:"origin"`
	Event     string    `json:"event_id,omitempty"`
	Verdict   string    `json:"verdict"`
	Mode      string    `json:"mode,omitempty"`
	Policy    string    `json:"policy"`
	Revision  string    `json:"revision"`
	Fault     string    `json:"fault,omitempty"`
	Message   string    `json:"message,omitempty"`
	Note      string    `json:"note,omitempty"`
	Code      string    `json:"code,omitempty"`
	Status    int       `json:"status"`
	Errcode   string    `json:"errcode,omitempty"`
	Micros    Took      `json:"us"`

	Steps     []Step          `json:"steps,omitempty"`
	FaultText string          `json:"fault_text,omitempty"`
	Fuel      int64           `json:"fuel,omitempty"`
	Detail    json.RawMessage `json:"detail,omitempty"`
	Facts     json.RawMessage `json:"facts,omitempty"`
	Told      json.RawMessage `json:"event,omitempty"` // the event, as the policies were told
	Monitored []Decision      `json:"monitored,omitempty"`
}

// Took is how long each stage took, in microseconds.
type Took struct {
	Auth     int64 `json:"auth"`
	Protocol int64 `json:"protocol"`
	Policies int64 `json:"policies"`
	Act      int64 `json:"act"`
	Total    int64 `json:"total"`
}

// Overview is decisions counted.
type Overview struct {
	Since   time.Time     `json:"since"`
	Step    time.Duration `json:"step"` // nanoseconds
	Buckets []Bucket      `json:"buckets"`
	// Latency is the distribution of the whole time of an answer, in microseconds.
	Latency Histogram `json:"us"`
	// Refused are the origins with the most denials, Monitored what policies in monitor
	// mode would have said.
	Refused   []OriginCount               `json:"refused"`
	Monitored map[string]map[string]int64 `json:"monitored"` // policy, verdict
}

// Bucket is the decisions of one step by verdict.
type Bucket struct {
	At       time.Time        `json:"at"`
	Verdicts map[string]int64 `json:"verdicts"` // allow, deny, incompatible
	Faults   int64            `json:"faults"`
}

// OriginCount is how often an origin was denied.
type OriginCount struct {
	Origin string `json:"origin"`
	Denied int64  `json:"denied"`
}

// Room is a room that this server keeps.
type Room struct {
	ID       string `json:"room_id"`
	Alias    string `json:"alias"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	JoinRule string `json:"join_rule"`
}

// Pending is a knock that waits.
type Pending struct {
	Room        string    `json:"room_id"`
	User        string    `json:"user_id"`
	Displayname string    `json:"displayname,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Since       time.Time `json:"since"`
}

// What a fault of the one who asks is.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
	ErrInvalid  = errors.New("invalid")
)
