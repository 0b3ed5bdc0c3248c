package matrix

import (
	"strings"
	"testing"
)

func TestParseServerName(t *testing.T) {
	tests := []struct {
		in         string
		ok         bool
		host, port string
		literal    bool
	}{
		{"example.org", true, "example.org", "", false},
		{"example.org:8448", true, "example.org", "8448", false},
		{"EXAMPLE.org:1", true, "EXAMPLE.org", "1", false},
		{"1.2.3.4", true, "1.2.3.4", "", true},
		{"1.2.3.4:99999", true, "1.2.3.4", "99999", true},
		{"[::1]", true, "[::1]", "", true},
		{"[2001:db8::1]:443", true, "[2001:db8::1]", "443", true},
		{"1.2.3", true, "1.2.3", "", false},
		{"", false, "", "", false},
		{":8448", false, "", "", false},
		{"example.org:", false, "", "", false},
		{"example.org:123456", false, "", "", false},
		{"example.org:a", false, "", "", false},
		{"example.org:1:2", false, "", "", false},
		{"exa mple.org", false, "", "", false},
		{"example.org/", false, "", "", false},
		{"exämple.org", false, "", "", false},
		{"under_score.org", false, "", "", false},
		{"[::1", false, "", "", false},
		{"[1.2.3.4]", false, "", "", false},
		{"[fe80::1%eth0]", false, "", "", false},
		{"::1", false, "", "", false},
		{"[::1]x", false, "", "", false},
		{strings.Repeat("a", 255), true, strings.Repeat("a", 255), "", false},
		{strings.Repeat("a", 256), false, "", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ParseServerName(tt.in)
			if (err == nil) != tt.ok {
				t.Fatalf("ParseServerName(%q): err = %v, want ok = %v", tt.in, err, tt.ok)
			}
			if err != nil {
				if got != "" {
					t.Errorf("a value %q beside the error", got)
				}
				return
			}
			port, _ := got.Port()
			_, literal := got.IPLiteral()
			if got.Host() != tt.host || port != tt.port || literal != tt.literal {
				t.Errorf("host %q, port %q, literal %v; want %q, %q, %v", got.Host(), port, literal, tt.host, tt.port, tt.literal)
			}
		})
	}
}

func TestParseUserID(t *testing.T) {
	tests := []struct {
		in, local, server string
		ok                bool
	}{
		{"@alice:example.org", "alice", "example.org", true},
		{"@alice:example.org:8448", "alice", "example.org:8448", true},
		{"@:example.org", "", "example.org", true}, // historical
		{"@Ünï ☃:example.org", "Ünï ☃", "example.org", true},
		{"@a:[::1]:8448", "a", "[::1]:8448", true},
		{"alice:example.org", "", "", false},
		{"@alice", "", "", false},
		{"@al\x00ice:example.org", "", "", false},
		{"@al\xffice:example.org", "", "", false},
		{"@alice:", "", "", false},
		{"@alice:exa mple", "", "", false},
		{"@" + strings.Repeat("a", 242) + ":example.org", strings.Repeat("a", 242), "example.org", true},
		{"@" + strings.Repeat("a", 243) + ":example.org", "", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ParseUserID(tt.in)
			if (err == nil) != tt.ok {
				t.Fatalf("ParseUserID(%q): err = %v, want ok = %v", tt.in, err, tt.ok)
			}
			if err == nil && (got.Localpart() != tt.local || string(got.Server()) != tt.server) {
				t.Errorf("localpart %q, server %q; want %q, %q", got.Localpart(), got.Server(), tt.local, tt.server)
			}
		})
	}
}

const hash43 = "Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"

func TestParseRoomID(t *testing.T) {
	tests := []struct {
		in string
		ok bool
	}{
		{"!r:example.org", true},
		{"!r/:example.org:1", true},
		{"!" + hash43, true},
		{"!" + hash43 + ":example.org", true},
		{"!short", false},
		{"!" + hash43 + "A", false},
		{"!" + strings.Replace(hash43, "-", "+", 1), false},
		{"!:example.org", false},
		{"#r:example.org", false},
		{"!r:", false},
		{"", false},
		{"!" + strings.Repeat("a", 255) + ":e", false},
	}
	for _, tt := range tests {
		if _, err := ParseRoomID(tt.in); (err == nil) != tt.ok {
			t.Errorf("ParseRoomID(%q): err = %v, want ok = %v", tt.in, err, tt.ok)
		}
	}
}

