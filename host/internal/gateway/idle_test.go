package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/iotest"
	"time"
)

// deadlined notes what is done to it.
type deadlined struct {
	*httptest.ResponseRecorder
	did []string
}

func (d *deadlined) note(what string, at time.Time) error {
	if at.IsZero() {
		what = "no " + what
	} else if until := time.Until(at); until <= 0 || until > idleTime {
		what = "wrong " + what
	}
	d.did = append(d.did, what)
	return nil
}

func (d *deadlined) SetReadDeadline(at time.Time) error  { return d.note("read", at) }
func (d *deadlined) SetWriteDeadline(at time.Time) error { return d.note("write", at) }
func (d *deadlined) FlushError() error                   { d.did = append(d.did, "flush"); return nil }

// TestIdle: each read has a deadline, which the end of the body takes away, be it
// a good end or not; each write and flush has one of its own.
func TestIdle(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name string
		body io.Reader
		want []string
	}{
		{"no body", nil, nil},
		{"a body", iotest.OneByteReader(bytes.NewReader([]byte("ab"))), []string{"read", "read", "read", "no read"}},
		{"a body that breaks off", iotest.ErrReader(broken), []string{"read", "no read"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &deadlined{ResponseRecorder: httptest.NewRecorder()}
			r := httptest.NewRequest(http.MethodPut, "/", tt.body)
			w, r := withIdle(d, r)
			if _, err := io.ReadAll(r.Body); err != nil && err != broken {
				t.Fatal(err)
			}
			if !slices.Equal(d.did, tt.want) {
				t.Errorf("reading: %q, want %q", d.did, tt.want)
			}
			d.did = nil
			if _, err := w.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Fatal(err)
			}
			if want := []string{"write", "no write", "write", "flush", "no write"}; !slices.Equal(d.did, want) {
				t.Errorf("writing: %q, want %q", d.did, want)
			}
		})
	}
}
