package admin

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	// MaxList is the most decisions of one list.
	MaxList = 500
	// maxListeners is how many may listen to new decisions at one time, lookEvery how
	// often they are looked for, and beatEvery how often a listener to whom there is
	// nothing to tell is told so.
	maxListeners = 8
	lookEvery    = time.Second
	beatEvery    = 15 * time.Second
	// lineTime is how long a listener may take for what it is told.
	lineTime = 30 * time.Second
	// MaxSteps is the most steps of an overview.
	MaxSteps = 2000
)

// filter reads what narrows a list of decisions.
func (a *api) filter(q *query) DecisionFilter {
	return DecisionFilter{
		Monitor: q.flag("monitor"), Faults: q.flag("faults"),
		Room: q.text("room"), User: q.text("user"), Verdict: q.text("verdict"), Origin: q.text("origin"),
		Policy: q.text("policy"), Code: q.text("code"), Phase: q.text("phase"), Request: q.text("request"),
		Since: q.time("since", a.Now()), After: q.number("after", math.MaxInt64), Before: q.number("before", math.MaxInt64),
		Limit: int(q.number("limit", MaxList)),
	}
}

func (a *api) decisions(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r)
	f := a.filter(q)
	if q.failed(w) {
		return
	}
	list, err := a.Decisions.Decisions(r.Context(), f)
	answer(w, orEmpty(list), err)
}

func (a *api) decision(w http.ResponseWriter, r *http.Request) {
	d, err := a.Decisions.Decision(r.Context(), r.PathValue("reference"))
	answer(w, d, err)
}

func (a *api) overview(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r)
	now := a.Now()
	since := q.time("since", now)
	if since.IsZero() {
		since = now.Add(-24 * time.Hour)
	}
	step := q.duration("step", time.Hour)
	if step%time.Minute != 0 || now.Sub(since)/step > MaxSteps {
		q.fault("step", "is %s; whole minutes, and at most %d steps since %s", step, MaxSteps, since.Format(time.RFC3339))
	}
	if q.failed(w) {
		return
	}
	o, err := a.Decisions.Overview(r.Context(), since, step)
	answer(w, o, err)
}

// events tells of new decisions as they come, as server-sent events: "decision" with
// one as JSON and its number as the event's ID, and "skipped" where there were more at
// once than are told, with the lowest number of those that are. A client that comes
// back with Last-Event-ID misses none.
func (a *api) events(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r)
	if last := r.Header.Get("Last-Event-ID"); last != "" && !q.values.Has("after") && q.values != nil {
		q.values.Set("after", last)
	}
	f := a.filter(q)
	if f.Before != 0 || f.Limit != 0 {
		q.fault("before", "and limit are not for what is still to come")
	}
	if q.failed(w) {
		return
	}
	select {
	case a.listeners <- struct{}{}:
		defer func() { <-a.listeners }()
	default:
		busy(w, fmt.Sprintf("%d listen already, which is the most", maxListeners))
		return
	}
	if f.After == 0 {
		newest, err := a.Decisions.Decisions(r.Context(), DecisionFilter{Monitor: f.Monitor, Limit: 1})
		if err != nil {
			answer(w, nil, err)
			return
		}
		if len(newest) > 0 {
			f.After = newest[0].ID
		}
	}
	f.Limit = MaxList
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_ = a.listen(w, r, f)
}

// listen tells of new decisions until the listener goes away or the store fails.
func (a *api) listen(w http.ResponseWriter, r *http.Request, f DecisionFilter) error {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	send := func(text []byte) error {
		_ = c.SetWriteDeadline(time.Now().Add(lineTime))
		if _, err := w.Write(text); err != nil {
			return err
		}
		return c.Flush()
	}
	if err := send([]byte(": listening\n\n")); err != nil {
		return err
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	quiet := time.Duration(0)
	for {
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-look.C:
		}
		list, err := a.Decisions.Decisions(r.Context(), f)
		if err != nil {
			return err
		}
		var text []byte
		if len(list) == MaxList {
			text = fmt.Appendf(text, "event: skipped\ndata: {\"before\":%d}\n\n", list[len(list)-1].ID)
		}
		for _, d := range slices.Backward(list) {
			if text, err = appendEvent(text, &d); err != nil {
				return err
			}
			f.After = d.ID
		}
		if quiet += lookEvery; text == nil && quiet >= beatEvery {
			text = []byte(": nothing new\n\n")
		}
		if text == nil {
			continue
		}
		quiet = 0
		if err := send(text); err != nil {
			return err
		}
	}
}

// appendEvent adds the event of a decision. JSON has no line break.
func appendEvent(text []byte, d *Decision) ([]byte, error) {
	line, err := json.Marshal(d)
	if err != nil {
		return text, err
	}
	text = append(text, "event: decision\nid: "...)
	text = strconv.AppendInt(text, d.ID, 10)
	text = append(append(append(text, "\ndata: "...), line...), "\n\n"...)
	return text, nil
}
