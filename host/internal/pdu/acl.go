package pdu

import (
	"unicode/utf8"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// ACLAllows reports whether a room's server ACL lets server take part; acl is
// the content of the m.room.server_acl event. The absent Value is a room
// without one, which lets in everybody. Anything malformed lets in nobody more:
// a list that is none is empty, and what is not in allow is denied.
//
// Spec: Client-Server API, "Server Access Control Lists (ACLs) for rooms".
func ACLAllows(acl canonicaljson.Value, server matrix.ServerName) bool {
	if !acl.Exists() {
		return true
	}
	if literals, ok := acl.Get("allow_ip_literals").Bool(); ok && !literals {
		if _, isIP := server.IPLiteral(); isIP {
			return false
		}
	}
	host := server.Host()
	return !matchesAny(acl.Get("deny"), host) && matchesAny(acl.Get("allow"), host)
}

// matchesAny reports whether a string in list is a glob that host matches.
func matchesAny(list canonicaljson.Value, host string) bool {
	for elem := range list.Elems() {
		if glob, ok := elem.TextBytes(); ok && matchGlob(glob, host) {
			return true
		}
	}
	return false
}

// GlobMatch reports whether the whole of s matches pattern, in which '*' is any
// run of characters and '?' any one character. Letters of ASCII match in either
// case. It takes at most len(pattern) times len(s) steps, and allocates nothing.
//
// Spec: Appendices, "Glob-style matching".
func GlobMatch(pattern, s string) bool { return matchGlob(pattern, s) }

func matchGlob[P string | []byte](pattern P, s string) bool {
	var p, i int
	star, from := -1, 0 // the last '*', and where what follows it was tried
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && pattern[p] == '?':
			_, size := utf8.DecodeRuneInString(s[i:])
			i += size
			p++
		case p < len(pattern) && lower(pattern[p]) == lower(s[i]):
			i++
			p++
		case star >= 0:
			// Let the last star take one character more. An earlier one need
			// not: what stood between them matched at its first place.
			_, size := utf8.DecodeRuneInString(s[from:])
			from += size
			p, i = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
