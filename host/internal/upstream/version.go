package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxSmall bounds what the homeserver says of itself.
const maxSmall = 64 << 10

// Get fetches a small thing that anybody may have from the homeserver. It fails if
// there is no answer, or one that is longer than 64 KiB.
func (u *Upstream) Get(ctx context.Context, target string) (status int, body []byte, err error) {
	r := (&http.Request{Method: http.MethodGet, URL: u.url(target), Header: http.Header{"User-Agent": {"knockgate"}}}).WithContext(ctx)
	response, err := u.transport.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(response.Body, maxSmall+1)); err != nil {
		return 0, nil, err
	}
	if len(body) > maxSmall {
		return 0, nil, fmt.Errorf("answered %d with more than %d bytes", response.StatusCode, maxSmall)
	}
	return response.StatusCode, body, nil
}

// Version asks the homeserver which program it is, such as "Synapse 1.160.0". It
// fails if it does not answer as a homeserver does on its federation port.
//
// Spec: Server-Server API, "GET /_matrix/federation/v1/version".
func (u *Upstream) Version(ctx context.Context) (string, error) {
	const target = "/_matrix/federation/v1/version"
	status, body, err := u.Get(ctx, target)
	if err != nil {
		return "", fmt.Errorf("%s does not answer: %w", u.URL, err)
	}
	var said struct {
		Server struct{ Name, Version string }
	}
	if err := json.Unmarshal(body, &said); status != http.StatusOK || err != nil {
		return "", fmt.Errorf("%s answers GET %s with %d %.100q: not as a homeserver's federation port does", u.URL, target, status, body)
	}
	return fmt.Sprintf("%.64s %.64s", said.Server.Name, said.Server.Version), nil
}
