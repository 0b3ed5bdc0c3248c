// Package knock is the two phases of the handshake as requests: what a path,
// a query and a body must be before any room is asked, and the checks on a
// signed knock that need the room's version and the sender's keys but not the
// room's state. The leave that takes a knock back has the same two phases.
//
// Spec: Server-Server API, "Knocking upon a room" and "Leaving Rooms (Rejecting
// Invites)".
package knock
