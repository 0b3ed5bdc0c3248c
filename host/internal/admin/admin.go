package admin

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// Options is what the handler is made of.
type Options struct {
	// Checks make the server ready, in the order in which they are shown.
	Checks []Check
	// Ready is in the place of Checks, for those who ask it too.
	Ready *Readiness
	// Metrics answers /metrics; nil: nobody does.
	Metrics http.Handler
	// Now is the clock by which their outcome grows old; nil for [time.Now].
	Now func() time.Time

	// Token is the secret of what follows; nil: there is none of it.
	Token *Token
	// MetricsGuarded has /metrics need the token too.
	MetricsGuarded bool
	// Hosts are the names by which the listener is asked, beside its address, those
	// of loopback and localhost.
	Hosts []string
	// Server, Policies, Decisions and Knocks are what the API shows and changes, the
	// last nil in gateway mode, and Audit what it remembers of changes. All changes
	// are made through what [Audit] returns.
	Server    Server
	Policies  Policies
	Decisions Decisions
	Knocks    Knocks
	Audit     *Audit
	// Pages answers all other paths; nil: nobody does. It asks for the token itself.
	// It is asked for its own host only, and never to change something by a page of
	// another site.
	Pages http.Handler
	// Log gets wrong tokens; nil: nothing.
	Log *slog.Logger
}

// New returns the handler of the admin listener.
//
//	/health   200 as long as the process answers
//	/readyz   200 if every check is right, else 503; both say each check and why
//	/metrics  what Options.Metrics answers
//	/admin/v1 the API, where there is a token; openapi.json says what is there
//	/         what Options.Pages answers
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ready := o.Ready
	if ready == nil {
		ready = NewReadiness(o.Checks, o.Now)
	}
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
	g := newGuard(&o)
	switch {
	case o.Metrics != nil && o.MetricsGuarded:
		mux.Handle("GET /metrics", g.known(o.Metrics))
	case o.Metrics != nil:
		mux.Handle("GET /metrics", o.Metrics)
	}
	if o.Token != nil {
		mux.Handle(prefix+"/", g.ours(g.hereOnly(g.known(newAPI(&o)))))
		if o.Pages != nil {
			mux.Handle("/", g.ours(g.here(o.Pages)))
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(withWho(r.Context(), r.RemoteAddr)))
	})
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
