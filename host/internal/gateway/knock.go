package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/facts"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/permits"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// MaxBody is the largest body of a send_knock or send_leave, in bytes. An event is at most
// 65,536 bytes as canonical JSON; escapes and white space can double that.
const MaxBody = 128 << 10

// request is one knock or leave on its way through the stages. Requests are pooled: the
// buffers of the parse and the decision serve the next one.
type request struct {
	facts.Request
	*endpoint
	body     []byte
	doc      canonicaljson.Doc
	decision plugins.Decision
	record   decisionlog.Record
	mark     time.Time // when the running stage began
	permit   permits.Held
	held     bool // permit is claimed
}

var requests = sync.Pool{New: func() any { return new(request) }}

// handle makes the handler of one endpoint.
func (g *Gateway) handle(e *endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := requests.Get().(*request)
		defer q.free()
		q.begin(e, g.Now())
		defer q.answered(w)
		body, err := g.serve(r, q)
		if err != nil {
			g.refuse(w, r, q, err)
			return
		}
		writeJSON(w, http.StatusOK, body)
	})
}

// serve takes a request through the stages that all endpoints share, and then
// through its own.
func (g *Gateway) serve(r *http.Request, q *request) ([]byte, error) {
	if err := g.admit(r, q); err != nil {
		return nil, err
	}
	return q.answer(g, r.Context(), r, q)
}

// admit reads the body of a PUT, finds out who sent the request and whether they
// may.
func (s *Stages) admit(r *http.Request, q *request) error {
	credentials, err := s.Auth.Parse(r.Header)
	if err != nil {
		return err
	}
	var content []byte
	if q.method == http.MethodPut {
		if content, err = q.readBody(r); err != nil {
			return err
		}
	}
	if q.Origin, err = s.Auth.Check(r.Context(), credentials, r.Method, r.RequestURI, content); err != nil {
		return err
	}
	if err := s.Origins.Admit(q.Origin, q.At); err != nil {
		return err
	}
	q.stage(&q.record.Took.Auth)
	return nil
}

// refuse answers with what err is to the peer, and logs it.
func (s *Stages) refuse(w http.ResponseWriter, r *http.Request, q *request, err error) {
	wire := s.wire(r, err)
	if !q.record.Recorded() {
		s.Observer.Refused(q.name, wire)
		s.logRefusal(r, q, wire)
	}
	writeError(w, wire)
}

