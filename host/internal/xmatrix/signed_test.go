package xmatrix

import (
	"strings"
	"testing"
)

func TestOriginForm(t *testing.T) {
	tests := []struct {
		target, want string // "" for an error
	}{
		{"/_matrix/x", "/_matrix/x"},
		{"/_matrix/%21r%3Aa/!r:a?ver=1&ver=2", "/_matrix/%21r%3Aa/!r:a?ver=1&ver=2"},
		{"/a?", "/a?"},
		{"//a/../b/%2e%2e/%2F", "//a/../b/%2e%2e/%2F"},
		{"/a|^\"{}`\\", "/a|^\"{}`\\"},
		{"/a?u=https://b.test/c", "/a?u=https://b.test/c"},
		{"https://a.test:8448/_matrix/x?y", "/_matrix/x?y"},
		{"HTTP://a.test//x", "//x"},
		{"https://a.test", ""},
		{"https://a.test?x/y", ""},
		{"https:///x", ""},
		{"ftp://a.test/x", ""},
		{"a.test:443", ""},
		{"*", ""},
		{"", ""},
		{"x", ""},
		{"/a#b", ""},
		{"/a b", ""},
		{"/a\x00", ""},
		{"/a\n", ""},
		{"/a\x7f", ""},
		{"/é", ""},
	}
	for _, tt := range tests {
		got, err := originForm(tt.target)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("originForm(%q) = %q, %v, want %q", tt.target, got, err, tt.want)
		}
	}
}

func TestAppendSigned(t *testing.T) {
	tests := []struct {
		name, method, target string
		content              []byte
		want                 string
	}{
		{"no body", "GET", "/a?b=c&d", nil, `{"destination":"b.test:1","method":"GET","origin":"a.test","uri":"/a?b=c&d"}`},
		{"body", "PUT", "/a", []byte(`{"x":[1]}`), `{"content":{"x":[1]},"destination":"b.test:1","method":"PUT","origin":"a.test","uri":"/a"}`},
		{"empty object", "PUT", "/a", []byte(`{}`), `{"content":{},"destination":"b.test:1","method":"PUT","origin":"a.test","uri":"/a"}`},
		{"escapes", "PUT", `/"\`, nil, `{"destination":"b.test:1","method":"PUT","origin":"a.test","uri":"/\"\\"}`},
	}
	for _, tt := range tests {
		if got := string(AppendSigned(nil, tt.method, tt.target, "a.test", "b.test:1", tt.content)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestAppendSignedAllocations(t *testing.T) {
	dst := make([]byte, 0, 4096)
	content := []byte(`{"x":"` + strings.Repeat("y", 800) + `"}`)
	got := testing.AllocsPerRun(100, func() {
		dst = AppendSigned(dst[:0], "PUT", "/_matrix/federation/v1/send_knock/%21r%3Aa/$x", "a.test", "b.test", content)
	})
	if got != 0 {
		t.Errorf("AppendSigned: %v allocations, want 0", got)
	}
}
