package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/knockgate/knockgate/host/internal/facts"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/upstream"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Upstream is the homeserver behind this server. target is in origin form.
type Upstream interface {
	// Exchange sends a request on and returns the whole answer.
	Exchange(ctx context.Context, r *http.Request, target string, body []byte) (*upstream.Answer, error)
	// Stream passes a request through, and the answer back.
	Stream(w http.ResponseWriter, r *http.Request, target string, fail func(*matrix.Error))
}

// Outlines tells what is known of a room of upstream's. It does not fail.
type Outlines interface {
	Outline(ctx context.Context, room matrix.RoomID, user matrix.UserID) *knock.Outline
}

// Handed keeps which knocks were handed on.
type Handed interface {
	// HandedOn notes, durably, that an event is about to be.
	HandedOn(ctx context.Context, room matrix.RoomID, user matrix.UserID, event matrix.EventID) error
}

// FrontOptions is what a front is made of. All fields but Outlines and Handed are
// required.
type FrontOptions struct {
	Stages
	Upstream Upstream
	// Outlines says what policies are told of rooms; nil: nothing.
	Outlines Outlines
	// Handed is told of each send_knock before upstream is; nil: nobody is.
	Handed Handed
}

// Front is the federation listener's handler of a server that stands before a
// homeserver: it decides on knocks, hands on what is allowed, and passes all else
// through.
type Front struct {
	FrontOptions
	versions upstream.Versions

	// stopping ends what does not end with its sender; stop cancels it.
	stopping context.Context
	stop     context.CancelFunc
	// running is read-locked by each knock.
	running sync.RWMutex
}

// NewFront returns the handler of a federation listener.
func NewFront(o FrontOptions) *Front {
	f := &Front{FrontOptions: o}
	f.stopping, f.stop = context.WithCancel(context.Background())
	return f
}

// Stop ends the exchanges with upstream that are waited for although their senders
// have left, and returns once they are recorded. What becomes of such a knock at the
// homeserver is not known then.
func (f *Front) Stop() {
	f.stop()
	f.running.Lock()
	defer f.running.Unlock()
}

// errNoVersion says that upstream is no homeserver, or a broken one.
var errNoVersion = errors.New("upstream's answer to a make_knock has no room_version")

// Times for the body of a knock and for the answer to it.
const (
	bodyTime   = 30 * time.Second
	answerTime = 30 * time.Second
)

// ServeHTTP answers one request.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t, ok := readTarget(r.RequestURI)
	switch {
	case !ok:
		writeError(w, matrix.UnrecognizedEndpoint())
	case t.knock == nil:
		w, r := withIdle(w, r)
		f.Upstream.Stream(w, r, t.origin, func(e *matrix.Error) { writeError(w, f.wire(r, e)) })
	case r.Method != t.knock.method:
		writeError(w, matrix.UnrecognizedMethod())
	default:
		f.knock(w, r, &t)
	}
}

// knock takes a knock through the stages.
func (f *Front) knock(w http.ResponseWriter, r *http.Request, t *target) {
	f.running.RLock()
	defer f.running.RUnlock()
	q := requests.Get().(*request)
	defer q.free()
	q.begin(t.knock, f.Now())
	defer q.answered(w)
	deadlines := http.NewResponseController(w)
	// Not every writer has deadlines; the listener's have.
	_ = deadlines.SetReadDeadline(time.Now().Add(bodyTime))
	err := f.admit(r, q)
	_ = deadlines.SetReadDeadline(time.Time{}) // or its end would end the context too
	var a *upstream.Answer
	if err == nil && t.knock.phase == abi.MakeKnock {
		a, err = f.make(r, q, t)
	} else if err == nil {
		a, err = f.send(r, q, t)
	}
	_ = deadlines.SetWriteDeadline(time.Now().Add(answerTime))
	defer func() { _ = deadlines.SetWriteDeadline(time.Time{}) }() // the connection may have more requests
	if err != nil {
		f.refuse(w, r, q, err)
		return
	}
	relay(w, a)
}

