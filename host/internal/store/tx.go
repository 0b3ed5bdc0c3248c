package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// writeStmt names a prepared statement of the writer.
type writeStmt int

const (
	stBegin writeStmt = iota
	stCommit
	stRollback
	stSavepoint
	stRollbackTo
	stRelease
	stInsertRoom
	stMoveHead
	stInsertEvent
	stDropExtremity
	stAddExtremity
	stSetState
	stSaveKeys
	stInsertDecision
	stDropDecision
	stDropDecisions
	stCountDecisions
	stDropCounts
	stTrimCounts
	stAddOrigin
	stInsertOrigin
	stCountOtherOrigin
	stDropOrigin
	stDropOrigins
	stTrimOrigins
	stSetPolicyValue
	stDropPolicyValue
	stStartAppservice
	stStopAppservice
	stInsertTransaction
	stTrimTransactions
	stInsertHanded
	stTrimHanded
	stInsertUndecided
	stTrimUndecided
	stCountUndecided
	writeCount
)

var writeSQL = [writeCount]string{
	stBegin:         "BEGIN IMMEDIATE",
	stCommit:        "COMMIT",
	stRollback:      "ROLLBACK",
	stSavepoint:     "SAVEPOINT submission",
	stRollbackTo:    "ROLLBACK TO SAVEPOINT submission",
	stRelease:       "RELEASE SAVEPOINT submission",
	stInsertRoom:    "INSERT INTO rooms (room_id, version, head, head_event, created_at) VALUES (?, ?, 0, '', ?)",
	stMoveHead:      "UPDATE rooms SET head = ?, head_event = ? WHERE room_id = ? AND head_event = ? AND head = ?",
	stInsertEvent:   "INSERT INTO events (event_id, room_id, seq, type, state_key, sender, depth, own, base, json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	stDropExtremity: "DELETE FROM extremities WHERE room_id = ? AND event_id = ?",
	stAddExtremity:  "INSERT INTO extremities (room_id, event_id, base, seq, depth) VALUES (?, ?, ?, ?, ?)",
	stSetState: `INSERT INTO room_state (room_id, type, state_key, event_id, position, own, membership) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (room_id, type, state_key) DO UPDATE SET event_id = excluded.event_id, position = excluded.position, own = excluded.own,
			membership = excluded.membership`,
	stSaveKeys: `INSERT INTO server_keys (server, body, fetched_at) VALUES (?, ?, ?)
		ON CONFLICT (server) DO UPDATE SET body = excluded.body, fetched_at = excluded.fetched_at`,
	stInsertDecision: insertDecision,
	stDropDecision:   "DELETE FROM decisions WHERE id = ?",
	stDropDecisions:  "DELETE FROM decisions WHERE id <= ?",
	stCountDecisions: upsertCount,
	stDropCounts:     "DELETE FROM decision_counts WHERE span = ? AND at < ?",
	stTrimCounts: `DELETE FROM decision_counts WHERE span = ? AND at <= (
		SELECT at FROM decision_counts WHERE span = ? ORDER BY at DESC LIMIT 1 OFFSET ?)`,
	stAddOrigin: "UPDATE refused_origins SET number = number + ? WHERE hour = ? AND origin = ?",
	stInsertOrigin: `INSERT INTO refused_origins (hour, origin, number) SELECT ?, ?, ?
		WHERE (SELECT count(*) FROM refused_origins WHERE hour = ? AND origin <> '') < ?`,
	stCountOtherOrigin: `INSERT INTO refused_origins (hour, origin, number) VALUES (?, '', ?)
		ON CONFLICT (hour, origin) DO UPDATE SET number = refused_origins.number + excluded.number`,
	stDropOrigin:  "DELETE FROM refused_origins WHERE hour = ? AND origin = ? AND number <= 0",
	stDropOrigins: "DELETE FROM refused_origins WHERE hour < ?",
	stTrimOrigins: "DELETE FROM refused_origins WHERE hour <= (SELECT hour FROM refused_origins ORDER BY hour DESC LIMIT 1 OFFSET ?)",
	stSetPolicyValue: `INSERT INTO policy_kv (policy, key, value, expires_ms) VALUES (?, ?, ?, ?)
		ON CONFLICT (policy, key) DO UPDATE SET value = excluded.value, expires_ms = excluded.expires_ms`,
	stDropPolicyValue:   "DELETE FROM policy_kv WHERE policy = ? AND key = ?",
	stStartAppservice:   "INSERT INTO appservice (one, since) VALUES (1, ?) ON CONFLICT (one) DO NOTHING",
	stStopAppservice:    "DELETE FROM appservice",
	stInsertTransaction: "INSERT INTO appservice_transactions (transaction_id) VALUES (?) ON CONFLICT (transaction_id) DO NOTHING",
	stTrimTransactions:  "DELETE FROM appservice_transactions WHERE id <= ?",
	stInsertHanded:      "INSERT INTO handed_knocks (event_id, room_id, user_id) VALUES (?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
	stTrimHanded:        "DELETE FROM handed_knocks WHERE id <= ?",
	stInsertUndecided: `INSERT INTO undecided_knocks (event_id, room_id, user_id, kind, at, seen_at) SELECT ?, ?, ?, ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM handed_knocks WHERE event_id = ? AND room_id = ? AND user_id = ?)
		ON CONFLICT (event_id) DO NOTHING`,
	stTrimUndecided: "DELETE FROM undecided_knocks WHERE id <= ?",
	stCountUndecided: `INSERT INTO undecided_totals (kind, total) VALUES (?, 1)
		ON CONFLICT (kind) DO UPDATE SET total = undecided_totals.total + 1`,
}

