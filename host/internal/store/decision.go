package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"
)

// Decision is the record of one decision as a row. All text is stored as
// given.
type Decision struct {
	// ID is set by the store; later decisions have higher ones.
	ID        int64
	RequestID string
	// At is when the request arrived; kept to the microsecond.
	At time.Time
	// Phase is "make_knock" or "send_knock".
	Phase string
	Room  string
	User  string
	// Origin is the server that asked.
	Origin string
	// Event is the event ID; empty for a make_knock.
	Event string

	Verdict string
	// Mode is empty for what was decided, and "monitor" for what a policy in
	// monitor mode would have said of the same RequestID.
	Mode string
	// Policy is who decided; empty for the chain's default.
	Policy   string
	Revision string
	// Fault is the class of the failure where on_error decided.
	Fault               string
	Message, Note, Code string
	// Status and Errcode are the answer to the peer.
	Status  int
	Errcode string

	// How long each stage took; kept to the microsecond.
	Auth, Protocol, Policies, Act, Total time.Duration
	// Detail is a JSON object of whatever else is worth keeping. May be empty.
	Detail string
}

// AppendDecision hands a decision to the writer and returns at once. False
// says that the queue was full, in number or in bytes, or the store closed, and
// the decision is lost; [Store.DecisionsDropped] counts those.
func (s *Store) AppendDecision(d Decision) bool {
	return s.writer.enqueueDecision(d)
}

// DecisionsDropped returns how many decisions this process has lost: to a full
// queue, or to a transaction that failed.
func (s *Store) DecisionsDropped() int64 { return s.writer.dropped.Load() }

// DecisionFilter narrows a list of decisions. An empty field takes all.
type DecisionFilter struct {
	// Monitor takes what policies in monitor mode would have said, and else
	// what was decided.
	Monitor bool
	Room    string
	User    string
	Verdict string
	Origin  string
	Policy  string
	Code    string
	// Phase is "make_knock" or "send_knock".
	Phase string
	// Request is the beginning of the request ID.
	Request string
	// Faults takes only those where a policy failed.
	Faults bool
	// Since takes what arrived then or later.
	Since time.Time
	// After takes what has a higher ID, and Before what has a lower one.
	After, Before int64
	// Limit is the most that are returned. Zero: 50.
	Limit int
}

// Decisions returns the newest decisions that the filter takes, newest first.
// What [Store.AppendDecision] took in the last tenth of a second may still be
// on its way; [Store.Flush] waits for it.
func (s *Store) Decisions(ctx context.Context, f DecisionFilter) ([]Decision, error) {
	where, args, err := s.where(ctx, f)
	if err != nil || where == "" {
		return nil, err
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	rows, err := s.readers.QueryContext(ctx, "SELECT id, "+decisionColumns+" FROM decisions WHERE "+where+" ORDER BY id DESC LIMIT ?", append(args, f.Limit)...)
	if err != nil {
		return nil, s.wrap("reading the decisions", err)
	}
	defer rows.Close()
	var list []Decision
	for rows.Next() {
		d, err := scanDecision(rows)
		if err != nil {
			return nil, s.wrap("reading the decisions", err)
		}
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return nil, s.wrap("reading the decisions", err)
	}
	return list, nil
}

// few is how many decisions are few enough to be looked at one by one.
const few = 2000

// where returns the condition of a filter; it is empty where nothing can meet it.
func (s *Store) where(ctx context.Context, f DecisionFilter) (where string, args []any, err error) {
	mode := ""
	if f.Monitor {
		mode = "monitor"
	}
	// Written out, so that SQLite knows that the index of those in monitor mode serves.
	conditions := []string{"mode = '" + mode + "'"}
	// One index serves a list: that of the first field here that is given, as the
	// fewest decisions share it. A "+" keeps SQLite from taking another.
	narrowed := ""
	add := func(condition string, values ...any) {
		conditions = append(conditions, narrowed+condition)
		args, narrowed = append(args, values...), "+"
	}
	if f.Request != "" {
		// A range, not LIKE: an index serves it, and no character is special.
		add("request_id >= ? AND request_id < ?", f.Request, f.Request+"\U0010ffff")
	}
	if f.User != "" {
		add("user_id = ?", f.User)
	}
	if f.Room != "" {
		add("room_id = ?", f.Room)
	}
	if f.Faults {
		add("fault <> ''")
	}
	// Many decisions may share each of these, and the first that few do is taken first.
	shared := []struct{ column, value string }{{"origin", f.Origin}, {"policy", f.Policy}, {"verdict", f.Verdict}}
	shared = slices.DeleteFunc(shared, func(c struct{ column, value string }) bool { return c.value == "" })
	for i := 0; narrowed == "" && len(shared) > 1 && i < len(shared); i++ {
		c := shared[i]
		var n int64
		err := s.readers.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM decisions WHERE "+c.column+" = ? AND mode = ? LIMIT ?)",
			c.value, mode, few+1).Scan(&n)
		if err != nil {
			return "", nil, s.wrap("reading the decisions", err)
		}
		if n <= few {
			add(c.column+" = ?", c.value)
			shared = slices.Delete(shared, i, i+1)
		}
	}
	for _, c := range shared {
		add(c.column+" = ?", c.value)
	}
	if f.Code != "" {
		add("code = ?", f.Code)
	}
	if f.Phase != "" {
		add("phase = ?", f.Phase)
	}
	if !f.Since.IsZero() {
		first, none, err := s.firstSince(ctx, f.Since)
		if err != nil || none {
			return "", nil, err
		}
		narrowed = "+"
		add("at >= ?", f.Since.UnixMicro())
		f.After = max(f.After, first-1)
	}
	if f.After > 0 {
		conditions, args = append(conditions, "id > ?"), append(args, f.After)
	}
	if f.Before > 0 {
		conditions, args = append(conditions, "id < ?"), append(args, f.Before)
	}
	return strings.Join(conditions, " AND "), args, nil
}

