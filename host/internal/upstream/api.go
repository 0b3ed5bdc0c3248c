package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

const (
	// maxToken bounds a file with an access token.
	maxToken = 4 << 10
	// maxRefusal bounds what is read of an answer that is a refusal.
	maxRefusal = 64 << 10
)

// API is an API of the homeserver's that takes an access token.
type API struct {
	// URL is its scheme and address.
	URL *url.URL
	// Token returns the access token.
	Token func() (string, error)
	// Upstream lends its connections.
	Upstream *Upstream
}

// TokenFile returns a function that reads the token in a file, each time anew, so
// that it can be replaced.
func TokenFile(path string) func() (string, error) {
	return func() (string, error) {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxToken))
		token := strings.TrimSpace(string(b))
		if err == nil && (token == "" || strings.ContainsAny(token, " \t\r\n")) {
			err = fmt.Errorf("%s: is not one token on one line", path)
		}
		return token, err
	}
}

// errTooLong says that an answer was not read to its end.
var errTooLong = errors.New("it answered with more")

// get asks for a path and decodes the answer, of at most most bytes, into v. A
// refusal is an error, but for those whose errcode is among absent: they say that
// there is no such thing.
func (a *API) get(ctx context.Context, path string, most int64, v any, absent ...string) (found bool, err error) {
	answer, err := a.open(ctx, path, absent...)
	if answer == nil {
		return false, err
	}
	defer answer.Close()
	body, err := io.ReadAll(io.LimitReader(answer, most+1))
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if int64(len(body)) > most {
		return false, fmt.Errorf("%s: %w than %d bytes", path, errTooLong, most)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
}

// open asks for a path and returns the answer, which the caller closes. It is nil where
// there is an error, and where the refusal's errcode is among absent.
func (a *API) open(ctx context.Context, path string, absent ...string) (io.ReadCloser, error) {
	token, err := a.Token()
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL.Scheme+"://"+a.URL.Host+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := a.Upstream.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	errcode := (&Answer{Body: body}).Errcode()
	for _, code := range absent {
		if response.StatusCode >= 400 && response.StatusCode < 500 && errcode == code {
			return nil, nil
		}
	}
	said := strings.ReplaceAll(string(body), token, "[the token]") // for the log, which has none
	return nil, fmt.Errorf("%s: it answered %d: %.200q", path, response.StatusCode, said)
}

// text is a JSON string. What is none is "": whoever wrote an event chose its types.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	if b[0] == '"' {
		return json.Unmarshal(b, (*string)(t))
	}
	return nil
}

// integer is a JSON number that is whole. What is none is not there.
type integer struct {
	value int64
	there bool
}

func (i *integer) UnmarshalJSON(b []byte) error {
	i.there = json.Unmarshal(b, &i.value) == nil && b[0] != 'n'
	return nil
}