func TestParseEventID(t *testing.T) {
	tests := []struct {
		in string
		ok bool
	}{
		{"$" + hash43, true},
		{"$" + hash43[:42], false},
		{"$" + hash43 + "=", false},
		{"$" + hash43[:42] + "R", false}, // two spellings of one hash: not this one
		{hash43, false},
		{"$0:domain", false},
		{"$" + strings.Replace(hash43, "-", "/", 1), false},
	}
	for _, tt := range tests {
		if _, err := ParseEventID(tt.in); (err == nil) != tt.ok {
			t.Errorf("ParseEventID(%q): err = %v, want ok = %v", tt.in, err, tt.ok)
		}
	}
}

func TestParseKeyID(t *testing.T) {
	for in, ok := range map[string]bool{
		"ed25519:a_1": true, "ed25519:1": true, "ed25519:": false, "rsa:1": false,
		"ed25519:a-b": false, "ed25519:a b": false, "ED25519:a": false, "": false,
	} {
		if _, err := ParseKeyID(in); (err == nil) != ok {
			t.Errorf("ParseKeyID(%q): err = %v, want ok = %v", in, err, ok)
		}
	}
}

// FuzzIDs: what a Parse function takes is given back as it was, and its parts
// are parts of it.
func FuzzIDs(f *testing.F) {
	for _, s := range []string{"@a:b", "@:b:1", "!r:[::1]:2", "!" + hash43, "$" + hash43, "ed25519:a", "1.2.3.4:5", "@\x00:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseServerName(s); err == nil {
			port, ok := n.Port()
			if back := n.Host() + map[bool]string{true: ":" + port}[ok]; back != s {
				t.Errorf("server name %q: host and port make %q", s, back)
			}
		}
		if u, err := ParseUserID(s); err == nil && "@"+u.Localpart()+":"+string(u.Server()) != s {
			t.Errorf("user ID %q: parts %q and %q", s, u.Localpart(), u.Server())
		}
		if r, err := ParseRoomID(s); err == nil && string(r) != s {
			t.Errorf("room ID %q became %q", s, r)
		}
		if e, err := ParseEventID(s); err == nil && (string(e) != s || len(e) != 44) {
			t.Errorf("event ID %q became %q", s, e)
		}
	})
}

func TestRoomVersions(t *testing.T) {
	ids := RoomVersionIDs()
	if got, want := strings.Join(ids, " "), "7 8 9 10 11 12"; got != want {
		t.Fatalf("RoomVersionIDs() = %s, want %s", got, want)
	}
	for _, id := range ids {
		if v, ok := LookupRoomVersion(id); !ok || v.ID != id {
			t.Errorf("LookupRoomVersion(%q) = %v, %v", id, v, ok)
		}
	}
	for _, id := range []string{"", "6", "13", "07", "7 ", "xyz.amorgan.knock"} {
		if _, ok := LookupRoomVersion(id); ok {
			t.Errorf("LookupRoomVersion(%q) found a version; versions are never guessed", id)
		}
	}
}

func TestErrorTable(t *testing.T) {
	tests := []struct {
		err    *Error
		status int
		code   string
	}{
		{Unauthorized("x"), 401, "M_UNAUTHORIZED"},
		{Forbidden("x"), 403, "M_FORBIDDEN"},
		{NotFound("x"), 404, "M_NOT_FOUND"},
		{NotJSON("x"), 400, "M_NOT_JSON"},
		{BadJSON("x"), 400, "M_BAD_JSON"},
		{InvalidParam("x"), 400, "M_INVALID_PARAM"},
		{MissingParam("x"), 400, "M_MISSING_PARAM"},
		{TooLarge("x"), 413, "M_TOO_LARGE"},
		{UnrecognizedEndpoint(), 404, "M_UNRECOGNIZED"},
		{UnrecognizedMethod(), 405, "M_UNRECOGNIZED"},
		{IncompatibleRoomVersion("9", "x"), 400, "M_INCOMPATIBLE_ROOM_VERSION"},
		{LimitExceeded(1), 429, "M_LIMIT_EXCEEDED"},
		{Internal(nil), 500, "M_UNKNOWN"},
	}
	for _, tt := range tests {
		if tt.err.Status != tt.status || tt.err.Code != tt.code {
			t.Errorf("%d %s, want %d %s", tt.err.Status, tt.err.Code, tt.status, tt.code)
		}
	}
	if got, want := Forbidden("100%").Message, "100%"; got != want {
		t.Errorf("a message without arguments = %q, want %q", got, want)
	}
}
