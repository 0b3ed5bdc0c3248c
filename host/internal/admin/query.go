package admin

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// query reads parameters, each of which stands once and is known.
type query struct {
	values url.Values
	err    error // the first
}

func newQuery(r *http.Request) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &query{err: fmt.Errorf("%w: the query: %w", ErrInvalid, err)}
	}
	return &query{values: values}
}

func (q *query) fault(name, format string, args ...any) {
	if q.err == nil {
		q.err = fmt.Errorf("%w: %.64q %s", ErrInvalid, name, fmt.Sprintf(format, args...))
	}
}

// text returns a parameter, "" where it is not given.
func (q *query) text(name string) string {
	list := q.values[name]
	delete(q.values, name)
	switch {
	case len(list) == 0:
		return ""
	case len(list) > 1:
		q.fault(name, "stands %d times", len(list))
	}
	return list[0]
}

func (q *query) flag(name string) bool {
	text := q.text(name)
	if text != "" && text != "true" && text != "false" {
		q.fault(name, "is %.64q; true or false", text)
	}
	return text == "true"
}

func (q *query) number(name string, most int64) int64 {
	text := q.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		q.fault(name, "is %.64q; a whole number from 0 to %d", text, most)
		return 0
	}
	return n
}

// time returns a time in RFC 3339, or a duration before now such as 24h.
func (q *query) time(name string, now time.Time) time.Time {
	text := q.text(name)
	if text == "" {
		return time.Time{}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d)
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		q.fault(name, "is %.64q; a time such as 2026-01-31T12:00:00Z, or how long ago, such as 24h", text)
	}
	return at
}

func (q *query) duration(name string, otherwise time.Duration) time.Duration {
	text := q.text(name)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		q.fault(name, "is %.64q; a time such as 5m", text)
		return otherwise
	}
	return d
}

// failed answers what is wrong with the query, if anything is.
func (q *query) failed(w http.ResponseWriter) bool {
	for _, name := range slices.Sorted(maps.Keys(q.values)) {
		q.fault(name, "is no parameter of this")
	}
	if q.err != nil {
		fail(w, http.StatusBadRequest, q.err)
	}
	return q.err != nil
}
