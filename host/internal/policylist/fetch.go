package policylist

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// fetchTime is for one fetch, whatever it brings.
	fetchTime = time.Minute
	// maxETag is the longest entity tag that is kept.
	maxETag = 256
	// maxRedirects is how many are followed, each to https or to where it began.
	maxRedirects = 3
)

// source is a list that is fetched from a URL. Its last good copy is kept in a file,
// whose first line says where it is from.
type source struct {
	url    *url.URL
	client *http.Client
	copy   string // the file
	etag   string
}

// errUnchanged says that the copy is what the server still has.
var errUnchanged = errors.New("unchanged")

// fetch returns the list as the server has it now, once it is checked and the copy
// is replaced; errUnchanged if the server says that it has not changed.
func (s *source) fetch(ctx context.Context) (*set, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), nil)
	if err != nil {
		return nil, err
	}
	if s.etag != "" {
		r.Header.Set("If-None-Match", s.etag)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusNotModified && s.etag != "":
		now := time.Now() // the copy's time is when the server last had it
		return nil, errors.Join(errUnchanged, os.Chtimes(s.copy, now, now))
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %s", s.url.Redacted(), answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxText+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.url.Redacted(), err)
	}
	etag := answer.Header.Get("ETag")
	if len(etag) > maxETag || strings.ContainsFunc(etag, func(r rune) bool { return r < ' ' || r > '~' }) {
		etag = ""
	}
	var whole bytes.Buffer
	fmt.Fprintf(&whole, "%s%s\n", s.from(), etag)
	whole.Write(bytes.TrimPrefix(text, []byte("\ufeff")))
	list, err := readFrom(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.url.Redacted(), err)
	}
	if err := replace(s.copy, whole.Bytes()); err != nil {
		return nil, err
	}
	s.etag, list.modified = etag, time.Now()
	return list, nil
}

// from returns what the copy's first line begins with.
func (s *source) from() string { return "# from " + s.url.String() + " " }

// load returns the list of the copy, and takes its entity tag. It fails with
// fs.ErrNotExist where there is no copy, or one from another URL.
func (s *source) load() (*set, error) {
	etag, text, modified, err := openCopy(s.copy, s.from())
	if err != nil {
		return nil, err
	}
	list, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.copy, err)
	}
	s.etag, list.modified = etag, modified
	return list, nil
}

// openCopy returns what a copy's first line has after from, and the rest. It fails
// with fs.ErrNotExist where there is no copy, or one from elsewhere.
func openCopy(path, from string) (rest string, text []byte, modified time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", nil, modified, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", nil, modified, err
	}
	r := bufio.NewReader(f)
	head, err := r.ReadString('\n')
	if err != nil && err != io.EOF {
		return "", nil, modified, err
	}
	rest, ours := strings.CutPrefix(strings.TrimSuffix(head, "\n"), from)
	if !ours {
		return "", nil, modified, fmt.Errorf("%s: from elsewhere: %w", path, fs.ErrNotExist)
	}
	if text, err = readText(r); err != nil {
		return "", nil, modified, fmt.Errorf("%s: %w", path, err)
	}
	return rest, text, info.ModTime(), nil
}

// newClient returns what fetches lists: no cookies, no credentials of another host,
// and never from https to http.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true // once an hour needs no connection
	return &http.Client{
		Transport: t,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			if r.URL.Scheme != "https" && (r.URL.Scheme != via[0].URL.Scheme || r.URL.Host != via[0].URL.Host) {
				return fmt.Errorf("redirected to %s, which is not https", r.URL.Redacted())
			}
			return nil
		},
	}
}

// replace writes a file in one step, durably.
func replace(path string, text []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
