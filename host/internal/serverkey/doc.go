// Package serverkey holds the signing keys of servers: our own, in a file and
// as the document we publish, and those of others, fetched, checked, remembered
// and handed out by a Ring.
//
// It is the only package that imports Ed25519; everything else verifies through
// [Verify] and signs through a [SigningKey].
//
// Spec: Server-Server API, "Server discovery", "Publishing Keys", "Querying
// Keys Through Another Server"; Appendices, "Signing JSON".
package serverkey
