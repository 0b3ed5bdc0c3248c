package admin

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Options is what the handler is made of.
type Options struct {
	// Checks make the server ready, in the order in which they are shown.
	Checks []Check
	// Metrics answers /metrics; nil: nobody does.
	Metrics http.Handler
	// Now is the clock by which their outcome grows old; nil for [time.Now].
	Now func() time.Time
}

// New returns the handler of the admin listener.
//
//	/health   200 as long as the process answers
//	/readyz   200 if every check is right, else 503; both say each check and why
//	/metrics  what Options.Metrics answers
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	ready := &readiness{checks: o.Checks, now: o.Now}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		report := ready.report()
		status := http.StatusOK
		if !report.Ready {
			status = http.StatusServiceUnavailable
		}
		write(w, status, report)
	})
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	return mux
}

func write(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body = append(body, '\n')
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
