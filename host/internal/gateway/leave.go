package gateway

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// makeLeave answers a make_leave. No policy is asked, here or by send_leave: a
// policy says who may knock, and a knock can be taken back by whoever made it.
func (g *Gateway) makeLeave(ctx context.Context, r *http.Request, q *request) ([]byte, error) {
	roomText, userText, err := segments(r, "room", "user")
	if err != nil {
		return nil, err
	}
	m, err := knock.ParseMember(roomText, userText)
	if err != nil {
		return nil, err
	}
	room, err := g.roomFor(ctx, q, m)
	if err != nil {
		return nil, err
	}
	return g.Templates.LeaveTemplate(ctx, room, m.User)
}

// sendLeave answers a send_leave with the body of its version of the API.
func sendLeave(body string) func(*Gateway, context.Context, *http.Request, *request) ([]byte, error) {
	return func(g *Gateway, ctx context.Context, r *http.Request, q *request) ([]byte, error) {
		room, ev, err := g.event(ctx, r, q, pdu.Leave)
		if err != nil {
			return nil, err
		}
		if err := g.Knocks.Leave(ctx, room, ev); err != nil {
			return nil, err
		}
		g.Log.LogAttrs(ctx, slog.LevelInfo, "left",
			slog.String("request", q.ID), slog.String("origin", string(q.Origin)), slog.String("room", string(room.ID)),
			slog.String("user", string(ev.Sender())), slog.String("event", string(ev.ID())))
		return []byte(body), nil
	}
}