// Tx is what a submission writes through. It is only good inside the function
// it was given to.
type Tx struct{ w *writer }

func (t *Tx) exec(st writeStmt, args ...any) (sql.Result, error) {
	return t.w.stmts[st].ExecContext(context.Background(), args...)
}

// InsertRoom makes a room without events. It fails if there is one of this ID.
func (t *Tx) InsertRoom(id matrix.RoomID, version string, at time.Time) error {
	if _, err := t.exec(stInsertRoom, string(id), version, at.UnixMilli()); err != nil {
		return fmt.Errorf("room %s: %w", id, err)
	}
	return nil
}

// Append is one event on its way into a room.
type Append struct {
	Event
	// After is the event that the room's state was made by when this one was
	// judged: the head then; empty for the first event.
	After matrix.EventID
	// Prev are the event's prev_events as far as they may be extremities: they
	// are none any more.
	Prev []matrix.EventID
	// Current makes the event the current state of its type and state key.
	Current bool
	// Membership is that of a member event; "" for another.
	Membership string
}

// Append stores an event as the next of its room, and makes it a forward
// extremity. It fails with [ErrConflict] unless the room's head is a.After at
// a.Seq-1.
func (t *Tx) Append(a *Append) error {
	room, id := string(a.Room), string(a.ID)
	moved, err := t.exec(stMoveHead, a.Seq, id, room, string(a.After), a.Seq-1)
	if err != nil {
		return fmt.Errorf("event %s: %w", id, err)
	}
	if n, err := moved.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("event %s at %d of room %s: %w", id, a.Seq, room, ErrConflict)
	}
	if err := t.append(a, room, id); err != nil {
		return fmt.Errorf("event %s: %w", id, err)
	}
	return nil
}

func (t *Tx) append(a *Append, room, id string) error {
	own := 0
	if a.Own {
		own = 1
	}
	if _, err := t.exec(stInsertEvent, id, room, a.Seq, a.Type, a.StateKey, string(a.Sender), a.Depth, own, a.Base, string(a.JSON)); err != nil {
		return err
	}
	for _, prev := range a.Prev {
		if _, err := t.exec(stDropExtremity, room, string(prev)); err != nil {
			return err
		}
	}
	if _, err := t.exec(stAddExtremity, room, id, a.Base, a.Seq, a.Depth); err != nil {
		return err
	}
	if !a.Current {
		return nil
	}
	_, err := t.exec(stSetState, room, a.Type, a.StateKey, id, a.Seq, own, a.Membership)
	return err
}
