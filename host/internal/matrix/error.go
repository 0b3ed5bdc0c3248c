package matrix

import (
	"fmt"
	"net/http"
	"time"
)

// Error is an error as a peer gets it: a status, an errcode and a plain
// sentence. The cause of it, if there is one, goes to the log and never to the
// peer.
//
// Spec: Server-Server API, "API standards"; Client-Server API, "Standard error
// response".
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code is the errcode, such as "M_FORBIDDEN".
	Code string
	// Message is the sentence a person may read.
	Message string
	// RoomVersion is sent with M_INCOMPATIBLE_ROOM_VERSION: the room's version.
	RoomVersion string
	// RetryAfter is sent in milliseconds with M_LIMIT_EXCEEDED.
	RetryAfter time.Duration
	// Kind is one word of a small set of the package that made the error, for
	// those who count; "" where the errcode says it all. It is never sent.
	Kind string
	// Cause is what went wrong inside. May be nil.
	Cause error
}

// Error returns the errcode, the message and the cause.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return e.Code + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// The constructors below name every refusal this host makes; the status and
// errcode of each stand together once.

// Unauthorized: the request's X-Matrix authentication is missing or wrong. 401.
func Unauthorized(format string, args ...any) *Error {
	return newError(http.StatusUnauthorized, "M_UNAUTHORIZED", format, args)
}

// Forbidden: authenticated, and refused. 403.
func Forbidden(format string, args ...any) *Error {
	return newError(http.StatusForbidden, "M_FORBIDDEN", format, args)
}

// NotFound: no such room here; the peer may ask another server. 404.
func NotFound(format string, args ...any) *Error {
	return newError(http.StatusNotFound, "M_NOT_FOUND", format, args)
}

// NotJSON: the body is no JSON. 400.
func NotJSON(format string, args ...any) *Error {
	return newError(http.StatusBadRequest, "M_NOT_JSON", format, args)
}

// BadJSON: the body is JSON of the wrong shape. 400.
func BadJSON(format string, args ...any) *Error {
	return newError(http.StatusBadRequest, "M_BAD_JSON", format, args)
}

// InvalidParam: an identifier or a field of the event is not what it must be. 400.
func InvalidParam(format string, args ...any) *Error {
	return newError(http.StatusBadRequest, "M_INVALID_PARAM", format, args)
}

// MissingParam: a required parameter is absent. 400.
func MissingParam(format string, args ...any) *Error {
	return newError(http.StatusBadRequest, "M_MISSING_PARAM", format, args)
}

// TooLarge: the body or the event is over its size limit. 413.
func TooLarge(format string, args ...any) *Error {
	return newError(http.StatusRequestEntityTooLarge, "M_TOO_LARGE", format, args)
}

// UnrecognizedEndpoint: no such endpoint. 404.
func UnrecognizedEndpoint() *Error {
	return newError(http.StatusNotFound, "M_UNRECOGNIZED", "Unrecognized request", nil)
}

// UnrecognizedMethod: the endpoint exists and not with this method. 405.
func UnrecognizedMethod() *Error {
	return newError(http.StatusMethodNotAllowed, "M_UNRECOGNIZED", "Unrecognized request", nil)
}

// IncompatibleRoomVersion: the room's version, which is sent along, is not one
// that the peer, or a policy for it, takes. 400.
func IncompatibleRoomVersion(version, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "M_INCOMPATIBLE_ROOM_VERSION", Message: message, RoomVersion: version}
}

// LimitExceeded: too many requests; the peer may come back after the wait. 429.
func LimitExceeded(after time.Duration) *Error {
	return &Error{Status: http.StatusTooManyRequests, Code: "M_LIMIT_EXCEEDED", Message: "Too many requests", RetryAfter: after}
}

// Internal: our own fault. The cause is kept for the log. 500.
func Internal(cause error) *Error {
	return &Error{Status: http.StatusInternalServerError, Code: "M_UNKNOWN", Message: "Internal server error", Cause: cause}
}

// BadGateway: the homeserver behind this one cannot be reached or answered what
// cannot be handed on. The cause is kept for the log. 502.
func BadGateway(cause error) *Error {
	return &Error{Status: http.StatusBadGateway, Code: "M_UNKNOWN", Message: "The homeserver behind this gateway failed", Cause: cause}
}

// GatewayTimeout: the homeserver behind this one did not answer in time. The
// cause is kept for the log. 504.
func GatewayTimeout(cause error) *Error {
	return &Error{Status: http.StatusGatewayTimeout, Code: "M_UNKNOWN", Message: "The homeserver behind this gateway did not answer in time", Cause: cause}
}

// Because returns e with the cause set.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

// Of returns e with the kind set.
func (e *Error) Of(kind string) *Error {
	e.Kind = kind
	return e
}

func newError(status int, code, format string, args []any) *Error {
	e := &Error{Status: status, Code: code, Message: format}
	if len(args) > 0 {
		e.Message = fmt.Sprintf(format, args...)
	}
	return e
}
