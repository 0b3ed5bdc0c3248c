package upstream

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestVersion: what is no homeserver's federation port says so, whatever it sends.
func TestVersion(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string // "": fails
	}{
		{"Synapse", 200, `{"server":{"name":"Synapse","version":"1.160.0"}}`, "Synapse 1.160.0"},
		{"nameless", 200, `{}`, " "},
		{"no federation here", 404, `{"errcode":"M_UNRECOGNIZED"}`, ""},
		{"a web page", 200, `<html>`, ""},
		{"a redirect", 302, `{}`, ""},
		{"endless", 200, `{"x":"` + strings.Repeat("x", maxSmall) + `"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.RequestURI != "/_matrix/federation/v1/version" {
					t.Errorf("it was asked for %s", r.RequestURI)
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer server.Close()
			where, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			u := New(Options{URL: where, ConnectTimeout: 5 * time.Second})
			defer u.Close()
			got, err := u.Version(t.Context())
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("%d %.40s: %q, %v, want %q", tt.status, tt.body, got, err, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), server.URL) {
				t.Errorf("%v does not name %s", err, server.URL)
			}
		})
	}
}
