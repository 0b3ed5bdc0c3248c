// Package appservice is the application service that this server is of the
// homeserver behind it: the homeserver pushes every event of its rooms here.
//
// Two things are done with them. What was learnt of a room is forgotten when its
// state changes, and knocks that were not handed on by this server, and so came
// round the policies, are counted, logged and kept.
//
// Events are no source of facts themselves: they come in the order in which the
// homeserver got them, which is not that of the room's history, the first
// transactions of a homeserver hold all its past, and what the state is after two
// events that both claim to be is for the homeserver to say. To ask it again is
// always right.
//
// Spec: Application Service API.
package appservice
