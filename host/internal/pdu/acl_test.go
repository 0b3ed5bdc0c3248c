package pdu_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

func TestACLAllows(t *testing.T) {
	cases := []struct {
		name, acl, server string
		want              bool
	}{
		{"all", `{"allow":["*"]}`, "domain", true},
		{"denied", `{"allow":["*"],"deny":["domain"]}`, "domain", false},
		{"denied, port", `{"allow":["*"],"deny":["domain"]}`, "domain:8448", false},
		{"the port is no part of the name", `{"allow":["*"],"deny":["domain:8448"]}`, "domain:8448", true},
		{"denied, other case", `{"allow":["*"],"deny":["EVIL.*"]}`, "evil.Example", false},
		{"denied, other case in the name", `{"allow":["*"],"deny":["evil.*"]}`, "EVIL.example", false},
		{"allowed by name", `{"allow":["*.example"]}`, "a.example", true},
		{"anchored at the start", `{"allow":["example"]}`, "a.example", false},
		{"anchored at the end", `{"allow":["a"]}`, "a.example", false},
		{"not in allow", `{"allow":["a"]}`, "b", false},
		{"deny goes first", `{"allow":["a"],"deny":["a"]}`, "a", false},
		{"one character", `{"allow":["a?c"]}`, "abc", true},
		{"one character, not none", `{"allow":["a?c"]}`, "ac", false},
		{"no regular expression", `{"allow":["(.*)"]}`, "domain", false},
		{"the dot is a dot", `{"allow":["a.c"]}`, "abc", false},
		{"no character class", `{"allow":["[a-z]"]}`, "a", false},

		{"allow empty", `{"allow":[]}`, "domain", false},
		{"allow missing", `{}`, "domain", false},
		{"allow a string", `{"allow":"*"}`, "domain", false},
		{"allow an object", `{"allow":{"*":"*"}}`, "domain", false},
		{"allow of what is no string", `{"allow":[7,null,["*"]]}`, "domain", false},
		{"what is no string is skipped", `{"allow":[7,"*"],"deny":[{}]}`, "domain", true},
		{"deny a string", `{"allow":["*"],"deny":"*"}`, "domain", true},
		{"content no object", `["*"]`, "domain", false},
		{"content null", `null`, "domain", false},
		{"Allow", `{"Allow":["*"]}`, "domain", false},

		{"IPv4, by default", `{"allow":["*"]}`, "192.0.2.1", true},
		{"IPv4 off", `{"allow":["*"],"allow_ip_literals":false}`, "192.0.2.1", false},
		{"IPv4 off, port", `{"allow":["*"],"allow_ip_literals":false}`, "192.0.2.1:8448", false},
		{"IPv6 off", `{"allow":["*"],"allow_ip_literals":false}`, "[2001:db8::1]", false},
		{"IPv6 off, port", `{"allow":["*"],"allow_ip_literals":false}`, "[2001:db8::1]:8448", false},
		{"IP off, a name", `{"allow":["*"],"allow_ip_literals":false}`, "domain", true},
		{"IP off, no boolean", `{"allow":["*"],"allow_ip_literals":"false"}`, "192.0.2.1", true},
		{"IP on", `{"allow":["*"],"allow_ip_literals":true}`, "192.0.2.1", true},
		{"IPv6 denied by name", `{"allow":["*"],"deny":["[2001:db8::*]"]}`, "[2001:db8::1]:1", false},
	}
	for _, c := range cases {
		server, err := matrix.ParseServerName(c.server)
		if err != nil {
			t.Fatal(err)
		}
		if got := pdu.ACLAllows(parseJSON(t, c.acl).Root(), server); got != c.want {
			t.Errorf("%s: ACLAllows(%s, %s) = %v, want %v", c.name, c.acl, c.server, got, c.want)
		}
	}
	if !pdu.ACLAllows(canonicaljson.Value{}, "domain") {
		t.Error("a room without an ACL denies a server")
	}
}

var globs = []struct {
	pattern, s string
	want       bool
}{
	{"", "", true},
	{"", "a", false},
	{"*", "", true},
	{"**", "", true},
	{"?", "", false},
	{"?", "日", true},
	{"??", "日", false},
	{"*??", "日", false},
	{"*?*?*", "é😀", true},
	{"a*b", "ab", true},
	{"a*b", "acb", true},
	{"a*b", "acbc", false},
	{"*a*b*", "xxaxxbxx", true},
	{"*ab", "aab", true},
	{"*a?", "aaab", true},
	{"*.EXAMPLE", "a.example", true},
	{"a.b", "a.b", true},
	{"a.b", "axb", false},
	{"*aaaaaaaaaaaaaab", strings.Repeat("a", 64), false},
}

func TestGlobMatch(t *testing.T) {
	for _, c := range globs {
		if got := pdu.GlobMatch(c.pattern, c.s); got != c.want {
			t.Errorf("GlobMatch(%q, %q) = %v, want %v", c.pattern, c.s, got, c.want)
		}
	}
}

// FuzzGlobMatch: GlobMatch agrees with the definition of a glob, table by
// table, on valid UTF-8.
func FuzzGlobMatch(f *testing.F) {
	for _, c := range globs {
		f.Add(c.pattern, c.s)
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern)*len(s) > 1<<16 || !utf8.ValidString(pattern) || !utf8.ValidString(s) {
			return
		}
		if got, want := pdu.GlobMatch(pattern, s), defined([]rune(pattern), []rune(s)); got != want {
			t.Errorf("GlobMatch(%q, %q) = %v, want %v", pattern, s, got, want)
		}
	})
}

// defined reports whether s matches pattern: match[j] says whether its first j
// characters match what of the pattern was looked at.
func defined(pattern, s []rune) bool {
	lower := func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	match := make([]bool, len(s)+1)
	match[0] = true
	for _, p := range pattern {
		next := make([]bool, len(s)+1)
		next[0] = p == '*' && match[0]
		for j, r := range s {
			next[j+1] = p == '*' && (match[j+1] || next[j]) || p != '*' && (p == '?' || lower(p) == lower(r)) && match[j]
		}
		match = next
	}
	return match[len(s)]
}
