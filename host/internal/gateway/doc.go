// Package gateway is the federation listener: it takes a request through the
// stages in their one order (authenticate, parse, ask the room, ask the
// policies, act, record) and answers from one table.
//
// The order of the checks, and the status and errcode of each refusal, is the
// error contract of host/README.md. Nothing about a room is said before the
// request is authenticated, and the policies are asked last: they can only
// narrow what the protocol allows. Over a leave, which takes a knock back, they
// are not asked at all.
package gateway
