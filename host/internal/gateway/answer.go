package gateway

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Messages that a knocker sees where a policy gave none of its own.
const (
	deniedMessage       = "You are not allowed to knock on this room"
	incompatibleMessage = "Your homeserver does not support the features required to knock on this room"
)

// answer is the table from verdict to refusal, the same in both phases; nil is
// allow. The room version is always the room's own. A verdict that is none,
// and a fault, refuse with 403: a peer takes 404 or 5xx as a reason to ask
// another server, and would go round us. A reference is told behind the message;
// "" is none.
func answer(d *plugins.Decision, roomVersion, reference string) *matrix.Error {
	if reference != "" {
		reference = " (ref " + reference + ")"
	}
	switch d.Verdict {
	case abi.Allow:
		return nil
	case abi.Incompatible:
		return matrix.IncompatibleRoomVersion(roomVersion, or(d.Message, incompatibleMessage)+reference)
	default:
		return matrix.Forbidden("%s", or(d.Message, deniedMessage)+reference)
	}
}

// reference is what a refused knocker may ask about, if they are to be told.
func (s *Stages) reference(q *request) string {
	if s.Reference {
		return q.ID
	}
	return ""
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// wire returns err as the peer gets it. What is no wire error is our own
// fault: the log gets it, the peer only hears M_UNKNOWN.
func (s *Stages) wire(r *http.Request, err error) *matrix.Error {
	var e *matrix.Error
	if !errors.As(err, &e) {
		e = matrix.Internal(err)
	}
	switch {
	case e.Status < http.StatusInternalServerError:
	case r.Context().Err() != nil:
		s.Log.LogAttrs(r.Context(), slog.LevelDebug, "the peer left", slog.String("path", r.URL.Path), slog.Any("err", e))
	case e.Status != http.StatusInternalServerError:
		s.Log.LogAttrs(r.Context(), slog.LevelError, "upstream failed", slog.String("path", r.URL.Path), slog.Any("err", e))
	default:
		s.Log.LogAttrs(r.Context(), slog.LevelError, "internal error", slog.String("path", r.URL.Path), slog.Any("err", e))
	}
	return e
}

// writeError answers with the standard error body.
func writeError(w http.ResponseWriter, e *matrix.Error) {
	body := append(make([]byte, 0, 256), `{"errcode":`...)
	body = canonicaljson.AppendString(body, e.Code)
	body = append(body, `,"error":`...)
	body = canonicaljson.AppendString(body, e.Message)
	if e.RetryAfter > 0 {
		ms := e.RetryAfter.Milliseconds() + 1
		body = append(body, `,"retry_after_ms":`...)
		body = strconv.AppendInt(body, ms, 10)
		w.Header().Set("Retry-After", strconv.FormatInt((ms+999)/1000, 10))
	}
	if e.RoomVersion != "" {
		body = append(body, `,"room_version":`...)
		body = canonicaljson.AppendString(body, e.RoomVersion)
	}
	writeJSON(w, e.Status, append(body, '}'))
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = contentType
	h["Cache-Control"] = cacheControl
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// The peer may be gone; there is no one left to tell.
	_, _ = w.Write(body)
}

var (
	contentType  = []string{"application/json"}
	cacheControl = []string{"no-cache, no-store, must-revalidate"}
)
