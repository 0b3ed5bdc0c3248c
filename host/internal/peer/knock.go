package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// Exchange is one request and its answer.
type Exchange struct {
	Method string
	Server matrix.ServerName
	// Target is the request-target as sent.
	Target string
	// Authorization is the header that signs the request.
	Authorization string
	// Sent is the body as sent; nil for a GET.
	Sent []byte
	// Status and Body are the answer.
	Status int
	Header http.Header
	Body   []byte
	// Took is the time from sending to the whole answer.
	Took time.Duration
}

// Errcode returns the answer's errcode and message, or "" where it has none.
func (x *Exchange) Errcode() (code, message string) {
	doc, err := canonicaljson.Parse(x.Body)
	if err != nil {
		return "", ""
	}
	code, _ = doc.Root().Get("errcode").Text()
	message, _ = doc.Root().Get("error").Text()
	return code, message
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

// Do sends a signed request and returns the exchange. content is the body, nil
// for none; it must be JSON, as its canonical form is what the signature is of.
// An error is a failure to get an answer: a refusal is an answer.
func (p *Peer) Do(ctx context.Context, server matrix.ServerName, method, target string, content []byte) (*Exchange, error) {
	var signed []byte
	if content != nil {
		doc, err := canonicaljson.Parse(content)
		if err != nil {
			return nil, fmt.Errorf("body to sign: %w", err)
		}
		signed = doc.Bytes()
	}
	authorization := xmatrix.Header(p.key, p.name, server, method, target, signed)
	return p.Send(ctx, server, method, target, content, authorization)
}

// Send sends a request with the Authorization header as given, none if it is
// empty. The body is sent as it is.
func (p *Peer) Send(ctx context.Context, server matrix.ServerName, method, target string, body []byte, authorization string) (*Exchange, error) {
	x := &Exchange{Method: method, Server: server, Target: target, Authorization: authorization, Sent: body}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+string(server)+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Opaque goes out as it stands: the target's own percent-encoding is what
	// the signature is of.
	req.URL = &url.URL{Scheme: "https", Host: string(server), Opaque: target}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	} else {
		req.Body, req.ContentLength = nil, 0
	}
	start := time.Now()
	res, err := p.client.Do(ctx, server, req)
	if err != nil {
		return x, err
	}
	defer res.Body.Close()
	x.Status, x.Header = res.StatusCode, res.Header
	x.Body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	x.Took = time.Since(start)
	return x, err
}

// Knock is what a user wants to knock with, or to take a knock back with.
type Knock struct {
	// Server is the resident server to ask.
	Server matrix.ServerName
	Room   matrix.RoomID
	User   matrix.UserID
	// Reason and Displayname go into the event; empty ones are left out.
	Reason, Displayname string
	// Versions are the room versions to offer. Empty: all we know. A leave
	// offers none.
	Versions []string
	// Retract takes the knock back: the handshake is that of a leave.
	Retract bool
}

// membership returns what the event of k makes of the user.
func (k *Knock) membership() string {
	if k.Retract {
		return pdu.Leave
	}
	return pdu.Knock
}

// Endpoints returns the names of the two requests, such as "make_knock" and
// "send_knock".
func (k *Knock) Endpoints() (first, second string) {
	return "make_" + k.membership(), "send_" + k.membership()
}

// Result is how far a knock or leave came. Make is nil where no answer came at
// all, Send where the first request was refused.
type Result struct {
	Make, Send *Exchange
	// Template is the event that the resident server proposed.
	Template []byte
	// Event is what was signed, and EventID its ID.
	Event   []byte
	EventID matrix.EventID
	Version *matrix.RoomVersion
}

// Outcome says how a knock ended.
type Outcome string

// The outcomes.
const (
	Allowed      Outcome = "allowed"
	Denied       Outcome = "denied"
	Incompatible Outcome = "incompatible"
	Failed       Outcome = "failed"
)

// Outcome returns how it ended, from the last answer: 200 to the second request
// is allowed, 403 is denied, M_INCOMPATIBLE_ROOM_VERSION is incompatible.
func (r *Result) Outcome() Outcome {
	last := r.Send
	if last == nil {
		last = r.Make
	}
	if last == nil {
		return Failed
	}
	code, _ := last.Errcode()
	switch {
	case last == r.Send && last.Status == http.StatusOK:
		return Allowed
	case last.Status == http.StatusForbidden && code == "M_FORBIDDEN":
		return Denied
	case code == "M_INCOMPATIBLE_ROOM_VERSION":
		return Incompatible
	}
	return Failed
}

// Knock plays the whole handshake of a knock or a leave. It stops without an error where a server
// refuses; an error is a failure of the exchange, or an answer that breaks the
// specification.
func (p *Peer) Knock(ctx context.Context, k Knock) (*Result, error) {
	r := &Result{}
	first, _ := k.Endpoints()
	var err error
	if r.Make, err = p.Make(ctx, k); err != nil || r.Make.Status != http.StatusOK {
		return r, err
	}
	doc, err := canonicaljson.Parse(r.Make.Body)
	if err != nil {
		return r, fmt.Errorf("the answer to %s: %w", first, err)
	}
	template := doc.Root().Get("event")
	version, _ := doc.Root().Get("room_version").Text()
	var ok bool
	if r.Version, ok = matrix.LookupRoomVersion(version); !ok {
		return r, fmt.Errorf("the answer to %s: room_version %q is not one this program knows", first, version)
	}
	r.Template = template.Canonical()
	if err := CheckTemplate(template, k.membership(), k.Room, k.User); err != nil {
		return r, err
	}
	if r.Event, r.EventID, err = p.SignKnock(template, r.Version, k); err != nil {
		return r, err
	}
	r.Send, err = p.Do(ctx, k.Server, http.MethodPut, k.sendTarget(r.EventID), r.Event)
	return r, err
}

