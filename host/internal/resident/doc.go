// Package resident keeps the rooms whose only members are our own users: this
// server is the only one in them, and answers those who knock.
//
// # Current state
//
// The state that decides over a knock is in memory, as an immutable
// [knock.Room] behind an atomic pointer for each room. A room is loaded from
// the store when it is first asked for, so that one made by another process is
// found. Of the members only those are in memory whose event one of our own
// users made: every join, invite and ban is among them. What a remote user did
// themself, a knock or a leave, is read from the store when it is asked for, so
// that knocks cannot fill the memory. No verdict over a knock hangs on that read,
// because a knock or leave in the state allows the same as nothing does; over a
// leave it does, and one that cannot be read fails. A leave that follows an
// invite takes that out of memory.
//
// Once a second at most, a room that is asked for is compared with the store's
// head of it. So what another process writes to a loaded room is seen by a
// make_knock within a second, and by an accept always: see below.
//
// # One room, one writer
//
// A room's mutex orders its writes and is never held over I/O. Everything that
// is immutable is checked before it is taken: what an event refers to, and the
// state before it. Under the lock the event is held against the pending state,
// which is the current one with everything queued and not yet committed, gets
// its place in the room and is queued for the store's writer; then the lock is
// given up and the commit awaited. So many knocks to one room share one
// commit, and each was judged with all before it counted in. The new snapshot
// is published by the writer after the commit, in order.
//
// Each write names the event that was the room's latest when it was judged, and
// the store refuses it if that is no longer so. Should a write fail, those
// queued behind it fail so too; the pending state is dropped, the room read
// again and they are tried anew. The same holds where another process wrote to
// the room.
//
// # State before an event
//
// All events but the knocks and leaves of others are made here, each on top of
// the one before, so they form a chain. Every event has a base: the place of the
// latest of our own events among itself and its ancestors. The state before a
// knock or leave is therefore that of our own events up to the highest base
// among its prev_events, and what the sender did themself.
//
// Where a knock's prev_events name both an old and a newer place of the chain,
// the newer one is the state. The specification's state resolution says the
// same except where two of our users of different power wrote the same place
// in the state, and then may prefer the older. No other server computes this
// room's state, every knock is held against the current state besides, and the
// chain is what people here agreed on; so the chain it is.
//
// The sender's own knock or leave counts in it where the event lists that among
// its auth_events, its base is none that the event does not follow, and nothing
// newer of ours stands against it. Whether the event follows it by its own
// prev_events is not searched for: a leave that names the sender's knock beside
// older prev_events is taken, if the knock is still current. Where the room has
// more extremities than an event may name, our templates and kicks name the
// membership that they end, so that they follow it.
package resident
