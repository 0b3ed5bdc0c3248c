// Package discovery sends HTTPS requests to other homeservers by their Matrix
// server name. It finds the address as the specification says (IP literal,
// explicit port, well-known, SRV, port 8448) and applies address rules to every
// connection it opens.
//
// A caller chooses which servers we ask for keys, so every answer here, from
// DNS, from a well-known file or from a key server, is an attacker's. The rules
// on addresses are applied to the address that a socket is about to connect to,
// so neither a redirect nor a DNS answer that changes can get around them.
// Every size, count and wait is bounded by the constants in limits.go.
//
// Spec: Server-Server API, "Resolving server names".
package discovery
