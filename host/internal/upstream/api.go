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

// maxToken bounds a file with an access token.
const maxToken = 4 << 10

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
	token, err := a.Token()
	if err != nil {
		return false, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL.Scheme+"://"+a.URL.Host+path, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := a.Upstream.transport.RoundTrip(r)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		errcode := (&Answer{Body: body}).Errcode()
		for _, code := range absent {
			if response.StatusCode >= 400 && response.StatusCode < 500 && errcode == code {
				return false, nil
			}
		}
		said := strings.ReplaceAll(string(body), token, "[the token]") // for the log, which has none
		return false, fmt.Errorf("%s: it answered %d: %.200q", path, response.StatusCode, said)
	}
	if int64(len(body)) > most {
		return false, fmt.Errorf("%s: %w than %d bytes", path, errTooLong, most)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
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
