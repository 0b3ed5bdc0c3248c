package gateway

import (
	"io"
	"net/http"
	"time"
)

// idleTime is how long a peer may neither send nor take a byte of what is passed
// through while it is its turn. A long poll waits for the homeserver, and does not
// count.
const idleTime = 2 * time.Minute

// withIdle returns w and r with a deadline at each read of the body and each
// write of the answer. A writer without deadlines stays without.
func withIdle(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request) {
	deadlines := http.NewResponseController(w)
	if r.Body != nil && r.Body != http.NoBody {
		r = r.WithContext(r.Context()) // not to change the caller's
		r.Body = &idleBody{r.Body, deadlines}
	}
	return &idleWriter{w, deadlines}, r
}

// idleBody is a request's body.
type idleBody struct {
	io.ReadCloser
	deadlines *http.ResponseController
}

// Read reads. At the end there is no deadline, since passing it would end the
// request while the homeserver thinks.
func (b *idleBody) Read(p []byte) (int, error) {
	_ = b.deadlines.SetReadDeadline(time.Now().Add(idleTime))
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.deadlines.SetReadDeadline(time.Time{})
	}
	return n, err
}

// idleWriter writes an answer.
type idleWriter struct {
	http.ResponseWriter
	deadlines *http.ResponseController
}

// Unwrap returns what it writes to.
func (w *idleWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write writes, with a deadline that is over with it.
func (w *idleWriter) Write(p []byte) (int, error) {
	_ = w.deadlines.SetWriteDeadline(time.Now().Add(idleTime))
	defer func() { _ = w.deadlines.SetWriteDeadline(time.Time{}) }()
	return w.ResponseWriter.Write(p)
}

// FlushError flushes, as Write writes.
func (w *idleWriter) FlushError() error {
	_ = w.deadlines.SetWriteDeadline(time.Now().Add(idleTime))
	defer func() { _ = w.deadlines.SetWriteDeadline(time.Time{}) }()
	return w.deadlines.Flush()
}