// make answers a make_knock.
func (g *Gateway) make(ctx context.Context, r *http.Request, q *request) ([]byte, error) {
	roomText, userText, err := segments(r, "room", "user")
	if err != nil {
		return nil, err
	}
	m, err := knock.ParseMake(roomText, userText, r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	room, err := g.roomFor(ctx, q, m.Member)
	if err != nil {
		return nil, err
	}
	if !m.Supports(room.VersionID) {
		return nil, matrix.IncompatibleRoomVersion(room.VersionID, incompatibleMessage)
	}
	if room.Version == nil {
		return nil, matrix.Forbidden("This room version does not support knocking")
	}
	if err := pdu.MayKnock(room.Version, m.User, room.AuthState(m.User)); err != nil {
		return nil, err
	}
	q.stage(&q.record.Took.Protocol)

	f := facts.ForMake(q.Request, m, room)
	if err := g.decide(ctx, q, &f); err != nil {
		return nil, err
	}
	body, err := g.Templates.Template(ctx, room, m.User)
	g.finish(q, err)
	return body, err
}

// send answers a send_knock.
func (g *Gateway) send(ctx context.Context, r *http.Request, q *request) ([]byte, error) {
	room, ev, err := g.event(ctx, r, q, pdu.Knock)
	if err != nil {
		return nil, err
	}
	stored, err := g.Knocks.Stored(ctx, room.ID, ev.ID())
	if err != nil {
		return nil, err
	}
	if stored {
		// A retry of what was decided and accepted: answered, not judged again.
		return g.Knocks.Accept(ctx, room, ev)
	}
	if err := g.Knocks.Check(ctx, room, ev); err != nil {
		return nil, err
	}
	q.stage(&q.record.Took.Protocol)

	f := facts.ForSend(q.Request, ev, room)
	q.record.Event = ev.ID()
	if err := g.decide(ctx, q, &f); err != nil {
		return nil, err
	}
	body, err := g.Knocks.Accept(ctx, room, ev)
	g.finish(q, err)
	return body, err
}

// event reads the event of a send_knock or send_leave and finds its room.
func (g *Gateway) event(ctx context.Context, r *http.Request, q *request, membership string) (*knock.Room, *pdu.Event, error) {
	roomText, eventText, err := segments(r, "room", "event")
	if err != nil {
		return nil, nil, err
	}
	s, err := knock.ParseSend(membership, roomText, eventText)
	if err != nil {
		return nil, nil, err
	}
	room, err := g.room(ctx, q, s.Room)
	if err != nil {
		return nil, nil, err
	}
	if room.Version == nil {
		return nil, nil, matrix.Forbidden("This room version does not support knocking")
	}
	ev, err := g.Events.Check(ctx, s, &q.doc, room.Version, q.Origin)
	return room, ev, err
}

// roomFor finds the room of a make_knock or make_leave for a user of the origin.
func (g *Gateway) roomFor(ctx context.Context, q *request, m knock.Member) (*knock.Room, error) {
	if err := m.CheckOrigin(q.Origin); err != nil {
		return nil, err
	}
	return g.room(ctx, q, m.Room)
}

// room finds the room and holds its server ACL against the origin.
//
// Spec: Server-Server API, "Server Access Control Lists (ACLs)".
func (g *Gateway) room(ctx context.Context, q *request, id matrix.RoomID) (*knock.Room, error) {
	room, err := g.Rooms.Room(ctx, id)
	if err != nil {
		return nil, err
	}
	if room.ACL != nil && !pdu.ACLAllows(room.ACL.Content(), q.Origin) {
		return nil, matrix.Forbidden("Server is banned from room")
	}
	return room, nil
}

// decide asks the policies. It returns nil for allow, and else the refusal,
// already recorded.
func (g *Gateway) decide(ctx context.Context, q *request, f *abi.Facts) error {
	g.ask(ctx, q, f)
	refusal := answer(&q.decision, f.RoomVersion, g.reference(q))
	if refusal == nil {
		return nil
	}
	g.finish(q, refusal)
	return refusal
}

// ask has the policies fill q's decision.
func (s *Stages) ask(ctx context.Context, q *request, f *abi.Facts) {
	s.Policies.Decide(ctx, f, &q.decision)
	s.permit(q, f)
	q.stage(&q.record.Took.Policies)
	q.record.Asked(f)
}

// finish records the decision with what became of it.
func (s *Stages) finish(q *request, err error) {
	var wire *matrix.Error
	if errors.As(err, &wire) {
		s.close(q, wire.Status, wire.Code)
	} else if err != nil {
		s.close(q, http.StatusInternalServerError, "M_UNKNOWN")
	} else {
		s.close(q, http.StatusOK, "")
	}
}

// close records the decision with the answer to the peer.
func (s *Stages) close(q *request, status int, errcode string) {
	q.stage(&q.record.Took.Act)
	q.record.Took.Total = time.Since(q.At)
	q.record.Decided(&q.decision)
	q.record.Status, q.record.Errcode = status, errcode
	q.settle(status)
	s.Recorder.Record(&q.record)
}

func (q *request) begin(e *endpoint, now time.Time) {
	q.endpoint, q.At, q.mark = e, now, now
	q.ID, q.Origin = newRequestID(), ""
	q.record.Reset()
	q.record.RequestID, q.record.At, q.record.Phase = q.ID, now, e.phase
}

// answered has the policies in monitor mode asked, once the answer has left:
// a small one would else wait in the server's buffer.
func (q *request) answered(w http.ResponseWriter) {
	if q.decision.Pending() {
		// The peer may be gone; its answer is over all the same.
		_ = http.NewResponseController(w).Flush()
		q.decision.Answered()
	}
}

// free gives the buffers back, which MaxBody bounds.
func (q *request) free() {
	q.settle(0) // what was under way may have panicked
	q.body = q.body[:0]
	requests.Put(q)
}

// stage adds the time since the last stage to one stage's account.
func (q *request) stage(account *time.Duration) {
	now := time.Now()
	*account += now.Sub(q.mark)
	q.mark = now
}

// readBody reads and parses the body, and returns it as canonical JSON.
func (q *request) readBody(r *http.Request) ([]byte, error) {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, matrix.NotJSON("the body is encoded as %q; send plain JSON", enc)
	}
	if r.ContentLength > MaxBody {
		return nil, matrix.TooLarge("the body is over %d bytes", MaxBody)
	}
	if q.body == nil {
		q.body = make([]byte, 0, 4096)
	}
	body := io.LimitReader(r.Body, MaxBody+1)
	for {
		if len(q.body) == cap(q.body) {
			q.body = append(q.body, 0)[:len(q.body)]
		}
		n, err := body.Read(q.body[len(q.body):cap(q.body)])
		q.body = q.body[:len(q.body)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, matrix.NotJSON("the body ended early").Because(err)
		}
	}
	if len(q.body) > MaxBody {
		return nil, matrix.TooLarge("the body is over %d bytes", MaxBody)
	}
	if err := q.doc.Parse(q.body); err != nil {
		var syntax *canonicaljson.SyntaxError
		if errors.As(err, &syntax) {
			return nil, matrix.NotJSON("the body is not JSON: %v", err)
		}
		return nil, matrix.BadJSON("the body: %v", err)
	}
	if q.doc.Root().Kind() != canonicaljson.Object {
		return nil, matrix.BadJSON("the body is no JSON object")
	}
	return q.doc.Bytes(), nil
}

// segments returns two segments of the path, each percent-decoded once.
func segments(r *http.Request, first, second string) (string, string, error) {
	vars := mux.Vars(r)
	return unescape(vars[first], vars[second])
}

// unescape percent-decodes two segments of a path once.
func unescape(first, second string) (string, string, error) {
	a, errA := url.PathUnescape(first)
	b, errB := url.PathUnescape(second)
	if err := errors.Join(errA, errB); err != nil {
		return "", "", matrix.InvalidParam("the path is not percent-encoded text")
	}
	return a, b, nil
}

// newRequestID returns an identifier for logs and records: 50 random bits.
func newRequestID() string { return rand.Text()[:10] }

// logRefusal writes the line of a request that the protocol refused. A
// policy's refusal has its own line, by the recorder.
func (s *Stages) logRefusal(r *http.Request, q *request, e *matrix.Error) {
	level := slog.LevelInfo
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusTooManyRequests:
		level = slog.LevelDebug // anyone can make these, as many as they like
	case e.Status >= 500:
		return // wire has logged it
	}
	s.Log.LogAttrs(r.Context(), level, "refused by the protocol",
		slog.String("request", q.ID), slog.String("phase", q.name), slog.String("origin", string(q.Origin)),
		slog.Int("status", e.Status), slog.String("errcode", e.Code), slog.String("err", e.Error()))
}
