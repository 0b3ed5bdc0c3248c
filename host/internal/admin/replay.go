package admin

import (
	"encoding/json"
	"net/http"
	"time"
)

// replaying is the body of a replay.
type replaying struct {
	Change Change `json:"change"`
	// Since is when the decisions begin.
	Since time.Time `json:"since"`
}

// replayLine is a line of its answer: how far it is, and last what came of it, or why
// nothing did.
type replayLine struct {
	Progress *progress `json:"progress,omitempty"`
	Result   *Rejudged `json:"result,omitempty"`
	Error    string    `json:"error,omitempty"`
}

type progress struct {
	Done int64 `json:"done"`
	All  int64 `json:"all"`
}

// replay answers in lines of JSON, as it goes on. It ends when its client goes away.
func (a *api) replay(w http.ResponseWriter, r *http.Request) {
	var in replaying
	if !body(w, r, &in) {
		return
	}
	long(w, lineTime)
	c := http.NewResponseController(w)
	begun := false
	line := func(l replayLine) {
		if !begun {
			begun = true
			h := w.Header()
			h.Set("Content-Type", "application/x-ndjson")
			h.Set("Cache-Control", "no-store")
			h.Set("X-Content-Type-Options", "nosniff")
		}
		_ = c.SetWriteDeadline(time.Now().Add(lineTime))
		if json.NewEncoder(w).Encode(l) == nil {
			_ = c.Flush()
		}
	}
	// Until the first is through it may take long, with nothing to tell.
	_ = c.SetWriteDeadline(time.Now().Add(uploadTime))
	result, err := a.Policies.Rejudge(r.Context(), in.Change, in.Since, func(done, all int64) {
		line(replayLine{Progress: &progress{done, all}})
	})
	switch {
	case err == nil:
		line(replayLine{Result: result})
	case begun:
		line(replayLine{Error: err.Error()})
	default:
		answer(w, nil, err)
	}
}