// Make sends make_knock or make_leave.
//
// Spec: Server-Server API, "GET /make_knock" and "GET /make_leave".
func (p *Peer) Make(ctx context.Context, k Knock) (*Exchange, error) {
	target := MakeTarget(k.Room, k.User, k.Versions)
	if k.Retract {
		target = MakeLeaveTarget(k.Room, k.User)
	}
	return p.Do(ctx, k.Server, http.MethodGet, target, nil)
}

func (k *Knock) sendTarget(event matrix.EventID) string {
	if k.Retract {
		return SendLeaveTarget(2, k.Room, event)
	}
	return SendTarget(k.Room, event)
}

// MakeTarget returns the request-target of a make_knock, escaped as Synapse
// does. No versions: all that we know.
func MakeTarget(room matrix.RoomID, user matrix.UserID, versions []string) string {
	if len(versions) == 0 {
		versions = matrix.RoomVersionIDs()
	}
	return target("v1/make_knock", room, user) + "?" + url.Values{"ver": versions}.Encode()
}

// SendTarget returns the request-target of a send_knock.
func SendTarget(room matrix.RoomID, event matrix.EventID) string {
	return target("v1/send_knock", room, event)
}

// MakeLeaveTarget returns the request-target of a make_leave.
func MakeLeaveTarget(room matrix.RoomID, user matrix.UserID) string {
	return target("v1/make_leave", room, user)
}

// SendLeaveTarget returns the request-target of a send_leave of an API version, 1
// or 2.
func SendLeaveTarget(api int, room matrix.RoomID, event matrix.EventID) string {
	return target(fmt.Sprintf("v%d/send_leave", api), room, event)
}

func target[S ~string](endpoint string, room matrix.RoomID, id S) string {
	return "/_matrix/federation/" + endpoint + "/" + escape(string(room)) + "/" + escape(string(id))
}

// escape percent-encodes all but the unreserved characters of RFC 3986.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// CheckTemplate fails unless event is a template that gives user a membership in
// room.
//
// Spec: Server-Server API, "GET /make_knock" and "GET /make_leave", 200: what the
// caller must check.
func CheckTemplate(event canonicaljson.Value, membership string, room matrix.RoomID, user matrix.UserID) error {
	wants := []struct {
		field string
		value canonicaljson.Value
		want  string
	}{
		{"type", event.Get("type"), "m.room.member"},
		{"room_id", event.Get("room_id"), string(room)},
		{"sender", event.Get("sender"), string(user)},
		{"state_key", event.Get("state_key"), string(user)},
		{"content.membership", event.Get("content").Get("membership"), membership},
	}
	var faults []error
	for _, w := range wants {
		if got, ok := w.value.Text(); !ok || got != w.want {
			faults = append(faults, fmt.Errorf("the template's %s is %q, not %q", w.field, got, w.want))
		}
	}
	return errors.Join(faults...)
}

// SignKnock makes the signed event from a template: its content gets what the
// user adds, everything else stays as it was proposed.
func (p *Peer) SignKnock(template canonicaljson.Value, v *matrix.RoomVersion, k Knock) ([]byte, matrix.EventID, error) {
	event := []byte{'{'}
	for key, value := range template.Members() {
		event = canonicaljson.AppendKey(event, string(key))
		if string(key) == "content" {
			event = appendContent(event, value, k)
		} else {
			event = append(event, value.Canonical()...)
		}
		event = append(event, ',')
	}
	event[len(event)-1] = '}'
	return p.Sign(event, v)
}

// appendContent appends the template's content with the user's own fields.
func appendContent(dst []byte, content canonicaljson.Value, k Knock) []byte {
	dst = append(dst, '{')
	for key, value := range content.Members() {
		if s := string(key); s == "reason" || s == "displayname" {
			continue
		}
		dst = canonicaljson.AppendKey(dst, string(key))
		dst = append(append(dst, value.Canonical()...), ',')
	}
	for _, add := range [...]struct{ key, value string }{{"reason", k.Reason}, {"displayname", k.Displayname}} {
		if add.value != "" {
			dst = canonicaljson.AppendKey(dst, add.key)
			dst = append(canonicaljson.AppendString(dst, add.value), ',')
		}
	}
	dst[len(dst)-1] = '}'
	return dst
}

// Sign hashes and signs an event and returns it with its ID. Whether the event
// is one that a server would take is not looked at.
func (p *Peer) Sign(event []byte, v *matrix.RoomVersion) ([]byte, matrix.EventID, error) {
	doc, err := canonicaljson.Parse(event)
	if err != nil {
		return nil, "", fmt.Errorf("event to sign: %w", err)
	}
	signed, err := pdu.Sign(doc, v, p.name, p.key)
	if err != nil {
		return nil, "", err
	}
	if doc, err = canonicaljson.Parse(signed); err != nil {
		return nil, "", fmt.Errorf("signed event: %w", err)
	}
	id, err := pdu.ID(doc, v)
	return signed, id, err
}