// make answers a make_knock.
func (f *Front) make(r *http.Request, q *request, t *target) (*upstream.Answer, error) {
	roomText, userText, err := unescape(t.first, t.second)
	if err != nil {
		return nil, err
	}
	m, err := knock.ParseMake(roomText, userText, r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if err := m.CheckOrigin(q.Origin); err != nil {
		return nil, err
	}
	ctx := r.Context()
	room := f.outline(ctx, m.Room, m.User)
	q.stage(&q.record.Took.Protocol)

	told := facts.ForMakeOutline(q.Request, m, room)
	f.ask(ctx, q, &told)
	if q.decision.Verdict == abi.Incompatible && room.VersionID == "" {
		return f.incompatible(r, q, t, m.Room)
	}
	if refusal := answer(&q.decision, room.VersionID, f.reference(q)); refusal != nil {
		f.finish(q, refusal)
		return nil, refusal
	}
	a, err := f.Upstream.Exchange(ctx, r, t.origin, nil)
	if err == nil {
		version := a.RoomVersion(&q.doc) // a make_knock has no body of its own
		if a.Status == http.StatusOK && version == "" {
			a, err = nil, matrix.BadGateway(errNoVersion)
		}
		f.versions.Put(m.Room, version)
	}
	return f.acted(q, a, err)
}

// send answers a send_knock.
func (f *Front) send(r *http.Request, q *request, t *target) (*upstream.Answer, error) {
	roomText, eventText, err := unescape(t.first, t.second)
	if err != nil {
		return nil, err
	}
	s, err := knock.ParseSend(pdu.Knock, roomText, eventText)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	version, err := f.versionFor(q, s, f.versions.Get(s.Room))
	if err != nil {
		return nil, err
	}
	ev, err := f.Events.Check(ctx, s, &q.doc, version, q.Origin)
	if err != nil {
		return nil, err
	}
	room := f.outline(ctx, s.Room, ev.Sender())
	if v := room.VersionID; v != "" && v != version.ID {
		// Only now is it known: what was checked was checked by another's rules.
		if version, err = f.versionFor(q, s, v); err != nil {
			return nil, err
		}
		if ev, err = f.Events.Check(ctx, s, &q.doc, version, q.Origin); err != nil {
			return nil, err
		}
	}
	q.stage(&q.record.Took.Protocol)

	told := facts.ForSendOutline(q.Request, ev, room)
	q.record.Event = ev.ID()
	f.ask(ctx, q, &told)
	refusal := answer(&q.decision, room.VersionID, f.reference(q))
	if q.decision.Verdict == abi.Incompatible && room.VersionID == "" {
		// The answer must name the version, and nobody has said it. The policy's
		// no stands all the same.
		refusal = matrix.Forbidden("%s", refusal.Message)
	}
	if refusal != nil {
		f.finish(q, refusal)
		return nil, refusal
	}
	// Allowed, so it is finished, even if its sender does not wait: a retry is the
	// same event.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(f.stopping, cancel)()
	if f.Handed != nil {
		if err := f.Handed.HandedOn(ctx, s.Room, ev.Sender(), ev.ID()); err != nil {
			f.Log.LogAttrs(ctx, slog.LevelError, "a knock is handed on and could not be noted; it will be listed as undecided",
				slog.String("request", q.ID), slog.Any("err", err))
		}
	}
	a, err := f.Upstream.Exchange(ctx, r, t.origin, q.body)
	return f.acted(q, a, err)
}

// outline returns what is known of a room. Its version, once it was told, is
// remembered.
func (f *Front) outline(ctx context.Context, room matrix.RoomID, user matrix.UserID) *knock.Outline {
	o := &knock.Outline{ID: room}
	if f.Outlines != nil {
		o = f.Outlines.Outline(ctx, room, user)
	}
	if o.VersionID == "" {
		o.VersionID = f.versions.Get(room)
	} else {
		f.versions.Put(room, o.VersionID)
	}
	return o
}

// versionFor returns the rules that the event of q is checked by: those of the
// room's version, or where that is not known those that give the event its ID.
func (f *Front) versionFor(q *request, s *knock.Send, id string) (*matrix.RoomVersion, error) {
	if id == "" {
		return s.Class(&q.doc)
	}
	v, ok := matrix.LookupRoomVersion(id)
	if !ok {
		return nil, matrix.Forbidden("This room version does not support knocking")
	}
	return v, nil
}

// incompatible answers a make_knock that a policy called incompatible, on a room
// whose version nobody has said. The template that upstream would give says it, and
// goes no further. Where upstream refuses, its refusal is the answer; where it
// cannot be asked, the policy's no is.
func (f *Front) incompatible(r *http.Request, q *request, t *target, room matrix.RoomID) (*upstream.Answer, error) {
	message := or(q.decision.Message, incompatibleMessage)
	a, err := f.Upstream.Exchange(r.Context(), r, t.origin, nil)
	if err == nil {
		if version := a.RoomVersion(&q.doc); version != "" {
			f.versions.Put(room, version)
			refusal := matrix.IncompatibleRoomVersion(version, message)
			f.finish(q, refusal)
			return nil, refusal
		}
		if a.Status != http.StatusOK {
			f.close(q, a.Status, a.Errcode())
			return a, nil
		}
		err = errNoVersion
	}
	f.Log.LogAttrs(r.Context(), slog.LevelWarn, "a room's version could not be learnt; the knock is forbidden instead of incompatible",
		slog.String("request", q.ID), slog.String("room", string(room)), slog.Any("err", err))
	refusal := matrix.Forbidden("%s", message)
	f.finish(q, refusal)
	return nil, refusal
}

// acted records an allowed knock with what upstream answered.
func (f *Front) acted(q *request, a *upstream.Answer, err error) (*upstream.Answer, error) {
	if err != nil {
		f.finish(q, err)
		return nil, err
	}
	if a.Status == http.StatusOK {
		f.close(q, a.Status, "")
	} else {
		f.close(q, a.Status, a.Errcode())
	}
	return a, nil
}

// relay answers with what upstream answered.
func relay(w http.ResponseWriter, a *upstream.Answer) {
	h := w.Header()
	for name, values := range a.Header {
		h[name] = values
	}
	h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	// The peer may be gone; there is no one left to tell.
	_, _ = w.Write(a.Body)
}
