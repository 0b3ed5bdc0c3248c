// Package store keeps what must outlive the process: rooms, their events,
// current state and forward extremities, other servers' keys,
// decisions, and what policies remember. It is one SQLite file.
//
// # Writing
//
// One goroutine owns the one connection that writes. Whoever writes submits a
// function; the submissions that are waiting when the last commit has ended run
// in one transaction, each inside its own savepoint, and are answered after
// the commit is on disk. So a commit costs one fsync for many writers, one
// failing submission undoes nothing but itself, and a commit that fails fails
// everybody in it. The queue is bounded: [Store.Reserve] waits for a place, and
// a submission with a place in hand never waits, so it can be made while a
// lock is held that decides on the order.
//
// Reading uses a pool of connections of its own and sees what is committed.
//
// # Durability
//
// The journal is a write-ahead log and synchronous is FULL: a nil answer means
// that the write survives a loss of power, as far as the disk keeps its
// promises. Both settings are read back on every connection that may write.
//
// # Several processes
//
// A second process may use the same file, as "knockgate room create" does
// beside a running server. A write of an event names the event that it was
// judged after, and fails with [ErrConflict] if that is not the room's latest.
package store
