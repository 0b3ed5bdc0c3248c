package appservice

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxPing is the most that is read of the answer to a ping, in bytes.
const maxPing = 64 << 10

// PingError is a homeserver's answer that it does not reach this server.
type PingError struct {
	// Status is the HTTP status.
	Status int
	// Code is the errcode; "" if there is none.
	Code string
	// Message is what the homeserver says.
	Message string
}

// Error returns status, errcode and message.
func (e *PingError) Error() string {
	return fmt.Sprintf("the homeserver answered %d %s: %.200q", e.Status, e.Code, e.Message)
}

// Ping has the homeserver ping this server, as the application service of that ID,
// and returns once it has. A homeserver that had given up for a while pushes again
// at once. It fails with a [*PingError] if the homeserver says that it cannot.
//
// Spec: Application Service API, "Pinging".
func Ping(ctx context.Context, homeserver http.RoundTripper, base *url.URL, id, asToken string) error {
	target := base.JoinPath("/_matrix/client/v1/appservice", id, "ping")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader("{}"))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+asToken)
	r.Header.Set("Content-Type", "application/json")
	response, err := homeserver.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxPing))
	if err != nil || response.StatusCode == http.StatusOK {
		return err
	}
	var answer struct{ Errcode, Error string }
	_ = json.Unmarshal(body, &answer) // or it says nothing that one can read
	return &PingError{Status: response.StatusCode, Code: answer.Errcode, Message: answer.Error}
}
