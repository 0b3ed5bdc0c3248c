package notices

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// maxAnswer is the most that is read of a target's answer, in bytes.
const maxAnswer = 64 << 10

// client sends requests to targets: each on a connection of its own, since they are
// few, and to nowhere else than was said.
var client = &http.Client{
	Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: sendTime, MaxResponseHeaderBytes: maxAnswer,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// request sends a JSON body, with the token if there is one. Anything but a 2xx is an
// error, which has neither the URL nor what was answered.
func request(ctx context.Context, method, to string, body any, token func() (string, error)) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // it would make six bytes of one
	if err := enc.Encode(body); err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, to, &text)
	if err != nil {
		return errors.New("its URL cannot be asked for")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Knockgate")
	if token != nil {
		secret, err := token()
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	answer, err := client.Do(r)
	if err != nil {
		var outer *url.Error // says the URL, which may be a secret
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return err
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // the status is what counts
	switch {
	case answer.StatusCode >= 200 && answer.StatusCode < 300:
		return nil
	case answer.StatusCode >= 300 && answer.StatusCode < 400:
		return fmt.Errorf("it answered %d; redirects are not followed", answer.StatusCode)
	}
	return fmt.Errorf("it answered %d%s", answer.StatusCode, errcode(said))
}

// errcode returns the errcode of a Matrix error, behind a space; "" if it is none.
func errcode(answer []byte) string {
	var e struct {
		Errcode string `json:"errcode"`
	}
	if json.Unmarshal(answer, &e) != nil || e.Errcode == "" || len(e.Errcode) > 64 {
		return ""
	}
	for _, r := range e.Errcode {
		if !(r == '_' || r == '.' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9') {
			return ""
		}
	}
	return " " + e.Errcode
}

// Webhook is a URL that digests are posted to.
type Webhook struct {
	URL *url.URL
	// Token returns the bearer token; nil: there is none.
	Token func() (string, error)
}

// Name returns the host, as the rest of the URL may be a secret.
func (w *Webhook) Name() string { return "webhook " + w.URL.Host }

// Kind returns "webhook".
func (w *Webhook) Kind() string { return "webhook" }

// Send posts a digest.
func (w *Webhook) Send(ctx context.Context, d *Digest) error {
	type notice struct {
		Kind   Kind   `json:"kind"`
		Count  int64  `json:"count"`
		Class  string `json:"class,omitempty"`
		Policy string `json:"policy,omitempty"`
		Origin string `json:"origin,omitempty"`
		Room   string `json:"room_id,omitempty"`
		Detail string `json:"detail,omitempty"`
	}
	body := struct {
		ID      string         `json:"id"`
		Server  string         `json:"server"`
		From    time.Time      `json:"from"`
		To      time.Time      `json:"to"`
		Text    string         `json:"text"`
		Notices []notice       `json:"notices"`
		More    map[Kind]int64 `json:"more,omitempty"`
	}{ID: d.id, Server: d.server, From: d.from.UTC(), To: d.to.UTC(), More: d.more}
	body.Text, _ = d.texts()
	for _, g := range d.groups {
		body.Notices = append(body.Notices, notice{g.Kind, g.count, g.Class, g.Policy, g.Origin, g.Room, g.Detail})
	}
	return request(ctx, http.MethodPost, w.URL.String(), &body, w.Token)
}

// Room is a Matrix room that digests are sent to.
type Room struct {
	// Homeserver is where the client-server API is: a scheme and an address.
	Homeserver *url.URL
	Room       matrix.RoomID
	// Token returns the access token of a user who has joined the room.
	Token func() (string, error)
}

// Name returns the room.
func (r *Room) Name() string { return "room " + string(r.Room) }

// Kind returns "room".
func (r *Room) Kind() string { return "room" }

// Send sends a digest as an m.notice, which mentions nobody. The same digest has the
// same transaction ID, so that it is in the room once.
//
// Spec: Client-Server API, "PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}".
func (r *Room) Send(ctx context.Context, d *Digest) error {
	body := struct {
		Type      string   `json:"msgtype"`
		Body      string   `json:"body"`
		Format    string   `json:"format"`
		Formatted string   `json:"formatted_body"`
		Mentions  struct{} `json:"m.mentions"`
	}{Type: "m.notice", Format: "org.matrix.custom.html"}
	body.Body, body.Formatted = d.texts()
	to := r.Homeserver.String() + "/_matrix/client/v3/rooms/" + url.PathEscape(string(r.Room)) + "/send/m.room.message/knockgate-" + d.id
	return request(ctx, http.MethodPut, to, &body, r.Token)
}
