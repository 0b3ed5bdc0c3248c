package appservice

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestPing(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   *PingError
	}{
		{"reached", 200, `{"duration_ms":7}`, nil},
		{"not reached", 502, `{"errcode":"M_CONNECTION_FAILED","error":"refused"}`, &PingError{502, "M_CONNECTION_FAILED", "refused"}},
		{"token unknown", 401, `{"errcode":"M_UNKNOWN_TOKEN","error":"no"}`, &PingError{401, "M_UNKNOWN_TOKEN", "no"}},
		{"no client API there", 404, `<html>`, &PingError{404, "", ""}},
		{"endless", 500, strings.Repeat("x", 4*maxPing), &PingError{500, "", ""}},
		{"redirect", 302, "", &PingError{302, "", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var asked string
			homeserver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				asked = fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, r.Header.Get("Authorization"), body)
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer homeserver.Close()
			base, err := url.Parse(homeserver.URL)
			if err != nil {
				t.Fatal(err)
			}
			err = Ping(t.Context(), homeserver.Client().Transport, base, "gate", "the-as-token")
			if want := "POST /_matrix/client/v1/appservice/gate/ping Bearer the-as-token {}"; asked != want {
				t.Errorf("asked %q, want %q", asked, want)
			}
			var got *PingError
			if errors.As(err, &got) != (tt.want != nil) || got != nil && *got != *tt.want || got == nil && err != nil {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		err := Ping(t.Context(), http.DefaultTransport, &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, "gate", "x")
		if err == nil || errors.As(err, new(*PingError)) {
			t.Errorf("%v, want an error of the connection", err)
		}
	})
}