// firstSince returns the lowest ID of what arrived at a time or later, 0 where there
// is much of that, and none where there is nothing.
func (s *Store) firstSince(ctx context.Context, since time.Time) (id int64, none bool, err error) {
	var n int64
	err = s.readers.QueryRowContext(ctx, "SELECT count(*), coalesce(min(id), 0) FROM (SELECT id FROM decisions WHERE at >= ? ORDER BY at LIMIT ?)",
		since.UnixMicro(), few+1).Scan(&n, &id)
	switch {
	case err != nil:
		return 0, false, s.wrap("reading the decisions", err)
	case n > few:
		return 0, false, nil
	}
	return id, n == 0, nil
}

// scanDecision reads a row of id and decisionColumns.
func scanDecision(rows *sql.Rows) (d Decision, err error) {
	var at, auth, protocol, policies, act, total int64
	if err := rows.Scan(&d.ID, &d.RequestID, &at, &d.Phase, &d.Room, &d.User, &d.Origin, &d.Event,
		&d.Verdict, &d.Mode, &d.Policy, &d.Revision, &d.Fault, &d.Message, &d.Note, &d.Code, &d.Status, &d.Errcode,
		&auth, &protocol, &policies, &act, &total, &d.Detail); err != nil {
		return d, err
	}
	d.At = time.UnixMicro(at).UTC()
	d.Auth, d.Protocol, d.Policies, d.Act, d.Total = us(auth), us(protocol), us(policies), us(act), us(total)
	return d, nil
}

func us(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

const decisionColumns = `request_id, at, phase, room_id, user_id, origin, event_id,
	verdict, mode, policy, revision, fault, message, note, code, status, errcode,
	auth_us, protocol_us, policies_us, act_us, total_us, detail`

const insertDecision = "INSERT INTO decisions (" + decisionColumns + ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"

// appendDecision inserts one decision; run by the writer.
func (t *Tx) appendDecision(d *Decision) error {
	_, err := t.exec(stInsertDecision, d.RequestID, d.At.UnixMicro(), d.Phase, d.Room, d.User, d.Origin, d.Event,
		d.Verdict, d.Mode, d.Policy, d.Revision, d.Fault, d.Message, d.Note, d.Code, d.Status, d.Errcode,
		d.Auth.Microseconds(), d.Protocol.Microseconds(), d.Policies.Microseconds(), d.Act.Microseconds(), d.Total.Microseconds(), d.Detail)
	return err
}
