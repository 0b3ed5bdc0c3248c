package gateway

import (
	"strings"
	"testing"
)

func TestReadTarget(t *testing.T) {
	tests := []struct {
		target  string
		origin  string // "": goes nowhere
		knock   string
		segment string
	}{
		{"/", "/", "", ""},
		{"/_matrix/federation/v1/version?x", "/_matrix/federation/v1/version?x", "", ""},
		{"http://a/x?y", "/x?y", "", ""},
		{"HTTPS://a:1/x", "/x", "", ""},
		{"/_matrix/federation/v1/make_knock/%21r:a/@u:b?ver=1", "/_matrix/federation/v1/make_knock/%21r:a/@u:b?ver=1", "make_knock", "%21r:a"},
		{"https://a/_matrix/federation/v1/send_knock/!r/$e", "/_matrix/federation/v1/send_knock/!r/$e", "send_knock", "!r"},
		{"/_matrix/client/v3/profile/@make_knock:a", "/_matrix/client/v3/profile/@make_knock:a", "", ""},
		{"/x?/_matrix/federation/v1/make_knock/r/u", "/x?/_matrix/federation/v1/make_knock/r/u", "", ""},
		{"/%ff%", "/%ff%", "", ""},
		{"*", "", "", ""},
		{"", "", "", ""},
		{"a.example:443", "", "", ""},
		{"https://a", "", "", ""},
		{"https:///x", "", "", ""},
		{"https://a?/x", "", "", ""},
		{"ftp://a/x", "", "", ""},
		{"//a/x", "", "", ""},
		{"/_matrix/federation/v1/make_knock/r", "", "", ""},
		{"/_matrix/federation/v1/make_knock/r/u/", "", "", ""},
		{"/_matrix/federation/v1/make_knock//u", "", "", ""},
		{"/_matrix/federation/v2/make_knock/r/u", "", "", ""},
		{"/_synapse/admin/v1/rooms", "", "", ""},
		{"/_synapse/client/x", "/_synapse/client/x", "", ""},
	}
	for _, tt := range tests {
		got, ok := readTarget(tt.target)
		if ok != (tt.origin != "") || ok && got.origin != tt.origin {
			t.Errorf("readTarget(%q) = %q, %v, want %q", tt.target, got.origin, ok, tt.origin)
			continue
		}
		name := ""
		if got.knock != nil {
			name = got.knock.name
		}
		if name != tt.knock || got.first != tt.segment {
			t.Errorf("readTarget(%q): endpoint %q of %q, want %q of %q", tt.target, name, got.first, tt.knock, tt.segment)
		}
	}
}

// FuzzReadTarget: what is passed through stands in the request-target as it came,
// and no number of decodings, with what a reader may drop left out, makes a knock
// endpoint of it. What is a knock has its endpoint in plain letters.
func FuzzReadTarget(f *testing.F) {
	for _, s := range []string{
		"/_matrix/federation/v1/make_knock/!r:a/@u:b?ver=1", "/_matrix/federation/v1/%6dake%5fknock/r/u", "/a/%252e%252e/SEND_KNOCK;x", "https://a/b", "/%2525256d", "/%00SEND_KNOCK", `/a\make_knock\x`, "//x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, requestTarget string) {
		got, ok := readTarget(requestTarget)
		if !ok {
			return
		}
		if !strings.HasSuffix(requestTarget, got.origin) || !strings.HasPrefix(got.origin, "/") {
			t.Fatalf("readTarget(%q) is %q, no part of it", requestTarget, got.origin)
		}
		path, _, _ := strings.Cut(got.origin, "?")
		if got.knock != nil {
			if !strings.HasPrefix(path, got.knock.path) {
				t.Fatalf("readTarget(%q) is the endpoint %s", requestTarget, got.knock.name)
			}
			return
		}
		for range 20 {
			for s := range strings.FieldsFuncSeq(path, func(c rune) bool { return c == '/' || c == '\\' || c == ';' }) {
				if s = strings.Trim(s, " .\t\r\n\x00"); strings.EqualFold(s, "make_knock") || strings.EqualFold(s, "send_knock") {
					// A parameter may be called so.
					if i := strings.Index(path, s); i > 0 && path[i-1] != ';' {
						t.Fatalf("readTarget(%q) is passed through and reads as %q", requestTarget, path)
					}
				}
			}
			path = decodeOnce(path)
		}
	})
}
