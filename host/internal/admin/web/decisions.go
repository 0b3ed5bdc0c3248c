package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/knockgate/knockgate/host/internal/admin"
)

// perPage is how many decisions a page lists.
const perPage = 50

// filterForm is the filter as the form has it.
type filterForm struct {
	Room, User, Verdict, Origin, Policy, Code, Phase, Since string
	Faults, Monitor                                         bool
}

// Any reports whether it filters anything.
func (f filterForm) Any() bool { return f != filterForm{} }

type decisionsData struct {
	Filter   filterForm
	Verdicts []string
	Phases   []string
	List     []admin.Decision
	Older    string // query of the next page, "" for none
	Newest   bool   // the first page, to which live rows come
	Stream   string // where they come from
}

// filter returns what a query asks for.
func filter(q url.Values, now time.Time) (filterForm, admin.DecisionFilter, error) {
	form := filterForm{
		Room: q.Get("room"), User: q.Get("user"), Verdict: q.Get("verdict"), Origin: q.Get("origin"), Policy: q.Get("policy"),
		Code: q.Get("code"), Phase: q.Get("phase"), Since: q.Get("since"), Faults: q.Has("faults"), Monitor: q.Has("monitor"),
	}
	f := admin.DecisionFilter{
		Room: form.Room, User: form.User, Verdict: form.Verdict, Origin: form.Origin, Policy: form.Policy, Code: form.Code,
		Phase: form.Phase, Faults: form.Faults, Monitor: form.Monitor, Limit: perPage,
	}
	if form.Since != "" {
		d, err := time.ParseDuration(form.Since)
		if err != nil || d <= 0 {
			return form, f, fmt.Errorf("since %q: must be a time such as 24h: %w", form.Since, admin.ErrInvalid)
		}
		f.Since = now.Add(-d)
	}
	for key, to := range map[string]*int64{"before": &f.Before, "after": &f.After} {
		text := q.Get(key)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return form, f, fmt.Errorf("%s %q: must be a decision's number: %w", key, text, admin.ErrInvalid)
		}
		*to = n
	}
	return form, f, nil
}

func (s *site) decisions(v *visit) error {
	q := v.r.URL.Query()
	form, f, err := filter(q, s.Now())
	if err != nil {
		return err
	}
	list, err := s.Decisions.Decisions(v.ctx(), f)
	if err != nil {
		return err
	}
	data := decisionsData{
		Filter: form, Verdicts: []string{"allow", "deny", "incompatible"}, Phases: []string{"make_knock", "send_knock"},
		List: list, Newest: f.Before == 0,
	}
	if len(list) == perPage {
		q.Set("before", strconv.FormatInt(list[len(list)-1].ID, 10))
		data.Older = "/decisions?" + q.Encode()
	}
	q.Del("before")
	if len(list) > 0 {
		q.Set("after", strconv.FormatInt(list[0].ID, 10))
	}
	data.Stream = "/decisions/stream?" + q.Encode()
	s.pages.write(v, http.StatusOK, "decisions", page{Title: "Decisions", Section: "/decisions", Data: data})
	return nil
}

func (s *site) decision(v *visit) error {
	d, err := s.Decisions.Decision(v.ctx(), v.r.PathValue("ref"))
	if err != nil {
		return err
	}
	slices.SortStableFunc(d.Monitored, func(a, b admin.Decision) int { return int(max(-1, min(1, a.ID-b.ID))) })
	s.pages.write(v, http.StatusOK, "decision", page{Title: "Decision " + d.RequestID, Section: "/decisions", Data: d})
	return nil
}
